"""Test handlers without servers: real events, a gateway in memory, and a worker in memory.

    event = sample("stripe", "invoice.payment_failed", data={"data": {"object": {"customer": "cus_42"}}})

    async with MemoryWorker(worker) as agent:
        outcome = await agent.deliver(event)

``gateway.pytest_plugin`` provides them as fixtures.
"""

from gateway.testing.gateway import Answer, MemoryGateway
from gateway.testing.worker import MemoryWorker, Outcome

sample = MemoryGateway().sample
"""Make an event of any adapter that comes with the gateway; see :meth:`MemoryGateway.sample`."""

__all__ = ["Answer", "MemoryGateway", "MemoryWorker", "Outcome", "sample"]
