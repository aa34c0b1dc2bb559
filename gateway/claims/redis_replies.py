"""Where the replies of Redis go: futures, and what looks like one to a connection but costs less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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


class CollectedReplies:
    """The replies to several commands, which are passed on together. An error of the server is one of them."""

    __slots__ = ("_future", "_missing", "_replies")

    def __init__(self, future: asyncio.Future[list[Any]], count: int) -> None:
        self._future = future
        self._missing = count
        self._replies: list[Any] = []

    def done(self) -> bool:
        """Return whether nobody waits any more."""
        return self._future.done()

    def set_result(self, reply: Any) -> None:
        """Collect one reply, and pass on all when it is the last."""
        self._replies.append(reply)
        self._missing -= 1
        if not self._missing:
            self._future.set_result(self._replies)

    def set_exception(self, error: Exception) -> None:
        """Collect the server's error, or fail with that of the connection."""
        if isinstance(error, hiredis.ReplyError):
            self.set_result(error)
        else:
            self._future.set_exception(error)


IGNORED = IgnoredReply(ignore_failure)
"""The reply to a command that nobody waits for, and whose failure does not matter."""

Reply = asyncio.Future[Any] | IgnoredReply | CollectedReplies
"""Where a reply goes: a future, or what looks like one to a connection."""
