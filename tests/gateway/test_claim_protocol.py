"""The promise of the whole, under every mix of faults.

Nothing accepted is lost, nothing is published twice without need, and no event is called done that is not.
"""

from __future__ import annotations

import asyncio
import hmac
import selectors
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.app import Gateway
from gateway.claims import DONE, ClaimsUnavailable, Standing, claim_key
from gateway.claims.memory import MemoryClaims
from gateway.config import Config
from gateway.publishers import Message, PublishUnavailable
from gateway.schemas import Catalogue

SECRET = "a secret of the senders"
LEASE = 30.0
EVENTS = ("red", "green", "blue")
DUPLICATE = "duplicate"
NO_SCHEMAS = Catalogue({})  # compiling them for every example would take most of the time


class VirtualTimeSelector(selectors.SelectSelector):
    """Waits by moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Let the time pass that there would be to wait."""
        if timeout is None:
            raise AssertionError("everything waits for something that nobody will do")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    def __init__(self) -> None:
        self.selector = VirtualTimeSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Seconds since this loop was made."""
        return self.selector.now


class FaultyClaims(MemoryClaims):
    """A store that can be away, lose a reply after doing what was asked, and forget."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(LEASE, 3600.0, clock)
        self.is_away = False
        self.loses_replies = False

    async def claim(self, key: str, token: str) -> Standing:
        """See :class:`gateway.claims.Claims`."""
        if self.is_away:
            raise ClaimsUnavailable("away")
        standing = await super().claim(key, token)
        if self.loses_replies:
            raise ClaimsUnavailable("the reply was lost")
        return standing

    def commit(self, key: str, on_failure: Callable[[], None]) -> None:
        """See :class:`gateway.claims.Claims`."""
        if not self.is_away:
            super().commit(key, on_failure)
        if self.is_away or self.loses_replies:
            on_failure()

    def release(self, key: str, token: str) -> None:
        """See :class:`gateway.claims.Claims`."""
        if not self.is_away:
            super().release(key, token)

    def lose_everything(self) -> None:
        """As a restart without persistence does."""
        self._values.clear()

    def is_done(self, key: str) -> bool:
        """Whether an attempt would be told that the event is done."""
        value = self._get(key)
        return value is not None and value.startswith(DONE)


class HoldingPublisher:
    """A broker that confirms, or not, when the test says so."""

    trouble = ""
    spooled = 0
    is_accepting = True
    was_ready = True

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.held: list[tuple[Message, asyncio.Future[None]]] = []

    @property
    def unconfirmed(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return len(self.held)

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""

    def publish(self, message: Message) -> asyncio.Future[None]:
        """See :class:`gateway.publishers.Publisher`."""
        confirm = asyncio.get_running_loop().create_future()
        self.held.append((message, confirm))
        return confirm

    def settle(self, position: int, *, arrives: bool, confirms: bool) -> None:
        """Decide what becomes of one message that waits."""
        message, confirm = self.held.pop(position % len(self.held))
        self.arrived[message.message_id] += arrives
        if confirms:
            confirm.set_result(None)
        else:
            confirm.set_exception(PublishUnavailable("not confirmed"))


class Attempt:
    """One delivery of an event by its sender."""

    def __init__(self, event: str) -> None:
        self.event = event
        self.answer = ""
        self.had_arrived = 0


class ClaimProtocol(RuleBasedStateMachine):
    """Senders that repeat what they like, a store and a broker that fail as they like."""

    @initialize(accepts_unchecked=st.booleans())
    def start(self, *, accepts_unchecked: bool) -> None:
        """A gateway without a network."""
        self.loop = VirtualTimeLoop()
        self.skipped = 0.0
        self.claims = FaultyClaims(lambda: self.loop.time() + self.skipped)
        self.publisher = HoldingPublisher()
        config = Config.model_validate(
            {
                "providers": {"github": {"adapter": "github", "secrets": [SECRET]}},
                "dedupe": {"on_unavailable": "accept" if accepts_unchecked else "reject"},
            }
        )
        with patch.object(Catalogue, "bundled", return_value=NO_SCHEMAS):
            self.gateway = Gateway(config, Path(), claims=self.claims, publisher=self.publisher)
        self.attempts: list[Attempt] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.has_faults = False

    def run_for(self, seconds: float) -> None:
        """Let everything happen that happens within this time."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    async def deliver(self, attempt: Attempt) -> None:
        """POST the event and note the answer."""
        body = b'{"zen":"%b"}' % attempt.event.encode()
        headers = [
            (b"x-github-delivery", attempt.event.encode()),
            (b"x-github-event", b"ping"),
            (
                b"x-hub-signature-256",
                b"sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest().encode(),
            ),
        ]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/webhooks/github",
            "raw_path": b"/webhooks/github",
            "query_string": b"",
            "headers": headers,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.note(attempt, message["status"])

        await self.gateway.public(scope, receive, send)

    def note(self, attempt: Attempt, status: int) -> None:
        """Remember an answer, and how often the event had arrived when it was given."""
        attempt.answer = {202: "accepted", 200: DUPLICATE, 503: "unavailable"}[status]
        attempt.had_arrived = self.publisher.arrived[attempt.event]

    @rule(event=st.sampled_from(EVENTS))
    def send(self, event: str) -> None:
        """A sender delivers, for the first time or again."""
        attempt = Attempt(event)
        self.attempts.append(attempt)
        self.tasks.append(self.loop.create_task(self.deliver(attempt)))
        self.run_for(0.01)

    @rule(position=st.integers(0, 9))
    def confirm(self, position: int) -> None:
        """The broker confirms one of the messages that wait."""
        if self.publisher.held:
            self.publisher.settle(position, arrives=True, confirms=True)
        self.run_for(0.1)

    @rule(position=st.integers(0, 9), arrives=st.booleans())
    def fail_a_publish(self, position: int, *, arrives: bool) -> None:
        """The broker refuses, or its confirm is lost on the way."""
        if self.publisher.held:
            self.has_faults |= arrives
            self.publisher.settle(position, arrives=arrives, confirms=False)
        self.run_for(0.1)

    @rule()
    def let_waiters_give_up(self) -> None:
        """More time than a request waits for another one."""
        self.run_for(2.0)

    @rule()
    def end_leases(self) -> None:
        """A holder was too slow, or died."""
        self.has_faults = True
        self.skipped += LEASE + 1

    @rule()
    def lose_the_store(self) -> None:
        """Its server came back empty."""
        self.has_faults = True
        self.claims.lose_everything()

    @rule(is_away=st.booleans(), loses_replies=st.booleans())
    def change_the_weather(self, *, is_away: bool, loses_replies: bool) -> None:
        """The store goes away or comes back; the way back from it breaks or heals."""
        self.has_faults |= is_away or loses_replies
        self.claims.is_away, self.claims.loses_replies = is_away, loses_replies

    @invariant()
    def what_is_done_is_published(self) -> None:
        """No stale claim: an attempt that is told `done` may be forgotten by its sender."""
        for event in EVENTS:
            if self.claims.is_done(claim_key("github", event)):
                assert self.publisher.arrived[event] >= 1

    @invariant()
    def what_was_answered_with_success_is_published(self) -> None:
        """Nothing accepted is lost: it had arrived when the answer was given."""
        for attempt in self.attempts:
            if attempt.answer in ("accepted", DUPLICATE):
                assert attempt.had_arrived >= 1

    @invariant()
    def copies_are_bounded_by_attempts(self) -> None:
        """And no event is published that nobody sent."""
        attempts = Counter(attempt.event for attempt in self.attempts if attempt.answer != DUPLICATE)
        for event in EVENTS:
            assert self.publisher.arrived[event] <= attempts[event]

    @invariant()
    def without_faults_there_is_one_copy(self) -> None:
        """Repetitions and refused publishes alone duplicate nothing."""
        if not self.has_faults:
            assert all(self.publisher.arrived[event] <= 1 for event in EVENTS)

    def teardown(self) -> None:
        """When everything works again, every event that was ever sent can be delivered, and is then done."""
        if not hasattr(self, "loop"):
            return
        try:
            for _ in self.tasks:  # a waiter publishes when the one before it has failed
                if self.publisher.held:
                    self.publisher.settle(0, arrives=False, confirms=False)
                self.run_for(0.1)
            self.run_for(2.0)
            assert all(task.done() for task in self.tasks)
            assert all(attempt.answer for attempt in self.attempts)
            self.claims.is_away = self.claims.loses_replies = False
            self.skipped += LEASE + 1
            for event in {attempt.event for attempt in self.attempts}:
                self.send_until_accepted(event)
                assert self.claims.is_done(claim_key("github", event))
            self.what_is_done_is_published()
            self.what_was_answered_with_success_is_published()
            self.copies_are_bounded_by_attempts()
            self.without_faults_there_is_one_copy()
        finally:
            for task in self.tasks:
                task.cancel()
            self.run_for(0.01)
            self.loop.close()

    def send_until_accepted(self, event: str) -> None:
        """One more delivery, with a broker that confirms."""
        self.send(event)
        if self.publisher.held:
            self.publisher.settle(0, arrives=True, confirms=True)
            self.run_for(0.01)
        assert self.attempts[-1].answer in ("accepted", DUPLICATE)


ClaimProtocol.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
test_the_claim_protocol = ClaimProtocol.TestCase
"""Any order of deliveries, confirms, refusals, lost replies, lost stores and lost leases."""
