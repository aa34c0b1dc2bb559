"""A dunning agent: an invoice that Stripe could not collect gets one reminder by e-mail, until it is paid.

    export MAIL_URL=https://api.mail.example.com/send MAIL_API_KEY=… CRM_URL=https://crm.example.com
    gateway worker examples.dunning_agent:worker
    gateway send stripe invoice.payment_failed        # from another terminal, to try it
    gateway send stripe invoice.paid

A reminder that comes twice makes customers angry, one that never comes costs money. So the e-mail is a guarded step,
and whatever fails after it is tried again without it.
"""

import os

import httpx

from gateway.worker import Dead, Event, Worker

MAIL, MAIL_KEY = os.environ["MAIL_URL"], os.environ["MAIL_API_KEY"]
CRM = os.environ["CRM_URL"]

# Of one invoice after another: a payment must not be settled between the look at the CRM and the word to it.
worker = Worker(
    queue="dunning-agent",
    events=["stripe.invoice.payment_failed", "stripe.invoice.paid"],
    ordered_by="subject",
    timeout=120,
)


@worker.on("stripe.invoice.payment_failed")
async def remind(event: Event) -> None:
    """Write to the customer, then say so in the CRM."""
    invoice = event.data["data"]["object"]
    if not invoice.get("customer_email"):
        raise Dead("the invoice has no e-mail address")  # trying again will not find one
    async with httpx.AsyncClient(timeout=30) as http:
        # Events come in any order, and this one may have waited for an hour between two attempts.
        if await state_of(http, invoice["id"]) == "paid":
            return
        async with event.once("mail") as first:
            if first:
                await send_reminder(http, invoice, event.key_of("mail"))
        # If this fails, the next attempt comes here without a second e-mail. It needs no guard itself: a PUT
        # says how things shall be, and may be said twice.
        await set_state(http, invoice["id"], "reminded")


@worker.on("stripe.invoice.paid")
async def settle(event: Event) -> None:
    """Cancel the dunning: no event about this invoice leads to an e-mail any more."""
    async with httpx.AsyncClient(timeout=30) as http:
        await set_state(http, event.data["data"]["object"]["id"], "paid")


async def send_reminder(http: httpx.AsyncClient, invoice: dict[str, object], key: str) -> None:
    """Have the mail API send it, once for each ``key``: the same at every attempt, another for the next event."""
    mail = {
        "to": invoice["customer_email"],
        "template": "payment-failed",
        "invoice": invoice.get("number"),
        "pay_at": invoice.get("hosted_invoice_url"),
    }
    headers = {"Authorization": f"Bearer {MAIL_KEY}", "Idempotency-Key": key}
    (await http.post(MAIL, json=mail, headers=headers)).raise_for_status()


async def state_of(http: httpx.AsyncClient, invoice_id: str) -> str:
    """How far the dunning of an invoice is, by the CRM."""
    answer = await http.get(f"{CRM}/invoices/{invoice_id}")
    return str(answer.raise_for_status().json()["state"])


async def set_state(http: httpx.AsyncClient, invoice_id: str, state: str) -> None:
    """Tell the CRM."""
    (await http.put(f"{CRM}/invoices/{invoice_id}", json={"state": state})).raise_for_status()
