"""A broker that answers nothing: the end of a process does not wait for it."""

from __future__ import annotations

import asyncio

from gateway.journal.entry import Entry, Kind
from gateway.journal.reports.rabbitmq import RabbitCarrier, open_rabbitmq_reports
from gateway.journal.reports.sender import Reports
from gateway.transport.amqp_nodes import BrokerNodes
from support.rabbitmq_server import RabbitMQServer
from support.waiting import PATIENCE


async def test_a_broker_that_hangs_does_not_hold_up_the_end(
    rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """Connected before or not; all that was not sent is counted."""
    connected, late = (Reports(RabbitCarrier(BrokerNodes(rabbitmq_url), "webhooks")) for _ in range(2))
    async with open_rabbitmq_reports(BrokerNodes(rabbitmq_url), "webhooks") as source:
        await connected.start()
        connected.send(Entry(1, Kind.HANDLED, "handled"))
        assert await source.receive(PATIENCE)
    rabbitmq_server.suspend()
    try:
        await late.start()
        for reports in (connected, late):
            reports.send(Entry(2, Kind.HANDLED, "handled"))
        async with asyncio.timeout(30):  # without a bound it would be that of the heartbeats, or none
            await asyncio.gather(connected.stop(), late.stop())
    finally:
        rabbitmq_server.resume()

    assert late.dropped == 1
