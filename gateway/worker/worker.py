"""A worker as it is declared: its queue, its events, its handlers, and how patient it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Literal, TypeVar, cast

from gateway.transport.topic_patterns import matches, routing_pattern
from gateway.worker.event import Event
from gateway.worker.rate_limit import RateLimit

Handler = Callable[[Event], None] | Callable[[Event], Awaitable[None]]
Attribute = str | Callable[[Event], object]
"""Of an event: its name, or what finds it."""
GuardMode = Literal["strict", "lenient", "off"]
H = TypeVar("H", bound=Handler)

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_PATTERN = re.compile(r"[A-Za-z0-9_*#-]+(?:\.[^\x00-\x1f\x7f-\x9f]+)?")
_LONGEST_PATTERN = 255
_REMEMBERED_KEYS = 4096
_RANKS = {"*": 1, "#": 2}
_TEXTS = [name for name, field in Event.model_fields.items() if field.annotation in (str, str | None)]
_LOOKED_AT = 20  # events for each that is handled


class Worker:
    """Handles the events of one queue. Several processes may run the same worker, and share its events.

    Args:
        queue: the name of the queue, this worker's own; ``<queue>.dead`` and ``<queue>.retry.<seconds>`` go with it.
        events: patterns of routing keys, ``<provider>.<event type>``: ``*`` is one word, ``#`` any number. The event
            type may be as its sender spells it.
        attempts: how often an event is tried before it goes to the dead queue.
        retry_from: seconds until the second attempt; every further one waits twice as long.
        retry_most: seconds that are waited at most.
        concurrency: events that a process handles at a time.
        timeout: seconds for one event, of coroutines alone: nothing can stop a thread.
        grace: seconds that handlers have to finish when the process is told to end.
        guard: what happens without the store that remembers what is done: ``strict`` lets events wait in the queue,
            ``lenient`` handles them, at the risk of twice; ``off`` never asks the store.
        ordered_by: the attribute whose events are handled one after another, as they came, across processes too; or
            a function that finds it in an event. Events in which it is None go beside all others. With RabbitMQ one
            process at a time receives, and others stand by.
        limit: how many events may begin in any time, such as ``60/minute``, across processes.
        by: the attribute, or a function, for whose every value that holds by itself.
        pause_after: failures in a row after which a process receives nothing for a while: 10 seconds, then twice as
            long after every event that is tried and fails, up to 5 minutes. None for never.

    Raises:
        ValueError: one of these makes no sense.
    """

    def __init__(
        self,
        queue: str,
        events: Sequence[str],
        *,
        attempts: int = 8,
        retry_from: float = 1.0,
        retry_most: float = 3600.0,
        concurrency: int = 10,
        timeout: float | None = None,
        grace: float = 30.0,
        guard: GuardMode = "strict",
        ordered_by: Attribute | None = None,
        limit: str | None = None,
        by: Attribute | None = None,
        pause_after: int | None = 20,
    ) -> None:
        patterns = _check(queue, events)
        if attempts < 1 or concurrency < 1 or not 0 < retry_from <= retry_most or grace < 0:
            raise ValueError(
                "attempts and concurrency are 1 at least, grace 0; retry_from is more than 0 and not above retry_most"
            )
        if pause_after is not None and pause_after < 1:
            raise ValueError("pause_after is 1 at least, or None")
        if guard not in ("strict", "lenient", "off"):
            raise ValueError(f"guard is strict, lenient or off, not {guard!r}")
        if guard == "off" and (ordered_by or limit):
            raise ValueError("order and limits are kept in the store of the guard, which is off")
        if by and not limit:
            raise ValueError("by is of a limit, and there is none")
        self.queue = queue
        self.events = tuple(dict.fromkeys(patterns))
        self.attempts = attempts
        self.retry_from = retry_from
        self.retry_most = retry_most
        self.concurrency = concurrency
        self.timeout = timeout
        self.grace = grace
        self.guard: GuardMode = guard
        self.ordered_by = _reader_of(ordered_by) if ordered_by else None
        self.limit = RateLimit.parse(limit) if limit else None
        self.limited_by = _reader_of(by) if by else None
        self.pause_after = pause_after
        self._handlers: dict[str, Handler] = {}
        self._found: dict[str, Handler | None] = {}

    def on(self, *patterns: str) -> Callable[[H], H]:
        """Have the decorated function handle the events that match one of ``patterns``.

        A coroutine runs on the event loop, any other function in a thread. Where several patterns match, the most
        specific one wins: most literal words, then fewest ``#``.

        Raises:
            ValueError: no pattern, one that is none, one that has a handler, a timeout for a thread, or a generator.
        """
        if not patterns:
            raise ValueError("a handler needs a pattern, such as stripe.invoice.*")

        def register(handler: H) -> H:
            if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
                raise ValueError("a handler with yield in it would never run; return instead")
            if self.timeout is not None and not is_coroutine_function(handler):
                raise ValueError("a worker with a timeout takes coroutines alone; nothing can stop a thread")
            for pattern in map(_check_pattern, patterns):
                if pattern in self._handlers:
                    raise ValueError(f"{pattern} has a handler already")
                self._handlers[pattern] = handler
            self._found.clear()
            return handler

        return register

    @property
    def in_hand(self) -> int:
        """How many events a process has at a time: those that it handles and, in order, those that wait for them."""
        return self.concurrency * _LOOKED_AT if self.ordered_by else self.concurrency

    @property
    def handled(self) -> tuple[str, ...]:
        """The patterns that have a handler, the most specific ones first."""
        return tuple(sorted(self._handlers, key=_specificity))

    def handler_for(self, routing_key: str) -> Handler | None:
        """The handler of the most specific pattern that matches, None when none does."""
        if routing_key not in self._found:
            if len(self._found) >= _REMEMBERED_KEYS:  # senders could make up any number of types
                self._found.clear()
            pattern = next((pattern for pattern in self.handled if matches(pattern, routing_key)), None)
            self._found[routing_key] = self._handlers[pattern] if pattern is not None else None
        return self._found[routing_key]


def is_coroutine_function(handler: Handler) -> bool:
    """Return whether calling ``handler``, a function or an object, makes a coroutine."""
    call = getattr(handler, "__call__", None)  # noqa: B004 -- of an object it is the method that matters
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _specificity(pattern: str) -> tuple[int, int, list[int]]:
    """Sorts the most specific pattern first."""
    ranks = [_RANKS.get(word, 0) for word in pattern.split(".")]
    return -ranks.count(0), ranks.count(2), ranks


def _reader_of(attribute: Attribute) -> Callable[[Event], str | None]:
    """What reads the attribute of an event.

    Raises:
        ValueError: events have no such text.
    """
    if isinstance(attribute, str):
        if attribute not in _TEXTS:
            texts = ", ".join(_TEXTS)
            raise ValueError(f"{attribute!r} is none of {texts}; write a function for what is in the data")
        return attrgetter(attribute)

    def read(event: Event) -> str | None:
        value = attribute(event)
        return None if value is None else str(value)  # the data has numbers, too

    return read


def _check(queue: str, events: Sequence[str]) -> list[str]:
    """Refuse a worker that could not run; return the patterns of its events, as routing keys are spelt."""
    if not _QUEUE.fullmatch(queue) or queue.startswith("amq."):
        raise ValueError(f"{queue!r} is no name for a queue; write letters, digits and _ . : - alone")
    if isinstance(events, str) or not events:
        raise ValueError("events is a list of patterns, such as ['stripe.invoice.*']")
    return [_check_pattern(pattern) for pattern in events]


def _check_pattern(pattern: str) -> str:
    words = cast("object", pattern)
    if not isinstance(words, str) or not _PATTERN.fullmatch(words) or len(words) > _LONGEST_PATTERN:
        raise ValueError(
            f"{pattern!r} is no pattern; write words with dots between, * for one and # for any number"
        )
    return routing_pattern(words)
