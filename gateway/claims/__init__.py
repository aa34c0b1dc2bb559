"""Claims: who publishes an event, and which events are published.

A claim is a lease with an owner, not a mark: its value is ``pending:<token>`` for the time of the lease, becomes
``done`` only after the broker's confirm, and is removed if the publish failed. A lost claim costs a duplicate, never
an event. If the key alone does not identify an event, the value names the content too: ``pending:<content>/<token>``,
later ``done:<content>``.

This module holds the port (:class:`Claims`), the keys and the values; it is read first.
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
"""The start of every key, with the version of the format."""

PROBE_KEY = f"{KEY_PREFIX}:"
"""A key that no event has, to find out whether this user may write and delete."""

DONE = b"done"
"""The value, or its start, under the key of a published event."""

PENDING = b"pending:"
"""The start of the value while an attempt holds the lease."""

_DIGEST_LENGTH = 40
"""The hexadecimal digits of a digest in a key: 160 bits, so that nobody finds two ids with one digest."""


class Standing(Enum):
    """The store's answer to a claim."""

    __hash__ = object.__hash__  # that of Enum is a function in Python

    CLAIMED = "claimed"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    OTHER_IN_FLIGHT = "other_in_flight"
    OTHER_DONE = "other_done"
    """The key belongs to another event: its content differs."""


class ClaimsUnavailable(Exception):
    """Raised when the store does not answer, or answers with an error."""


class ForeignValue(ClaimsUnavailable):
    """Raised when the key holds a value that no gateway wrote. Never treat it as a duplicate."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a store reports about itself.

    Attributes:
        clock_offset: Seconds by which our clock is ahead of the store's; None if the store has no clock of its own.
        warnings: What an operator should change, one sentence each. The same fact always has the same words.
    """

    clock_offset: float | None = None
    warnings: tuple[str, ...] = ()


class Claims(Protocol):
    """A store of claims, shared by all gateways that must not publish an event twice.

    ``commit``, ``release``, ``renew`` and ``mark`` return at once: the event is safe, or will be sent again, whether
    they succeed or not. A ``claim`` that follows them on the same object sees them done. No method guarantees that a
    claim survives: a store may lose its data, which costs duplicates.
    """

    @property
    def unavailable_reason(self) -> str:
        """Return why the store cannot be used at the moment; empty if it can."""

    @property
    def has_been_tried(self) -> bool:
        """Return whether it has been found out since the start if the store can be used."""

    async def start(self) -> None:
        """Start connecting in the background. A server that is away is no error."""

    async def stop(self) -> None:
        """Carry out what was asked for, and release all resources."""

    async def reload_certificates(self) -> None:
        """Connect anew if the files of TLS have changed. By default there are none."""
        return

    async def claim(self, key: str, token: str) -> Standing:
        """Take ``key`` for the time of the lease, if it is free.

        Args:
            key: From :func:`claim_key`.
            token: Unique to this attempt. It begins with ``<content>/`` if the key alone does not identify the event.

        Raises:
            ClaimsUnavailable: The store did not answer. The key may have been taken all the same.
            ForeignValue: The key holds a value that no gateway wrote.
        """

    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        """Mark the event as published, even if another attempt holds ``key`` by now.

        Args:
            key: The key of the event.
            on_failure: Called if the store did not carry it out, or did not answer.
            content: Identifies the event together with the key, if the key alone does not.
            retention: Seconds that the event is remembered; by default those of the store.
        """

    def release(self, key: str, token: str) -> None:
        """Free ``key`` if ``token`` still holds it. If that fails, the lease ends by itself."""

    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        """Extend the lease of ``token`` on ``key``, and take the key again if it was forgotten.

        ``on_loss`` is called if another attempt holds it by now, or the event is published; not if the store fails.
        """

    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        """Put ``value`` under ``key`` for the retention, unless the key has a value.

        ``on_other`` is called if it has another value; not if the store fails. The command travels with the ``claim``
        that directly follows, and ``on_other`` is called before that claim is answered.
        """

    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        """Compare the store's clock with ``clock`` (Unix seconds), and check its configuration.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """

    async def look_up(self, key: str) -> Standing | None:
        """Return what is under ``key``, and change nothing: `DONE`, `IN_FLIGHT`, or None if there is nothing.

        Raises:
            ClaimsUnavailable: The store did not answer.
            ForeignValue: The key holds a value that no gateway wrote.
        """

    async def forget(self, key: str) -> bool:
        """Remove ``key`` in any state and return whether it existed; the event is accepted again.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """


def claim_key(provider: str, event_id: str) -> str:
    """Return the key of an event. Its form and length do not depend on the provider's id."""
    return f"{KEY_PREFIX}:{provider}:{digest(event_id.encode())}"


def claim_keys(provider: str, name: str) -> list[str]:
    """Return every key that an event may have whose id or ``dedupekey`` is ``name``."""
    keys = [claim_key(provider, name)]
    if re.fullmatch(rf"[0-9a-f]{{{_DIGEST_LENGTH}}}", name):
        keys.append(f"{KEY_PREFIX}:{provider}:{name}")
    if derived := re.fullmatch(r"([0-9a-f]{64})\.\d+", name):  # a digest with the number of its time window
        keys.append(claim_key(provider, derived[1]))
    return keys


def content_key(provider: str, content_digest: str) -> str:
    """Return the key of the mark by which the same content is recognised under another id.

    Args:
        provider: The provider's name.
        content_digest: The hexadecimal digest of the content.
    """
    return f"{KEY_PREFIX}:{provider}:body:{content_digest[:_DIGEST_LENGTH]}"


def done_value(content: str) -> bytes:
    """Return the value under the key of a published event."""
    return b"%b:%b" % (DONE, content.encode()) if content else DONE


def digest(content: bytes) -> str:
    """Return the digest that represents ``content`` in a key."""
    return sha256(content).hexdigest()[:_DIGEST_LENGTH]


def standing_of(value: bytes | None, holder: bytes) -> Standing:
    """Interpret the value found under a key, for an attempt that would store ``holder`` there.

    Raises:
        ForeignValue: No gateway wrote the value.
    """
    if value is None or value == holder:
        return Standing.CLAIMED
    if value.startswith(DONE):
        content, standing = value[len(DONE) + 1 :], Standing.DONE
    elif value.startswith(PENDING):
        content, standing = _content_of(value), Standing.IN_FLIGHT
    else:
        raise ForeignValue("the key holds a value that no gateway wrote")
    own = _content_of(holder)
    if own and content and own != content:
        return Standing.OTHER_DONE if standing is Standing.DONE else Standing.OTHER_IN_FLIGHT
    return standing


def standing_alone(value: bytes | None) -> Standing | None:
    """Interpret the value found under a key, for somebody who only looks.

    Raises:
        ForeignValue: No gateway wrote the value.
    """
    return None if value is None else standing_of(value, b"")


def _content_of(pending: bytes) -> bytes:
    content, slash, _ = pending[len(PENDING) :].partition(b"/")
    return content if slash else b""


def call_on_failure(result: asyncio.Future[Any], on_failure: Callable[[], None]) -> None:
    """Call ``on_failure`` if ``result`` fails, and mark its exception as retrieved."""

    def check(done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            on_failure()

    result.add_done_callback(check)


def ignore_failure() -> None:
    """Do nothing: the callback for a failure that does not matter."""
