"""Where the replies of Redis go: futures, and what looks like one to a connection but costs less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import hiredis
from typing_extensions import override

from gateway.claims import ignore_failure


class IgnoredReply:
    """A reply that nobody waits for. A future would cost as much as the rest of the command."""

    __slots__ = ("_on_failure",)

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure

    def done(self) -> bool:
        """Return whether nobody waits any more: never."""
        return False

    def set_result(self, _: Any) -> None:
        """Ignore a reply that is no error."""

    def set_exception(self, _: Exception) -> None:
        """Report the failure."""
        self._on_failure()


class ForwardedReply(IgnoredReply):
    """A reply that is passed to a callback."""

    __slots__ = ("_on_reply",)

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        super().__init__(ignore_failure)
        self._on_reply = on_reply

    @override
    def set_result(self, reply: Any) -> None:
        self._on_reply(reply)


IGNORED = IgnoredReply(ignore_failure)
"""The reply to a command that nobody waits for, and whose failure does not matter."""

Reply = asyncio.Future[Any] | IgnoredReply | list[Any]
"""Where a reply goes: a future, what looks like one to a connection, or a list to which it is appended."""


def refuse(waiter: Reply, error: hiredis.ReplyError) -> None:
    """Pass on an error of the server."""
    if isinstance(waiter, list):
        waiter.append(error)
    elif not waiter.done():  # else its request was cancelled
        waiter.set_exception(error)


def fail(replies: Iterable[Reply], error: OSError) -> None:
    """Fail the replies that will not come. A list is left as it is: a future that follows it fails."""
    for reply in replies:
        if not isinstance(reply, list) and not reply.done():
            reply.set_exception(error)
