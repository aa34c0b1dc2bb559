"""What tests handlers of events without servers: real events, a gateway in memory, a worker in memory.

    event = sample("stripe", "invoice.payment_failed", data={"data": {"object": {"customer": "cus_42"}}})

    async with MemoryWorker(worker) as agent:
        outcome = await agent.deliver(event)

``gateway.pytest_plugin`` has fixtures of these.
"""

from gateway.testing.gateway import Answer, MemoryGateway
from gateway.testing.worker import MemoryWorker, Outcome

sample = MemoryGateway().sample
"""See :meth:`MemoryGateway.sample`: an event of any adapter that comes with the gateway."""

__all__ = ["Answer", "MemoryGateway", "MemoryWorker", "Outcome", "sample"]
