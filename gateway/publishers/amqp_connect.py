"""Open a publishing connection: connect, log in, declare the topology, enable confirms."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from gateway.publishers.amqp_connection import PublishConnection
from gateway.publishers.declaration import Part
from gateway.publishers.renewal import Renewal
from gateway.transport.address import explain_end, explain_unreachable
from gateway.transport.amqp_errors import BrokerRefusal
from gateway.transport.amqp_nodes import ONLY, Timeouts
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.tls import explain_loss, explain_tls


async def connect(
    url: str,
    topology: Sequence[Part],
    timeout: float,
    declare_every: float = math.inf,
    targets: Sequence[str] = (),
    timeouts: Timeouts = ONLY,
    renewal: Renewal | None = None,
) -> PublishConnection:
    """Open a connection to the broker at ``url`` and declare ``topology``.

    Args:
        url: ``amqp://`` or ``amqps://``.
        topology: What is declared, or found to be there.
        timeout: Seconds that a confirm may take.
        declare_every: Seconds after which the topology is declared again.
        targets: The exchanges that messages are published to; the user's permission is checked.
        timeouts: How long the broker may take.
        renewal: When a refused message is a reason to end the connection; None for never.

    Raises:
        OSError: The broker cannot be reached; or it refuses (:class:`BrokerRefusal`), one of ``targets`` included.
    """
    parts = BrokerUrl.parse(url)
    context = parts.tls.context() if parts.is_tls else None
    loop = asyncio.get_running_loop()
    factory = partial(
        PublishConnection,
        timeout,
        declare_every,
        parts.server,
        parts.tls,
        timeouts=timeouts,
        renewal=renewal,
    )
    try:
        async with _within(timeouts.connect):
            _, connection = await loop.create_connection(factory, parts.host, parts.port, ssl=context)
    except ssl.SSLError as error:
        raise ConnectionError(explain_tls(error, parts.server, parts.tls)) from None
    except (TimeoutError, ConnectionResetError):
        raise
    except OSError as error:
        raise ConnectionError(explain_unreachable(error, parts.server)) from None
    try:
        async with _within(timeouts.open):
            await connection.open(parts, topology, targets)
    except BaseException as error:
        connection.fail(ConnectionError("could not be opened"))
        if isinstance(error, ConnectionError) and not isinstance(error, BrokerRefusal):
            raise ConnectionError(
                explain_loss(error, parts.server, parts.tls)
                if parts.is_tls
                else explain_end(error, parts.server, "amqps")
            ) from None
        raise
    return connection


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"the broker did not answer within {seconds:g} s") from error
