"""One event, several agents: each has its own queue, gets every event, and fails independently.

    gateway worker examples.fan_out:ledger            # each in a terminal of its own; as many of each as you like
    gateway worker examples.fan_out:shipping
    gateway worker examples.fan_out:screening
    gateway send stripe payment_intent.succeeded

A payment is booked, shipped and screened. The agents do not call each other: RabbitMQ puts a copy of the event into
each queue. So booking continues while the warehouse is down, and a new agent needs no change to any other. Processes
of the same worker share its queue: one of them gets the event.
"""

from gateway.worker import Dead, Event, Worker

PAYMENTS = ["stripe.payment_intent.succeeded"]

ledger = Worker("ledger-agent", PAYMENTS)
shipping = Worker("shipping-agent", PAYMENTS, attempts=20)  # a warehouse may be down for hours
screening = Worker("screening-agent", [*PAYMENTS, "stripe.charge.dispute.*"])  # each chooses its own events


@ledger.on("stripe.payment_intent.succeeded")
def book(event: Event) -> None:
    """Book the payment. Without `async` this runs in a thread, where a database driver may block."""
    print(f"ledger: booked {event.subject} ({event.summary})", flush=True)


@shipping.on("stripe.payment_intent.succeeded")
async def ship(event: Event) -> None:
    """Ship the goods. The warehouse is down at the first attempt, which only this worker notices and retries."""
    if event.attempts == 1:
        raise ConnectionError("the warehouse does not answer")
    print(f"shipping: sent what {event.subject} has paid, at attempt {event.attempts}", flush=True)


@screening.on("stripe.payment_intent.succeeded")
async def screen(event: Event) -> None:
    """Give the event up, since no retry will find a rule: it waits in screening-agent.dead for `gateway dead list`."""
    raise Dead(f"no rule for payments in {event.data['data']['object']['currency']}")


@screening.on("stripe.charge.dispute.*")
async def object_to(event: Event) -> None:
    """Contest a dispute. The most specific pattern wins, so that each event type can have its own function."""
    print(f"screening: {event.summary}", flush=True)
