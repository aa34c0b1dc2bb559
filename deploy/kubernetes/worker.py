"""The worker of the example; replace it with an image of your own for anything that needs more packages."""

from gateway.worker import Event, Worker

worker = Worker(queue="example-worker", events=["stripe.#", "github.#"])


@worker.on("#")
async def handle(event: Event) -> None:
    """Print the event."""
    print(event.provider, event.eventtype, event.id, event.summary or "", flush=True)
