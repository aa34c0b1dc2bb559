"""The policy over claims: which event is ours, which is suspect, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from gateway.claims import ClaimsUnavailable, ForeignValue, Standing, claim_key
from gateway.claims.dedupe import GENERATION_SIZE, MAX_WAIT, Claim, Dedupe
from gateway.claims.event_key import EventKey
from gateway.claims.memory import MemoryClaims
from gateway.errors import DedupeUnavailable
from support.incidents import Incidents
from support.waiting import wait_until_async

BODY = b'{"zen":"Practicality beats purity."}'


class CountingClaims(MemoryClaims):
    """A store that counts how often it is asked for a claim."""

    asked = 0

    async def claim(self, key: str, token: str) -> Standing:
        """See :class:`gateway.claims.Claims`."""
        self.asked += 1
        return await super().claim(key, token)


class House:
    """The policy over a store in memory."""

    def __init__(self, claims: CountingClaims | None = None) -> None:
        self.claims = claims or CountingClaims()
        self.dedupe = Dedupe(self.claims, accepts_unchecked=True)
        self.metrics = Incidents()

    async def acquire(
        self,
        event_id: str,
        body: bytes = BODY,
        *,
        is_id_signed: bool = False,
        max_wait: float = MAX_WAIT,
    ) -> Claim | None:
        """As the pipeline asks."""
        digest = sha256(body).hexdigest()
        content, mark = ("", "") if is_id_signed else (digest[:15], digest)
        key = EventKey(event_id, event_id, content, mark)
        return await self.dedupe.acquire("github", key, body, self.metrics, max_wait=max_wait)

    async def publish(self, event_id: str, body: bytes = BODY, *, is_id_signed: bool = False) -> Claim:
        """An event on all its way."""
        claim = await self.acquire(event_id, body, is_id_signed=is_id_signed)
        assert claim is not None
        self.dedupe.commit(claim, self.metrics)
        return claim


class BrokenMarks(CountingClaims):
    """A store in which no mark arrives."""

    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        """See :class:`gateway.claims.Claims`."""


class Refusing(CountingClaims):
    """A store that raises what it was given."""

    def __init__(self, error: ClaimsUnavailable) -> None:
        super().__init__()
        self.error = error

    async def claim(self, key: str, token: str) -> Standing:
        """See :class:`gateway.claims.Claims`."""
        raise self.error


async def test_a_body_under_another_unsigned_id_is_published_and_suspect() -> None:
    """Identical bodies can be legitimate, so it is not dropped; it is counted once it is published."""
    house = House()
    first = await house.publish("1")
    second = await house.publish("2")

    assert not first.is_replay_suspected
    assert second.is_replay_suspected
    assert house.metrics.seen["replay_suspected"] == 1


@pytest.mark.parametrize(
    ("event_id", "body", "is_id_signed"),
    [("2", BODY, True), ("2", BODY + b" ", False)],
    ids=["the id is signed", "another body"],
)
async def test_nothing_else_is_suspect(event_id: str, body: bytes, *, is_id_signed: bool) -> None:
    """A signed id is the sender's own, and another body is another event."""
    house = House()
    await house.publish("1")

    assert not (await house.publish(event_id, body, is_id_signed=is_id_signed)).is_replay_suspected


async def test_a_retry_after_a_failed_publish_is_not_suspect() -> None:
    """The mark holds its own id."""
    house = House()
    claim = await house.acquire("1")
    assert claim is not None
    house.dedupe.release(claim)

    assert not (await house.publish("1")).is_replay_suspected


async def test_a_failing_mark_does_not_hinder_the_event() -> None:
    """It is claimed and published; the suspicion is lost."""
    house = House(BrokenMarks())
    await house.publish("1")

    claim = await house.publish("2")
    assert claim.is_held
    assert not claim.is_replay_suspected


async def test_a_duplicate_with_another_body_is_counted() -> None:
    """It stays a duplicate where the id is signed, and is logged; the same body is not counted."""
    house = House()
    await house.publish("1", is_id_signed=True)
    assert await house.acquire("1", is_id_signed=True) is None
    assert house.metrics.seen["id_body_mismatch"] == 0
    with capture_logs() as logs:
        assert await house.acquire("1", b"{}", is_id_signed=True) is None

    assert house.metrics.seen["id_body_mismatch"] == 1
    assert [(line["event"], line["event_id"]) for line in logs] == [("duplicate with another body", "1")]


async def test_an_unsigned_id_that_is_known_swallows_no_other_content() -> None:
    """It is published, marked, under a name of its own, and a repetition of it is a duplicate; so is one of the first."""
    house = House()
    first = await house.publish("1")
    second = await house.publish("1", b"{}")

    assert not first.is_replay_suspected
    assert first.dedupe_key is None
    assert second.is_replay_suspected
    assert second.dedupe_key == second.key.rpartition(":")[2] != first.key.rpartition(":")[2]
    assert await house.acquire("1", b"{}") is None
    assert await house.acquire("1") is None
    assert house.metrics.seen["id_body_mismatch"] == 0


async def test_other_content_waits_for_an_unsigned_id_that_is_held() -> None:
    """When the holder fails, it has the id to itself; when it goes on for too long, it is published beside it."""
    house = House()
    held = await house.acquire("1")
    assert held is not None
    waiting = asyncio.ensure_future(house.acquire("1", b"{}"))
    await wait_until_async(lambda: house.claims.asked >= 3)
    house.dedupe.release(held)
    claim = await waiting

    assert claim is not None
    assert not claim.is_replay_suspected
    again = await house.acquire("1", max_wait=0.0)
    assert again is not None
    assert again.is_replay_suspected


async def test_while_the_store_is_away_other_content_is_no_duplicate() -> None:
    """Of what was published here under the same unsigned id."""
    house = House(Refusing(ClaimsUnavailable("away")))
    await house.publish("1")

    claim = await house.publish("1", b"{}")
    assert claim.is_replay_suspected
    assert await house.acquire("1", b"{}") is None
    assert await house.acquire("1") is None


async def test_an_event_is_remembered_for_its_own_retention() -> None:
    """As its mark is."""
    now = 0.0
    house = House(CountingClaims(retention=1000.0, clock=lambda: now))
    key = EventKey("1", "1", mark="00", retention=10.0)
    for second, is_known in ((0.0, False), (9.0, True), (11.0, False)):
        now = second
        claim = await house.dedupe.acquire("github", key, BODY, house.metrics)
        assert (claim is None) == is_known
        if claim:
            house.dedupe.commit(claim, house.metrics)


async def test_only_recent_bodies_are_remembered() -> None:
    """A bounded number; a forgotten one is no mismatch."""
    house = House()
    for number in range(2 * GENERATION_SIZE + 1):
        await house.publish(str(number), is_id_signed=True)
    for number in (0, 2 * GENERATION_SIZE):
        assert await house.acquire(str(number), b"{}", is_id_signed=True) is None

    assert house.metrics.seen["id_body_mismatch"] == 1


async def test_a_refusing_store_is_logged_once_a_while() -> None:
    """Not once an event; every event goes out unchecked."""
    house = House(Refusing(ClaimsUnavailable("OOM")))
    with capture_logs() as logs:
        for number in range(3):
            assert not (await house.publish(str(number))).is_held

    assert [line["cause"] for line in logs] == ["OOM"]
    assert house.metrics.seen["unchecked"] == 3


@pytest.mark.parametrize("accepts_unchecked", [True, False])
async def test_while_the_store_is_away_what_was_published_here_is_a_duplicate(
    accepts_unchecked: bool,
) -> None:
    """Nobody needs to be asked about that; anything else is as it is configured."""
    claims = Refusing(ClaimsUnavailable("away"))
    house = House(claims)
    house.dedupe.accepts_unchecked = True
    await house.publish("1")
    house.dedupe.accepts_unchecked = accepts_unchecked

    assert await house.acquire("1") is None
    if accepts_unchecked:
        assert await house.acquire("2") is not None
    else:
        with pytest.raises(DedupeUnavailable):
            await house.acquire("2")


async def test_a_foreign_value_is_logged_with_its_key() -> None:
    """Somebody else writes where only gateways should."""
    house = House(Refusing(ForeignValue("a foreign value")))
    with capture_logs() as logs:
        assert not (await house.publish("1")).is_held

    assert [line["key"] for line in logs] == [claim_key("github", "1")]
