"""A dunning agent: an invoice that Stripe could not collect gets one reminder by e-mail, until it is paid.

    export MAIL_URL=https://api.mail.example.com/send MAIL_API_KEY=… CRM_URL=https://crm.example.com
    gateway worker examples.dunning_agent:worker
    gateway send stripe invoice.payment_failed        # from another terminal, to try it
    gateway send stripe invoice.paid

A reminder that is sent twice makes customers angry; one that is never sent costs money. So the e-mail is a guarded
step: if something fails after it, the next attempt does not send it again.
"""

import os

import httpx

from gateway.worker import Dead, Event, Worker

MAIL, MAIL_KEY = os.environ["MAIL_URL"], os.environ["MAIL_API_KEY"]
CRM = os.environ["CRM_URL"]

# Events of one invoice one after another: a payment must not arrive between reading the CRM and updating it.
worker = Worker(
    queue="dunning-agent",
    events=["stripe.invoice.payment_failed", "stripe.invoice.paid"],
    ordered_by="subject",
    timeout=120,
)


@worker.on("stripe.invoice.payment_failed")
async def remind(event: Event) -> None:
    """Write to the customer, then record that in the CRM."""
    invoice = event.data["data"]["object"]
    if not invoice.get("customer_email"):
        raise Dead("the invoice has no e-mail address")  # another attempt will not find one
    async with httpx.AsyncClient(timeout=30) as http:
        # Events come in any order, and this one may have waited for an hour between two attempts.
        if await state_of(http, invoice["id"]) == "paid":
            return
        async with event.once("mail") as first:
            if first:
                await send_reminder(http, invoice, event.key_of("mail"))
        # If this fails, the next attempt comes here without a second e-mail. It needs no guard itself: a PUT is
        # idempotent.
        await set_state(http, invoice["id"], "reminded")


@worker.on("stripe.invoice.paid")
async def settle(event: Event) -> None:
    """Cancel the dunning: later events of this invoice send no e-mail."""
    async with httpx.AsyncClient(timeout=30) as http:
        await set_state(http, event.data["data"]["object"]["id"], "paid")


async def send_reminder(http: httpx.AsyncClient, invoice: dict[str, object], key: str) -> None:
    """Send the reminder, once per ``key``, which is the same at every attempt and different for every event."""
    mail = {
        "to": invoice["customer_email"],
        "template": "payment-failed",
        "invoice": invoice.get("number"),
        "pay_at": invoice.get("hosted_invoice_url"),
    }
    headers = {"Authorization": f"Bearer {MAIL_KEY}", "Idempotency-Key": key}
    (await http.post(MAIL, json=mail, headers=headers)).raise_for_status()


async def state_of(http: httpx.AsyncClient, invoice_id: str) -> str:
    """Return the state of the dunning of an invoice, from the CRM."""
    answer = await http.get(f"{CRM}/invoices/{invoice_id}")
    return str(answer.raise_for_status().json()["state"])


async def set_state(http: httpx.AsyncClient, invoice_id: str, state: str) -> None:
    """Set the state of the dunning of an invoice in the CRM."""
    (await http.put(f"{CRM}/invoices/{invoice_id}", json={"state": state})).raise_for_status()
