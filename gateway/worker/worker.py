"""The declaration of a worker: queue, events, handlers, retries and limits.

Most of this module documents and validates the arguments: a mistake is refused when the worker is declared. That is why
it has more than 200 lines.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Literal, TypeVar, cast

from gateway.transport.topic_patterns import matches, routing_pattern
from gateway.worker.event import Event
from gateway.worker.rate_limit import RateLimit
from gateway.worker.runnable import Runnable

Handler = Callable[[Event], None] | Callable[[Event], Awaitable[None]]
Attribute = str | Callable[[Event], object]
"""The name of an attribute of events, or a function that returns its value for an event."""
GuardMode = Literal["strict", "lenient", "off"]
H = TypeVar("H", bound=Handler)

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_PATTERN = re.compile(r"[A-Za-z0-9_*#-]+(?:\.[^\x00-\x1f\x7f-\x9f]+)?")
_MAX_PATTERN_LENGTH = 255
"""Characters of a pattern; AMQP allows 255 bytes in a routing key."""

_MAX_CACHED_KEYS = 4096
"""Routing keys whose handler is cached. The cache is then emptied: senders could make up any number of event types."""

_PREFETCH_FACTOR = 20
"""Events that an ordered worker looks at for each handler, to find enough of them with different ordering keys."""

_RANKS = {"*": 1, "#": 2}
_TEXT_ATTRIBUTES = [
    name for name, field in Event.model_fields.items() if field.annotation in (str, str | None)
]


class Worker(Runnable):
    """Handles the events of one queue; several processes of a worker share them.

    Args:
        queue: The name of the queue, which belongs to this worker alone. ``<queue>.dead`` and
            ``<queue>.retry.<seconds>`` come with it.
        events: Patterns of routing keys, ``<provider>.<event type>``. ``*`` matches one word, ``#`` any number of words.
            The event type may be in the provider's own spelling.
        attempts: Attempts to handle an event before it goes to the dead-letter queue.
        retry_from: Seconds before the second attempt. Each further delay is twice as long.
        retry_most: The longest delay in seconds.
        concurrency: Events that one process handles at a time.
        timeout: Seconds that a handler may take per event. For coroutines only: a thread cannot be stopped.
        grace: Seconds that running handlers have to finish when the process is told to stop.
        guard: What to do when the idempotency store is unavailable. ``strict`` leaves events in the queue; ``lenient``
            handles them, at the risk of handling one twice; ``off`` never uses the store.
        ordered_by: The attribute, or a function of an event, whose value is the ordering key. Events with one key are
            handled one after another, in the order of the queue, across processes too; None as the key waits for
            nobody. With RabbitMQ only one process at a time receives, and the others stand by.
        limit: The number of handlers that may begin within a time, such as ``60/minute``, across processes.
        by: The attribute, or a function of an event, for each of whose values the limit holds separately.
        pause_after: Failures in a row after which a process stops receiving for a while: 10 seconds, then twice as
            long after each event that is tried and fails, up to 5 minutes. None if it never stops.

    Raises:
        ValueError: An argument, or a combination of them, makes no sense.
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
                "attempts and concurrency must be at least 1, grace at least 0, retry_from above 0 and at most retry_most"
            )
        if pause_after is not None and pause_after < 1:
            raise ValueError("pause_after must be at least 1, or None")
        if guard not in ("strict", "lenient", "off"):
            raise ValueError(f"guard must be strict, lenient or off, not {guard!r}")
        if guard == "off" and (ordered_by or limit):
            raise ValueError(
                "ordered_by and limit need the idempotency store, which guard='off' does not use"
            )
        if by and not limit:
            raise ValueError("by needs a limit")
        self.queue = queue
        self.events = tuple(dict.fromkeys(patterns))
        self.attempts = attempts
        self.retry_from = retry_from
        self.retry_most = retry_most
        self.concurrency = concurrency
        self.timeout = timeout
        self.grace = grace
        self.guard: GuardMode = guard
        self.ordered_by = _attribute_getter(ordered_by) if ordered_by else None
        self.limit = RateLimit.parse(limit) if limit else None
        self.limited_by = _attribute_getter(by) if by else None
        self.pause_after = pause_after
        self._handlers: dict[str, Handler] = {}
        self._handler_cache: dict[str, Handler | None] = {}

    def on(self, *patterns: str) -> Callable[[H], H]:
        """Register the decorated function as the handler of events that match one of ``patterns``.

        A coroutine function runs on the event loop, any other function in a thread. Where several patterns match, the
        most specific one wins: the most literal words, then the fewest ``#``.

        Raises:
            ValueError: A pattern is missing, malformed or taken; or the function is a generator; or the worker has a
                timeout and the function would run in a thread.
        """
        if not patterns:
            raise ValueError("a handler needs a pattern, such as stripe.invoice.*")

        def register(handler: H) -> H:
            if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
                raise ValueError("a handler cannot be a generator, which would never run; remove its yield")
            if self.timeout is not None and not is_coroutine_function(handler):
                raise ValueError("a worker with a timeout needs async handlers: a thread cannot be stopped")
            for pattern in map(_check_pattern, patterns):
                if pattern in self._handlers:
                    raise ValueError(f"{pattern} has a handler already")
                self._handlers[pattern] = handler
            self._handler_cache.clear()
            return handler

        return register

    @property
    def prefetch(self) -> int:
        """Return how many unsettled events a process holds at most.

        An ordered worker holds the events behind the running ones, too, to find some with other ordering keys.
        """
        return self.concurrency * _PREFETCH_FACTOR if self.ordered_by else self.concurrency

    @property
    def handled(self) -> tuple[str, ...]:
        """Return the patterns that have a handler, most specific first."""
        return tuple(sorted(self._handlers, key=_specificity))

    def handler_for(self, routing_key: str) -> Handler | None:
        """Return the handler of the most specific pattern that matches, or None if no pattern does."""
        if routing_key not in self._handler_cache:
            if len(self._handler_cache) >= _MAX_CACHED_KEYS:
                self._handler_cache.clear()
            pattern = next((pattern for pattern in self.handled if matches(pattern, routing_key)), None)
            self._handler_cache[routing_key] = self._handlers[pattern] if pattern is not None else None
        return self._handler_cache[routing_key]


def is_coroutine_function(handler: Handler) -> bool:
    """Return whether calling ``handler``, a function or a callable object, returns a coroutine."""
    call = getattr(handler, "__call__", None)  # noqa: B004 -- a callable object's method may be async
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _specificity(pattern: str) -> tuple[int, int, list[int]]:
    """Return a sort key that puts the most specific pattern first."""
    ranks = [_RANKS.get(word, 0) for word in pattern.split(".")]
    return -ranks.count(0), ranks.count(2), ranks


def _attribute_getter(attribute: Attribute) -> Callable[[Event], str | None]:
    """Return a function that reads ``attribute`` from an event, as text.

    Raises:
        ValueError: Events have no text attribute of that name.
    """
    if isinstance(attribute, str):
        if attribute not in _TEXT_ATTRIBUTES:
            names = ", ".join(_TEXT_ATTRIBUTES)
            raise ValueError(
                f"{attribute!r} is not a text attribute of events ({names}); pass a function to read the data"
            )
        return attrgetter(attribute)

    def read(event: Event) -> str | None:
        value = attribute(event)
        return None if value is None else str(value)  # ids in the data may be numbers

    return read


def _check(queue: str, events: Sequence[str]) -> list[str]:
    """Return the patterns of ``events`` in the spelling of routing keys.

    Raises:
        ValueError: The queue's name or a pattern is malformed.
    """
    if not _QUEUE.fullmatch(queue) or queue.startswith("amq."):
        raise ValueError(
            f"{queue!r} cannot be a queue's name; write letters, digits and _ . : - only, without amq. in front"
        )
    if isinstance(events, str) or not events:
        raise ValueError("events must be a list of patterns, such as ['stripe.invoice.*']")
    return [_check_pattern(pattern) for pattern in events]


def _check_pattern(pattern: str) -> str:
    words = cast("object", pattern)
    if not isinstance(words, str) or not _PATTERN.fullmatch(words) or len(words) > _MAX_PATTERN_LENGTH:
        raise ValueError(
            f"{pattern!r} is not a pattern; write words separated by dots, * for one word and # for any number"
        )
    return routing_pattern(words)
