"""A gateway with a way out, its servers, and a receiver: what the measurements of the way out share."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.clocks import cpu_seconds_of
from bench.meter import cpu_seconds
from gateway.backends import open_outbound_store
from gateway.events.message import Message
from gateway.hosting.outbound.launch import MODULE
from gateway.outbound.configured import endpoints_of
from gateway.outbound.ids import Ids
from gateway.outbound.models import Secret, Subscription
from gateway.publishers import Publisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from support.gateway_process import GatewayProcess, Secrets
from support.ports import free_port
from support.postgresql_server import PostgreSQLServer
from support.process import descendants, is_companion
from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until, wait_until_async

_EVENT = {"specversion": "1.0", "source": "/acme", "type": "com.acme.order.paid", "provider": "acme"}
_PADDING = "x" * 1200
_MAX_CONFIGURED = 1_000
"""Endpoints in the configuration file, which may have 1 MiB."""

_TAKES_EVENTS = '"exchange":"webhooks","patterns"'


class Receiver:
    """The receiver, in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.receiver", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        self._out.readline()

    def ask(self, what: str) -> Any:
        """Return the answer to a line."""
        self._in.write(what + "\n")
        self._in.flush()
        return json.loads(self._out.readline())

    def close(self) -> None:
        """End it."""
        self._in.close()
        self._process.wait(30)


class Site:
    """A gateway with endpoints at a receiver, and a way to publish.

    Attributes:
        open_publisher: Opens one.
        receiver: The receiver.
        started_at: When the gateway was started, in Unix seconds.
        pid: The process of the way out.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        open_publisher: Callable[[], Publisher],
        receiver: Receiver,
        servers: Mapping[str, int],
        started_at: float,
    ) -> None:
        self.open_publisher = open_publisher
        self.receiver = receiver
        self.started_at = started_at
        self._servers = servers
        self.pid = wait_until(
            lambda: next((each for each in descendants(gateway.child.pid) if is_companion(each, MODULE)), 0)
        )

    def used(self) -> dict[str, float]:
        """Return the processor seconds of the way out and of each server."""
        return {
            "the way out": cpu_seconds_of(self.pid),
            **{name: cpu_seconds(pid) for name, pid in self._servers.items()},
        }


def new_secret() -> str:
    """Return a secret for an endpoint."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


async def _add_endpoints(gateway: GatewayProcess, numbers: range, hanging: int) -> None:
    """Add endpoints as the API does: the configuration file has no room for thousands."""
    config, ids, now = gateway.load(), Ids(), time.time()
    first, *_ = endpoints_of(config, now)
    store = open_outbound_store(config)
    await store.start()
    for number in numbers:
        path = "hang" if number < hanging else "hook"
        await store.put_endpoint(
            replace(
                first,
                id=ids.new("ep", now),
                name="",
                is_configured=False,
                url=f"{first.url.rpartition('/')[0]}/{path}",
                subscriptions=(Subscription(events=(key_of(number),)),),
                secrets=(Secret(id="sec_1", value=new_secret(), created_at=now),),
            )
        )
    await store.stop()


def key_of(endpoint: int) -> str:
    """Return the routing key of the events that one of many endpoints wants."""
    return f"acme.order.n{endpoint}"


@contextmanager
def open_site(
    directory: Path,
    endpoints: int,
    hanging: int = 0,
    *,
    is_embedded: bool,
    fill: Callable[[GatewayProcess], None] | None = None,
) -> Iterator[Site]:
    """Start a gateway with its servers, and endpoints of which the first ones hang.

    Args:
        directory: Its directory, which is made.
        endpoints: How many; one alone gets all events, and of several each its own.
        hanging: How many of them never answer.
        is_embedded: Whether there are no servers.
        fill: Writes into its database before it starts again.
    """
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        receiver = Receiver()
        stack.callback(receiver.close)
        overrides: dict[str, Any] = {
            "endpoints": {
                f"e{number}": {
                    "url": f"http://127.0.0.1:{receiver.port}/{'hang' if number < hanging else 'hook'}",
                    "events": ["acme.#"] if endpoints == 1 else [key_of(number)],
                    "secrets": [new_secret()],
                    "allow_private": True,
                    "concurrency": 64,
                }
                for number in range(min(endpoints, _MAX_CONFIGURED))
            },
            "outbound": {
                "allow_http": True,
                "ports": [receiver.port],
                "allow_networks": ["127.0.0.0/8"],
                "allow_hosts": ["127.0.0.1"],
            },
        }
        url, servers = "", {}
        if not is_embedded:
            rabbitmq = stack.enter_context(RabbitMQServer())
            postgresql = stack.enter_context(PostgreSQLServer())
            url = rabbitmq.url
            servers = {"RabbitMQ": rabbitmq.pid, "PostgreSQL": postgresql.pid}
            overrides["postgres"] = {"url": postgresql.database_url(postgresql.create_database())}
            overrides["outbound"]["keys"] = [base64.b64encode(secrets.token_bytes(32)).decode()]
        started_at = time.time()
        gateway = stack.enter_context(
            GatewayProcess(directory, Secrets(), overrides=overrides, rabbitmq_url=url)
        )
        gateway.wait_for(_TAKES_EVENTS)
        if fill or endpoints > _MAX_CONFIGURED:
            gateway.stop()
            if fill:
                fill(gateway)
            asyncio.run(_add_endpoints(gateway, range(_MAX_CONFIGURED, endpoints), hanging))
            gateway.stdout_path.write_text("")
            started_at = time.time()
            gateway.start()
            gateway.wait_for(_TAKES_EVENTS)

        def open_publisher() -> Publisher:
            if is_embedded:
                return SqlitePublisher(Database(directory / "var"), "webhooks")
            return RabbitPublisher(BrokerNodes(url), "webhooks", 30.0)

        yield Site(gateway, open_publisher, receiver, servers, started_at)


@asynccontextmanager
async def publishing(site: Site) -> AsyncIterator[Callable[..., Coroutine[Any, Any, None]]]:
    """Connect a publisher, which belongs to one event loop; yield what publishes an event by its number and its key."""
    publisher = site.open_publisher()
    await publisher.start()
    await wait_until_async(lambda: not publisher.unavailable_reason)

    async def publish(number: int, key: str = "acme.order.paid") -> None:
        event_id = f"evt_{number}_{secrets.token_hex(4)}"
        data = {"sent_at": time.time(), "padding": _PADDING}
        body = json.dumps({**_EVENT, "id": event_id, "data": data}).encode()
        await publisher.publish(Message("webhooks", key, event_id, "com.acme.order.paid", {}, body))

    try:
        yield publish
    finally:
        await publisher.stop()
