"""Reading events back: what ``gateway tail`` and the worker of ``gateway dev`` do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from gateway.config import EMBEDDED, Config
from gateway.transport.embedded import Database


def tail(config: Config, pattern: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    """The events published from now on whose routing key matches ``pattern``, each a CloudEvent in JSON.

    Other consumers get them all the same. Once the block is entered, none is missed.

    Raises:
        OSError: the broker cannot be reached, or no gateway has made the exchange yet.
    """
    # Imported here: a consumer needs one of them, and a gateway neither.
    if config.rabbitmq.url == EMBEDDED:
        from gateway.queues.embedded import tail_database  # noqa: PLC0415

        return tail_database(Database(config.data_dir), config.rabbitmq.exchange, pattern)
    from gateway.queues.tail import tail_broker  # noqa: PLC0415

    return tail_broker(config.rabbitmq.address, config.rabbitmq.exchange, pattern)
