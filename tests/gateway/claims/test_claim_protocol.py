"""The promise of the whole, under every mix of faults.

Nothing accepted is lost, nothing is published twice without need, and no event is called done that is not.
Several gateways share one Redis that loses requests, replies and keys; all but its transport and the broker is real.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from gateway.app import Gateway
from gateway.claims import claim_key, redis_connect
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.config import Config
from gateway.events.message import Message
from gateway.events.schemas import Catalogue
from gateway.observability.metrics import Metrics
from gateway.publishers import Publisher, PublishUnavailable
from gateway.receive.request import RequestHead
from gateway.signatures.request import Headers
from gateway.transport import reconnect
from support.door import PEER, enter
from support.fake_redis import FakeRedis, Fate
from support.incidents import Incidents
from support.virtual_time import VirtualTimeLoop

SECRET = "a secret of the senders"
LEASE = 30.0
SLACK = 2.0
"""Seconds that pass at most between a claim and its commit or release, the publish not counted."""
EVENTS = ("red", "green", "red again")
"""What is in the body; its first word is the id, which the signature does not cover."""
OUTCOMES = {202: "accepted", 200: "duplicate"}
FATES: st.SearchStrategy[list[Fate]] = st.just([]) | st.lists(st.sampled_from(Fate), max_size=2)
NO_SCHEMAS = Catalogue(Path("no such folder"))  # reading them for every example would take most of the time


def id_of(event: str) -> str:
    """The id that an event is sent under."""
    return event.partition(" ")[0]


def content_of(message: Message) -> str:
    """Which of the events it is."""
    event: str = json.loads(message.body)["data"]["zen"]
    return event


class HoldingPublisher(Publisher):
    """A broker that confirms, or not, when the test says so."""

    unavailable_reason = ""
    spooled = corrupt = 0
    is_accepting = True
    has_been_ready = True

    def __init__(self, on_publish: Callable[[Message], None]) -> None:
        self.arrived: Counter[str] = Counter()
        self.held: list[tuple[Message, asyncio.Future[None]]] = []
        self._on_publish = on_publish

    @property
    @override
    def unconfirmed(self) -> int:
        return len(self.held)

    @override
    async def start(self) -> None:
        pass

    @override
    async def stop(self) -> None:
        pass

    @override
    def publish(self, message: Message) -> asyncio.Future[None]:
        self._on_publish(message)
        confirm = asyncio.get_running_loop().create_future()
        self.held.append((message, confirm))
        return confirm

    def settle(self, position: int, *, arrives: bool, confirms: bool) -> Message:
        """Confirm or refuse one message that waits, and return it."""
        message, confirm = self.held.pop(position % len(self.held))
        self.arrived[content_of(message)] += arrives
        if confirm.done():  # its gateway was killed
            return message
        if confirms:
            confirm.set_result(None)
        else:
            confirm.set_exception(PublishUnavailable("not confirmed"))
        return message


class Attempt:
    """One delivery of an event by its sender."""

    def __init__(self, event: str, started_at: float) -> None:
        self.event = event
        self.answer = ""
        self.had_arrived = 0
        self.started_at = started_at
        self.ended_at = float("inf")


class Node:
    """One gateway with a connection of its own to the Redis that all share."""

    def __init__(self, config: Config, publisher: HoldingPublisher, kind: type[RedisClaims]) -> None:
        self.claims = kind(OneServer("redis://fake"), LEASE, 3600.0)
        self.metrics = Incidents()
        with (
            patch.object(Catalogue, "bundled", return_value=NO_SCHEMAS),
            patch.object(Metrics, "of_provider", return_value=self.metrics),
        ):
            self.gateway = Gateway(config, Path(), claims=self.claims, publisher=publisher)
        self.tasks: list[asyncio.Task[None]] = []

    async def kill(self) -> None:
        """End it without another word to anybody."""
        self.claims.abort()
        for task in self.tasks:
            task.cancel()
        await self.claims.stop()


class ClaimProtocol(RuleBasedStateMachine):
    """Senders that repeat what they like; a store, a broker and gateways that fail as they like."""

    kind: type[RedisClaims] = PackedRedisClaims

    @initialize(accepts_unchecked=st.booleans(), nodes=st.integers(2, 4))
    def start(self, *, accepts_unchecked: bool, nodes: int) -> None:
        """Gateways without a network."""
        self.patches = ExitStack()
        self.loop = VirtualTimeLoop()
        self.skipped = 0.0
        self.redis = FakeRedis(self.now)
        self.patches.enter_context(patch.object(redis_connect, "_open", self.redis.open))
        self.patches.enter_context(patch.object(reconnect, "log"))
        self.publisher = HoldingPublisher(self.note_publish)
        self.config = Config.model_validate(
            {
                "providers": {"github": {"adapter": "github", "secrets": [SECRET]}},
                "dedupe": {"on_unavailable": "accept" if accepts_unchecked else "reject"},
            }
        )
        self.attempts: list[Attempt] = []
        self.holders: dict[str, tuple[Message, float]] = {}
        self.strays: set[str] = set()
        self.violations: list[str] = []
        self.has_faults = False
        self.nodes: list[Node] = []
        self.past: list[Node] = []
        for _ in range(nodes):
            self.add_node()
        self.send(EVENTS[0], 0, [])  # many an example has no other: each leaves some rules out

    def now(self) -> float:
        """The time at the store."""
        return self.loop.time() + self.skipped

    def run_for(self, seconds: float) -> None:
        """Let everything happen that happens within this time."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def add_node(self) -> None:
        """One more gateway."""
        self.nodes.append(Node(self.config, self.publisher, self.kind))
        self.past.append(self.nodes[-1])
        self.loop.run_until_complete(self.nodes[-1].claims.start())
        self.run_for(0.01)

    async def deliver(self, gateway: Gateway, attempt: Attempt) -> None:
        """POST the event and note the answer."""
        body = b'{"zen":"%b"}' % attempt.event.encode()
        headers = [
            (b"host", b"gateway.test"),
            (b"x-github-delivery", id_of(attempt.event).encode()),
            (b"x-github-event", b"ping"),
            (
                b"x-hub-signature-256",
                b"sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest().encode(),
            ),
        ]
        size = sum(len(name) + len(value) for name, value in headers)
        head = RequestHead("POST", b"/webhooks/github", b"", Headers(headers), size, PEER)
        response = await enter(gateway, head, body)
        self.note(attempt, OUTCOMES.get(response.status) or json.loads(response.body)["reason"])

    def note(self, attempt: Attempt, answer: str) -> None:
        """Remember an answer, and how often the event had arrived when it was given."""
        attempt.answer = answer
        attempt.ended_at = self.now()
        attempt.had_arrived = self.publisher.arrived[attempt.event]
        if answer == "in_flight" and not any(
            other is not attempt
            and other.event == attempt.event
            and other.ended_at > self.now() - LEASE - SLACK
            for other in self.attempts
        ):
            self.violations.append(f"{attempt.event} is in flight with nobody but itself")
        if answer == "internal":
            self.violations.append("a bug")

    def note_publish(self, message: Message) -> None:
        """Nobody may hold an event that another one has held for less than the lease."""
        if json.loads(message.body)["dedupe"] != "claimed":
            self.has_faults = True
            return
        event = content_of(message)
        waiting = {content_of(other) for other, confirm in self.publisher.held if not confirm.done()}
        if any(id_of(other) == id_of(event) and other != event for other in waiting | self.holders.keys()):
            # The other one was not published in time, and may never be: then this one's next attempt finds its key free.
            # Or its confirm still comes, so that the key is done with the content of the other.
            self.has_faults = True
            self.strays.add(event)
        if event in self.strays:
            return
        if event in self.holders:
            self.has_faults = True  # too slow: its lease has ended
            if self.now() < self.holders[event][1] + LEASE - SLACK:
                self.violations.append(f"{event} is held twice")
        self.holders[event] = message, self.now()

    @rule(
        event=st.sampled_from(EVENTS),
        position=st.integers(0, 3),
        fates=FATES,
    )
    def send(self, event: str, position: int, fates: list[Fate]) -> None:
        """A sender delivers, for the first time or again, to any gateway, over connections that break or not."""
        self.redis.fates.extend(fates)
        attempt = Attempt(event, self.now())
        self.attempts.append(attempt)
        node = self.nodes[position % len(self.nodes)]
        node.tasks.append(self.loop.create_task(self.deliver(node.gateway, attempt)))
        self.run_for(0.01)

    @rule(
        position=st.integers(0, 3),
        fate=st.sampled_from(["confirmed", "refused", "its confirm is lost"]),
        fates=FATES,
    )
    def settle(self, position: int, fate: str, fates: list[Fate]) -> None:
        """The broker confirms one of the messages that wait, or refuses it, or seems to."""
        if not self.publisher.held:
            return
        self.has_faults |= fate == "its confirm is lost"
        self.redis.fates.extend(fates)
        message = self.publisher.settle(position, arrives=fate != "refused", confirms=fate == "confirmed")
        event = content_of(message)
        if self.holders.get(event, (None,))[0] is message:
            del self.holders[event]
        self.run_for(0.1)

    @rule(seconds=st.sampled_from([0.3, SLACK, LEASE + 1]))
    def wait(self, seconds: float) -> None:
        """Until the store is back; until waiters give up; until leases end, under slow publishes too."""
        self.redis.is_away, self.redis.refusal = False, ""
        self.run_for(min(seconds, SLACK))
        self.skipped += max(0.0, seconds - SLACK)

    @rule(
        fault=st.sampled_from(["forget", "garbage", "away", "kill", "OOM", "READONLY"]),
        event=st.sampled_from(EVENTS),
    )
    def disturb(self, fault: str, event: str) -> None:
        """The store forgets, is written to by others, goes away, refuses; a gateway is killed."""
        self.has_faults |= fault in ("forget", "garbage", "kill")
        match fault:
            case "forget":  # it came back empty, or another one took over that had not heard of the keys
                self.redis.clear()
                self.holders.clear()
            case "garbage":
                self.redis.put(claim_key("github", id_of(event)).encode(), b"xyz", LEASE)
                self.holders.pop(event, None)
            case "away":
                self.redis.go_away()
            case "kill":  # what it had published may arrive or not; another one takes its place
                self.loop.run_until_complete(self.nodes.pop(0).kill())
                self.add_node()
            case _:
                self.redis.refusal = f"{fault} refused"
        self.run_for(0.3)

    @invariant()
    def what_is_done_is_published(self) -> None:
        """No stale claim: the sender of an attempt that is answered `done` may forget the event."""
        for event in EVENTS:
            if self.redis.is_done(claim_key("github", id_of(event))):
                arrived = self.publisher.arrived
                assert any(arrived[other] for other in EVENTS if id_of(other) == id_of(event))

    @invariant()
    def what_was_answered_with_success_is_published(self) -> None:
        """Nothing accepted is lost: it had arrived when the answer was given."""
        for attempt in self.attempts:
            if attempt.answer in OUTCOMES.values():
                assert attempt.had_arrived >= 1

    @invariant()
    def no_claim_outlives_its_lease(self) -> None:
        """Whatever becomes of its holder, the event can be delivered again then."""
        for value, expires_at in self.redis.values.values():
            assert not value.startswith(b"pending:") or expires_at <= self.now() + LEASE

    @invariant()
    def copies_are_bounded_by_attempts(self) -> None:
        """And no event is published that nobody sent."""
        attempts = Counter(attempt.event for attempt in self.attempts if attempt.answer != "duplicate")
        for event in EVENTS:
            assert self.publisher.arrived[event] <= attempts[event]

    @invariant()
    def without_need_there_is_one_copy(self) -> None:
        """Repetitions, refused publishes, and replies that are lost but found again duplicate nothing."""
        metrics = [node.metrics for node in self.past]
        if not self.has_faults and not any(each.seen["commit_failure"] for each in metrics):
            assert all(self.publisher.arrived[event] <= 1 for event in EVENTS)
        assert not any(each.seen["id_body_mismatch"] for each in metrics)
        if len({attempt.event for attempt in self.attempts if id_of(attempt.event) == "red"}) < 2:
            assert not any(each.seen["replay_suspected"] for each in metrics)

    @invariant()
    def nobody_saw_a_contradiction(self) -> None:
        """A claim has one holder, and its holder does not take itself for another."""
        assert self.violations == []

    def teardown(self) -> None:
        """When everything works again, every event that was ever sent can be delivered, and is then done."""
        if not hasattr(self, "loop"):
            return
        try:
            # A waiter publishes when it sees that the one before it has failed, and gives up after 1.5 s.
            for _ in range(20 + len(self.attempts)):
                if self.publisher.held:
                    self.settle(0, "refused", [])
                self.run_for(0.1)
            for node in self.nodes:
                assert all(task.done() for task in node.tasks)
            self.redis.fates.clear()
            self.redis.refusal, self.redis.is_away = "", False
            self.skipped += LEASE + 1
            self.run_for(5.0)
            for event in {attempt.event for attempt in self.attempts}:
                self.send_until_accepted(event)
                assert self.redis.is_done(claim_key("github", id_of(event)))
            self.what_is_done_is_published()
            self.what_was_answered_with_success_is_published()
            self.copies_are_bounded_by_attempts()
            self.without_need_there_is_one_copy()
            self.nobody_saw_a_contradiction()
        finally:
            for node in self.nodes:
                self.loop.run_until_complete(node.kill())
            self.run_for(0.01)
            self.loop.close()
            self.patches.close()

    def send_until_accepted(self, event: str) -> None:
        """One more delivery, with a broker that confirms."""
        self.send(event, 0, [])
        self.settle(0, "confirmed", [])
        assert self.attempts[-1].answer in OUTCOMES.values()


class ClaimProtocolOfKeys(ClaimProtocol):
    """The same where finished claims are keys of their own."""

    kind = RedisClaims


ClaimProtocol.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_the_claim_protocol = ClaimProtocol.TestCase
"""Any order of deliveries, confirms, refusals, lost replies, lost stores, lost leases and killed gateways."""

ClaimProtocolOfKeys.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
test_the_claim_protocol_of_keys = ClaimProtocolOfKeys.TestCase
"""As above."""
