"""One event, several agents: each has a queue of its own, gets every event, and fails on its own.

    gateway worker examples.fan_out:ledger            # each in a terminal of its own; as many of each as you like
    gateway worker examples.fan_out:shipping
    gateway worker examples.fan_out:screening
    gateway send stripe payment_intent.succeeded

A payment is booked, shipped and screened. Nobody calls anybody: RabbitMQ puts a copy of the event into each queue.
So the warehouse may be away while the books go on, and a new agent needs no change of any other. Processes of the
same worker share its queue: of these, one gets the event.
"""

from gateway.worker import Dead, Event, Worker

PAYMENTS = ["stripe.payment_intent.succeeded"]

ledger = Worker("ledger-agent", PAYMENTS)
shipping = Worker("shipping-agent", PAYMENTS, attempts=20)  # a warehouse may be away for long
screening = Worker("screening-agent", [*PAYMENTS, "stripe.charge.dispute.*"])  # each chooses its own events


@ledger.on("stripe.payment_intent.succeeded")
def book(event: Event) -> None:
    """Without `async` it runs in a thread, where a driver of a database may block."""
    print(f"ledger: booked {event.subject} ({event.summary})", flush=True)


@shipping.on("stripe.payment_intent.succeeded")
async def ship(event: Event) -> None:
    """The warehouse is away at the first attempt; only this worker knows, and tries again."""
    if event.attempts == 1:
        raise ConnectionError("the warehouse does not answer")
    print(f"shipping: sent what {event.subject} has paid, at attempt {event.attempts}", flush=True)


@screening.on("stripe.payment_intent.succeeded")
async def screen(event: Event) -> None:
    """No rule for it, and none by trying again: it waits in screening-agent.dead, for `gateway dead list`."""
    raise Dead(f"no rule for payments in {event.data['data']['object']['currency']}")


@screening.on("stripe.charge.dispute.*")
async def object_to(event: Event) -> None:
    """The more specific pattern wins, so every kind of event has its function."""
    print(f"screening: {event.summary}", flush=True)
