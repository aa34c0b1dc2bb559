"""Workers: handle events of the gateway, retry failures, and do nothing twice.

    worker = Worker(queue="billing-agent", events=["stripe.invoice.*"])

    @worker.on("stripe.invoice.payment_failed")
    async def remind(event: Event) -> None:
        ...

``gateway worker mymodule:worker`` runs it. Importing this package loads none of the gateway's server.
"""

from gateway.worker.errors import Dead, Retry
from gateway.worker.event import Event
from gateway.worker.http_responses import raise_for_retry
from gateway.worker.worker import Worker

__all__ = ["Dead", "Event", "Retry", "Worker", "raise_for_retry"]
