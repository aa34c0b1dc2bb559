"""A gateway between a Redis and a RabbitMQ that fail on demand, and a ledger of its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import redis

from support import senders
from support.claims import value_of
from support.fault_proxy import FaultProxy
from support.gateway_process import GatewayProcess, Secrets, Section
from support.inbox import Arrival, Inbox
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.senders import Delivery, post
from support.waiting import PATIENCE, wait_until

LENIENT: dict[str, Section] = {
    "server": {"deadline": "2s"},
    "dedupe": {"lease": "4s"},
    "rabbitmq": {"confirm_timeout": "500ms"},
}
"""Without Redis, events go out unchecked; without RabbitMQ, they wait in the spool."""

STRICT: dict[str, Section] = {
    "server": {"deadline": "1s"},
    "dedupe": {"lease": "2s", "on_unavailable": "reject"},
    "rabbitmq": {"confirm_timeout": "500ms"},
    "spool": {"enabled": False},
}
"""Without either of them, events are refused; leases are short, because senders have to wait for their end."""


class Rig:
    """A gateway, the proxies before its servers, and what came of every event.

    Args:
        gateway: started; its exchanges are there.
        redis: before its Redis.
        broker: before its RabbitMQ.
        redis_server: to be reached past the proxy.
        rabbitmq_server: to be reached past the proxy.
        rabbitmq_url: the virtual host, past the proxy.
        is_strict: whether events are refused rather than published unchecked, or spooled.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        redis: FaultProxy,
        broker: FaultProxy,
        redis_server: RedisServer,
        rabbitmq_server: RabbitMQServer,
        rabbitmq_url: str,
        *,
        is_strict: bool,
    ) -> None:
        self.gateway = gateway
        self.redis = redis
        self.broker = broker
        self.redis_server = redis_server
        self.rabbitmq_server = rabbitmq_server
        self.rabbitmq_url = rabbitmq_url
        self.is_strict = is_strict
        self.vhost = rabbitmq_url.rpartition("/")[2]
        self.sent: dict[str, Delivery] = {}
        self.answers: dict[str, list[str]] = {}
        self.arrivals: dict[str, list[Arrival]] = {}
        self._inboxes = [Inbox(rabbitmq_url)] + [
            Inbox(rabbitmq_url, f"webhooks.{name}", None) for name in ("unrouted", "quarantine")
        ]

    def renew(self) -> None:
        """Undo all faults, and begin a new ledger with empty queues."""
        self.redis.heal()
        self.broker.heal()
        self.send_until_accepted(self.event())
        self.heal()
        self.take_all()
        for ledger in (self.sent, self.answers, self.arrivals):
            ledger.clear()

    def heal(self) -> None:
        """Undo all network faults, and wait until the gateway is ready and the spool is empty."""
        self.redis.heal()
        self.broker.heal()
        wait_until(self._is_idle, PATIENCE, "everything works again", forgive=(httpx.TransportError,))
        Inbox(self.rabbitmq_url)  # bound anew: a test may have taken the exchange or the binding away

    def event(self, size: int = 0) -> Delivery:
        """A new event, with ``size`` more bytes in it."""
        return senders.acme(self.gateway.secrets.acme, senders.order(padding="x" * size))

    def events(self, count: int, size: int = 0) -> list[Delivery]:
        """New events."""
        return [self.event(size) for _ in range(count)]

    def send(self, delivery: Delivery) -> str:
        """Send a delivery once. Return status and reason of the answer, or the exception's name."""
        with httpx.Client(trust_env=False) as client:
            return self._send(client, delivery)

    def send_all(self, deliveries: Iterable[Delivery], at_once: int = 8) -> list[str]:
        """Send each once, many at a time; the answers in their order."""
        with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(partial(self._send, client), deliveries))

    def send_until_accepted(self, delivery: Delivery, timeout: float = PATIENCE) -> str:
        """Send it again and again until it is answered with 2xx; that answer."""

        def is_accepted() -> bool:
            return self.send(delivery).startswith("2")

        wait_until(is_accepted, timeout, f"{delivery.event_id} was accepted")
        return self.answers[delivery.event_id][-1]

    def value_of(self, delivery: Delivery) -> bytes:
        """Return the claim of an event in Redis, without its content digest; empty without a claim."""
        with redis.Redis.from_url(self.redis_server.url) as store:
            return value_of(store, delivery)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.gateway.get("/metrics", admin=True).text.splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))
        )

    def take_all(self) -> list[Arrival]:
        """All that is in the queues, which are empty afterwards."""
        return [arrival for inbox in self._inboxes for arrival in inbox.take_all()]

    def settle(self, most_copies: int = 1, least_copies: int = 1) -> dict[str, list[Arrival]]:
        """Undo all faults, send again what was refused, and compare what was sent with what arrived.

        Every event was accepted in the end, has arrived as it was sent, and not more often than it may: so
        nothing that was accepted is lost, and no claim is stale. No answer took for ever.

        Args:
            most_copies: of one event that may have arrived.
            least_copies: of one event that are waited for: what the gateway says of its spool is a moment old.

        Returns:
            What has arrived, by event.
        """
        self.heal()
        refused = [
            delivery
            for event_id, delivery in self.sent.items()
            if not any(answer.startswith("2") for answer in self.answers[event_id])
        ]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.send_until_accepted, refused))
        wait_until(self._is_idle, PATIENCE, "nothing is under way")
        arrivals = self.arrivals

        def have_come() -> bool:
            for arrival in self.take_all():
                arrivals.setdefault(arrival.message_id or "", []).append(arrival)
            return all(len(arrivals.get(event_id, ())) >= least_copies for event_id in self.sent)

        wait_until(have_come, message=f"all events came, {len(self.sent)} of them")
        wanted = {event_id: {delivery.body} for event_id, delivery in self.sent.items()}
        assert {event_id: {copy.data for copy in copies} for event_id, copies in arrivals.items()} == wanted
        for copies in arrivals.values():
            assert len(copies) <= most_copies
            assert len({(copy.type, copy.event["source"], copy.routing_key) for copy in copies}) == 1
        assert not [
            answer
            for answers in self.answers.values()
            for answer in answers
            if answer.startswith("500") or answer == "ReadTimeout"
        ]
        return arrivals

    def all_answers(self) -> Counter[str]:
        """How often each answer was given."""
        return Counter(answer for answers in list(self.answers.values()) for answer in answers)

    def _send(self, client: httpx.Client, delivery: Delivery) -> str:
        self.sent[delivery.event_id] = delivery
        answers = self.answers.setdefault(delivery.event_id, [])
        try:
            answer = post(self.gateway.url, delivery, client)
        except httpx.TransportError as error:
            answers.append(type(error).__name__)
        else:
            content = answer.json()
            answers.append(f"{answer.status_code} {content.get('reason', content['status'])}")
            assert (answer.status_code == 503) == ("retry-after" in answer.headers)
        return answers[-1]

    def _is_idle(self) -> bool:
        ready = self.gateway.get("/readyz", admin=True)
        return (
            ready.status_code == 200
            and set(ready.json()["checks"].values()) == {"ok"}
            and not self.metric("webhook_spooled")
            and not self.metric("webhook_publishes_unconfirmed")
        )


@contextmanager
def open_rig(
    directory: Path,
    redis_server: RedisServer,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
    overrides: Mapping[str, Section],
) -> Iterator[Rig]:
    """A rig with a gateway that is ready.

    Args:
        directory: of the gateway; its data go there.
        redis_server: its Redis.
        rabbitmq_server: its RabbitMQ.
        rabbitmq_url: the virtual host.
        overrides: the settings.
    """
    with FaultProxy(redis_server.url) as redis_proxy, FaultProxy(rabbitmq_url) as broker_proxy:
        gateway = GatewayProcess(
            directory,
            Secrets(),
            redis_url=redis_proxy.url_of(redis_server.url),
            rabbitmq_url=broker_proxy.url_of(rabbitmq_url),
            overrides=overrides,
        )
        with gateway:
            yield Rig(
                *(gateway, redis_proxy, broker_proxy, redis_server, rabbitmq_server, rabbitmq_url),
                is_strict=overrides.get("spool", {}).get("enabled") is False,
            )


def in_the_background(work: Callable[[], object]) -> ThreadPoolExecutor:
    """Run ``work`` in a thread for a ``with`` block, whose end waits for that of the thread."""
    pool = ThreadPoolExecutor(1)
    pool.submit(work)
    return pool
