"""Publishing to RabbitMQ: persistent, mandatory, confirmed; the topology declared at every connect.

An event that no queue is bound for goes, by the alternate exchange, into ``<exchange>.unrouted``: a routing
mistake is a full queue, not a loss.
"""

from __future__ import annotations

from collections.abc import Awaitable

from pamqp import base, commands
from pamqp.common import FieldTable

from gateway.link import Link
from gateway.publishers import QUARANTINE_SUFFIX, UNROUTED_SUFFIX, Message, PublishUnavailable
from gateway.publishers.amqp import PublishConnection, connect


def topology(exchange: str) -> list[base.Frame]:
    """What is declared: the topic exchange, and the quorum queues for what is unrouted or quarantined."""
    unrouted, quarantine = exchange + UNROUTED_SUFFIX, exchange + QUARANTINE_SUFFIX
    quorum: FieldTable = {"x-queue-type": "quorum"}
    alternate: FieldTable = {"alternate-exchange": unrouted}
    return [
        commands.Exchange.Declare(exchange=unrouted, exchange_type="fanout", durable=True),
        commands.Queue.Declare(queue=unrouted, durable=True, arguments=quorum),
        commands.Queue.Bind(queue=unrouted, exchange=unrouted, routing_key=""),
        commands.Exchange.Declare(
            exchange=exchange, exchange_type="topic", durable=True, arguments=alternate
        ),
        commands.Exchange.Declare(exchange=quarantine, exchange_type="topic", durable=True),
        commands.Queue.Declare(queue=quarantine, durable=True, arguments=quorum),
        commands.Queue.Bind(queue=quarantine, exchange=quarantine, routing_key="#"),
    ]


class RabbitPublisher:
    """Publishes to one broker.

    Args:
        url: ``amqp://`` or ``amqps://``.
        exchange: the exchange for events.
        timeout: seconds that a confirm may take.
    """

    spooled = corrupt = 0

    def __init__(self, url: str, exchange: str, timeout: float = 2.0) -> None:
        declared = topology(exchange)
        self._exchanges = {exchange, exchange + QUARANTINE_SUFFIX}
        self._link: Link[PublishConnection] = Link("rabbitmq", lambda: connect(url, declared, timeout))

    @property
    def trouble(self) -> str:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current.trouble if self._link.current else self._link.trouble

    @property
    def was_ready(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.was_connected

    @property
    def is_accepting(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current is not None and self._link.current.is_accepting

    @property
    def unconfirmed(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current.unconfirmed if self._link.current else 0

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._link.start()

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._link.stop()

    def publish(self, message: Message) -> Awaitable[None]:
        """See :class:`gateway.publishers.Publisher`."""
        if self._link.current is None:
            return _fail(self._link.trouble)
        if message.exchange not in self._exchanges:
            # Spooled before the configuration changed. RabbitMQ would close the channel, on everybody.
            return _fail(f"this gateway does not publish to the exchange {message.exchange!r}")
        return self._link.current.publish(message)


async def _fail(cause: str) -> None:
    raise PublishUnavailable(cause)
