"""What came, and how the application answered: the state that the screen shows and the lines tell."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import orjson

from gateway.cli.listening.sending import LocalSender
from gateway.observability.terminal import one_line
from gateway.outbound.client import Result
from gateway.outbound.outcomes import Outcome

MAX_KEPT = 1000
"""Events that are kept; the oldest go."""


@dataclass
class Item:
    """An event that came.

    Attributes:
        number: Its number, from 1.
        key: Its routing key.
        body: The CloudEvent in JSON.
        event_id: Its id.
        summary: Its one line; may be empty.
        came_at: When it came, in Unix seconds.
        sent: How each sending of it ended, oldest first.
        is_edited: Whether somebody has changed it.
        is_sending: Whether it is under way.
    """

    number: int
    key: str
    body: bytes
    event_id: str = ""
    summary: str = ""
    came_at: float = field(default_factory=time.time)
    sent: list[Result] = field(default_factory=list)
    is_edited: bool = False
    is_sending: bool = False

    def __post_init__(self) -> None:
        """Read what a line shows."""
        try:
            event = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            event = None
        if isinstance(event, dict):
            self.event_id = str(event.get("id", ""))
            self.summary = str(event.get("summary", ""))

    @property
    def last(self) -> Result | None:
        """How the last sending ended."""
        return self.sent[-1] if self.sent else None

    @property
    def is_success(self) -> bool:
        """Whether the application took it."""
        return self.last is not None and self.last.outcome is Outcome.DELIVERED

    def ended(self) -> str:
        """Return how the last sending ended, in a few words."""
        if self.is_sending:
            return "sending"
        if self.last is None:
            return "not sent"
        if self.last.status is not None:
            return f"{self.last.status} in {self.last.ms:.0f} ms"
        words = self.last.outcome.value.replace("_", " ")
        return f"{words}: {self.last.detail}" if self.last.detail else words

    def line(self) -> str:
        """Return it in columns two spaces apart, however long: time, key, id, result, summary."""
        moment = time.strftime("%H:%M:%S", time.localtime(self.came_at))
        mark = " (edited)" if self.is_edited else ""
        parts = (moment, self.key, self.event_id + mark, self.ended(), self.summary)
        return "  ".join(one_line(each) for each in parts if each)


class Session:
    """All that came.

    Args:
        sender: Sends to the application.
    """

    def __init__(self, sender: LocalSender) -> None:
        self.sender = sender
        self.items: deque[Item] = deque(maxlen=MAX_KEPT)
        self._number = 0

    def add(self, key: str, body: bytes, *, is_edited: bool = False) -> Item:
        """Keep an event."""
        self._number += 1
        item = Item(self._number, key, body, is_edited=is_edited)
        self.items.append(item)
        return item

    async def send(self, item: Item) -> Result:
        """Send an event, once more if it was sent before."""
        item.is_sending = True
        try:
            result = await self.sender.send(item.key, item.body)
            item.sent.append(result)
        finally:
            item.is_sending = False
        return result
