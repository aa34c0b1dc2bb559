"""Claims: who handles an event, and which events are done.

A claim is a lease with an owner, not a mark: ``pending:<token>`` for the time of the lease, made ``done``
only after the broker's confirm, released when the publish failed. A claim that is lost costs a duplicate,
never an event. Where the key alone does not name an event, the claim says of which content it is:
``pending:<content>/<token>``, and then ``done:<content>``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Protocol

KEY_PREFIX = "whgw:1"
PROBE_KEY = f"{KEY_PREFIX}:"
"""Nothing is ever stored under it: whoever may remove it, may write."""

DONE = b"done"
PENDING = b"pending:"
_DIGEST_LENGTH = 40  # hexadecimal digits, 160 bits


class Standing(Enum):
    """What the store says to a claim."""

    CLAIMED = "claimed"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    OTHER_IN_FLIGHT = "other_in_flight"
    OTHER_DONE = "other_done"
    """It is of other content: another event has the key."""


class ClaimsUnavailable(Exception):
    """The store did not answer, or answered with an error."""


class ForeignValue(ClaimsUnavailable):
    """What stands under the key is of no gateway. It must never look like a duplicate."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a store tells of itself.

    Attributes:
        clock_offset: seconds that our clock is ahead of the store's; None when it has no other clock than ours.
        warnings: what an operator should change, one sentence each, the same words every time.
    """

    clock_offset: float | None = None
    warnings: tuple[str, ...] = ()


class Claims(Protocol):
    """A store of claims.

    ``commit`` and ``release`` are asked for, not waited for: the event is safe, or will be sent again, whatever
    becomes of them. A claim asked for after them on the same store sees them done.
    """

    @property
    def unavailable_reason(self) -> str:
        """Why the store cannot be used at the moment; empty when it can."""

    @property
    def has_been_ready(self) -> bool:
        """Whether the store has been usable since the start."""

    async def start(self) -> None:
        """Begin to connect. Does not wait for a server that is not there."""

    async def stop(self) -> None:
        """Let go of all resources."""

    async def claim(self, key: str, token: str) -> Standing:
        """Take ``key`` for the time of the lease; ``token`` is unique to this attempt.

        It begins with ``<content>/`` where the key alone does not name the event.

        Raises:
            ClaimsUnavailable: the store did not answer; the claim may have been taken all the same.
        """

    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        """Mark ``key`` as done, whoever holds it: the event, of this ``content``, is published.

        It stays so for ``retention`` seconds, by default for as long as the store remembers by itself.
        """

    def release(self, key: str, token: str) -> None:
        """Give ``key`` back if it is still held under ``token``; if that fails, the lease ends by itself."""

    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        """Hold ``key`` under ``token`` for another lease, taking it again if the store has forgotten it.

        Asked for, not waited for; ``on_loss`` is called if somebody else holds it by now, or it is done.
        """

    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        """Put ``value`` under ``key`` for the retention if nothing is there; ``on_other`` if something else is.

        Asked for, not waited for. It travels with the claim that is asked for directly after it, and
        ``on_other`` is called before that is answered; not at all when the store fails.
        """

    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        """Compare the store's clock with ``clock`` (Unix seconds) and see whether it is set up to keep claims.

        Raises:
            ClaimsUnavailable: the store did not answer.
        """

    async def forget(self, key: str) -> bool:
        """Remove ``key`` in any state, so that the event is accepted again; tells whether it was there.

        Raises:
            ClaimsUnavailable: the store did not answer.
        """


def claim_key(provider: str, event_id: str) -> str:
    """The key of an event: of fixed form and length, whatever the sender calls its events."""
    return f"{KEY_PREFIX}:{provider}:{digest(event_id.encode())}"


def claim_keys(provider: str, name: str) -> list[str]:
    """Return the keys that an event may have which is called ``name``, an id or a ``dedupekey``."""
    keys = [claim_key(provider, name)]
    if re.fullmatch(rf"[0-9a-f]{{{_DIGEST_LENGTH}}}", name):
        keys.append(f"{KEY_PREFIX}:{provider}:{name}")
    if made_up := re.fullmatch(r"([0-9a-f]{64})\.\d+", name):  # which is known for a window
        keys.append(claim_key(provider, made_up[1]))
    return keys


def content_key(provider: str, content_digest: str) -> str:
    """Return the key of the mark that content leaves under which other ids may come; its digest is in hexadecimal."""
    return f"{KEY_PREFIX}:{provider}:body:{content_digest[:_DIGEST_LENGTH]}"


def done_value(content: str) -> bytes:
    """Return what stands under the key of an event that is published."""
    return b"%b:%b" % (DONE, content.encode()) if content else DONE


def digest(content: bytes) -> str:
    """What a key has in place of something of any length."""
    return sha256(content).hexdigest()[:_DIGEST_LENGTH]


def standing_of(value: bytes | None, holder: bytes) -> Standing:
    """What the value found under a key means to the claimer who would store ``holder`` there.

    Raises:
        ForeignValue: the value is not of this program.
    """
    if value is None or value == holder:
        return Standing.CLAIMED
    if value.startswith(DONE):
        content, standing = value[len(DONE) + 1 :], Standing.DONE
    elif value.startswith(PENDING):
        content, standing = _content_of(value), Standing.IN_FLIGHT
    else:
        raise ForeignValue("a foreign value stands under the key")
    own = _content_of(holder)
    if own and content and own != content:
        return Standing.OTHER_DONE if standing is Standing.DONE else Standing.OTHER_IN_FLIGHT
    return standing


def _content_of(pending: bytes) -> bytes:
    content, slash, _ = pending[len(PENDING) :].partition(b"/")
    return content if slash else b""


def call_on_failure(result: asyncio.Future[Any], on_failure: Callable[[], None]) -> None:
    """Call ``on_failure`` if ``result`` fails; its exception counts as seen."""

    def judge(done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            on_failure()

    result.add_done_callback(judge)


def ignore_failure() -> None:
    """What is called when it does not matter."""
