"""Where the events come from: the archive of the gateway beside this, or that of another one, through its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import msgspec

from gateway.config import Config
from gateway.errors import OperatorError
from gateway.operations.following import FollowedEvent, Position, follow
from gateway.transport.topic_patterns import routing_pattern

_POLL_DELAY = 0.5
"""Seconds between two looks into an archive on this machine."""

_WAIT = 20.0
"""Seconds for which the other gateway may wait for an event."""

_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before another try while the gateway is away; the last goes for all that follow."""


class Source(Protocol):
    """Where events come from."""

    def batches(self, cursor: str) -> AsyncIterator[tuple[list[FollowedEvent], str]]:
        """Yield what came, with the cursor after it, for ever; empty lists say that the source was looked at.

        Raises:
            OperatorError: It cannot go on, and why.
        """


class LocalSource:
    """The archive of the configured gateway.

    Args:
        config: The configuration.
        pattern: A pattern over routing keys.
        since: Where to begin without a cursor, in Unix seconds.
    """

    def __init__(self, config: Config, pattern: str, since: float) -> None:
        self._config = config
        self._patterns = (routing_pattern(pattern),)
        self._since = since

    async def batches(self, cursor: str) -> AsyncIterator[tuple[list[FollowedEvent], str]]:
        """As :class:`Source` says."""
        place, _, at = cursor.partition(" ")
        position = Position(int(place), float(at)) if cursor else Position(-1, self._since)
        failures = 0
        while True:
            try:
                found = await follow(self._config, position, self._patterns)
            except OSError:
                await asyncio.sleep(_RETRY_DELAYS[min(failures, len(_RETRY_DELAYS) - 1)])
                failures += 1
                continue
            failures, position = 0, found.position
            yield found.events, f"{position.place} {position.at}"
            if not found.events:
                await asyncio.sleep(_POLL_DELAY)


class _Archived(msgspec.Struct):
    key: str
    event: msgspec.Raw


class _Page(msgspec.Struct):
    data: list[_Archived]
    next: str


class RemoteSource:
    """The archive of another gateway.

    Args:
        url: The address of its operator's listener.
        token: A token of the role operator.
        pattern: A pattern over routing keys.
        since: Where to begin without a cursor, in Unix seconds.
    """

    def __init__(self, url: str, token: str, pattern: str, since: float) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._pattern = pattern
        self._since = since

    async def batches(self, cursor: str) -> AsyncIterator[tuple[list[FollowedEvent], str]]:
        """As :class:`Source` says."""
        headers = {"authorization": f"Bearer {self._token}"}
        failures = 0
        async with httpx.AsyncClient(
            base_url=self._url, headers=headers, timeout=_WAIT + 15, trust_env=False
        ) as client:
            while True:
                query: dict[str, Any] = {"match": self._pattern, "wait": _WAIT}
                query |= {"cursor": cursor} if cursor else {"since": self._since}
                try:
                    response = await client.get("/api/v1/archive", params=query)
                except httpx.TransportError:
                    response = None
                if response is None or response.status_code in {429, 502, 503, 504}:
                    await asyncio.sleep(_RETRY_DELAYS[min(failures, len(_RETRY_DELAYS) - 1)])
                    failures += 1
                    continue
                page, failures = self._read(response), 0
                cursor = page.next
                yield [FollowedEvent(each.key, bytes(each.event)) for each in page.data], cursor

    def _read(self, response: httpx.Response) -> _Page:
        try:
            if response.status_code == 200:
                return msgspec.json.decode(response.content, type=_Page)
            detail = response.json().get("detail", "")
        except (ValueError, AttributeError, msgspec.MsgspecError):
            detail = ""
        hints = {
            401: "the token is unknown or has ended; make one with `gateway console tokens create NAME --role operator`",
            403: "the token needs the role operator",
            404: "there is no such gateway, or it is older than this program",
        }
        reason = hints.get(response.status_code) or detail or "the answer is not that of a gateway"
        raise OperatorError(f"{self._url} answered {response.status_code}: {reason}")
