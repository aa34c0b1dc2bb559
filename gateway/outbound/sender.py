"""What the owner of an endpoint has in memory of it: a window of due deliveries, and the attempts under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from gateway.outbound.behaviour import Behaviour
from gateway.outbound.lanes import Lane
from gateway.outbound.models import Delivery, Endpoint, Trigger
from gateway.outbound.requests import RequestMaker
from gateway.transport.token_bucket import TokenBucket

_REPLAY_TURNS = 4
"""A replay gets one of so many turns of an endpoint while anything else is due."""

_MIN_WINDOW = 4
"""Deliveries that an endpoint may have in memory at least; otherwise twice its attempts at a time."""


class Sender:
    """One endpoint in the process that owns it.

    Args:
        endpoint: The endpoint.
        behaviour: What is known of its behaviour.
        monotonic: Returns seconds that never go back.

    Attributes:
        endpoint: The endpoint, as it is configured now.
        behaviour: What is known of its behaviour.
        requests: Makes its requests; None if none can be made, since a secret cannot be used.
        lane: The lane in which its next attempt begins.
        in_flight: The attempts under way.
        has_more: Whether the store may have due deliveries that are not in the window.
        is_filling: Whether they are being read.
    """

    __slots__ = (
        "_bucket",
        "_ended",
        "_keys",
        "_monotonic",
        "_replays",
        "_turn",
        "_under_way",
        "_window",
        "behaviour",
        "endpoint",
        "has_more",
        "in_flight",
        "is_filling",
        "lane",
        "requests",
    )

    def __init__(self, endpoint: Endpoint, behaviour: Behaviour, monotonic: Callable[[], float]) -> None:
        self.endpoint = endpoint
        self.behaviour = behaviour
        self._monotonic = monotonic
        self._bucket = _bucket_of(endpoint, monotonic)
        self.requests = _maker_of(endpoint)
        self.lane = Lane.SLOW if behaviour.is_failing else Lane.FAST
        self.in_flight = 0
        self.has_more = self.is_filling = False
        self._window: deque[Delivery] = deque()
        self._replays: deque[Delivery] = deque()
        self._under_way: dict[
            str, str
        ] = {}  # ids of deliveries whose attempt is not recorded, with their order keys
        self._keys: set[str] = set()
        self._ended: set[str] = set()  # recorded since the due deliveries began to be read
        self._turn = 0

    def change(self, endpoint: Endpoint) -> None:
        """Go on with another version of the endpoint; what is due is read again."""
        if endpoint.rate != self.endpoint.rate:
            self._bucket = _bucket_of(endpoint, self._monotonic)
        self.endpoint = endpoint
        self.requests = _maker_of(endpoint)
        self.behaviour.resize(endpoint.concurrency)
        self.forget_window()

    def forget_window(self) -> None:
        """Have what is due read again before the next attempt: some of it may have been cancelled meanwhile."""
        self._window.clear()
        self._replays.clear()
        self.has_more = True

    @property
    def room(self) -> int:
        """How many more deliveries may be in the window."""
        limit = max(_MIN_WINDOW, 2 * self.behaviour.concurrency)
        return max(limit - len(self._window) - len(self._replays), 0)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is in memory that the store does not have."""
        return not self._under_way and not self.in_flight

    @property
    def has_window(self) -> bool:
        """Whether there is a delivery in the window."""
        return bool(self._window or self._replays)

    @property
    def oldest_due(self) -> float | None:
        """When the first delivery in the window became due, in Unix seconds; None if it is empty."""
        return min((queue[0].due_at for queue in (self._window, self._replays) if queue), default=None)

    def begin_filling(self) -> None:
        """Note that due deliveries are about to be read."""
        self._ended.clear()

    def known(self) -> Iterator[str]:
        """Yield the ids of the deliveries that are in the window, not recorded yet, or recorded while due ones were read."""
        yield from (each.id for each in self._window)
        yield from (each.id for each in self._replays)
        yield from self._under_way
        yield from self._ended

    def add(self, deliveries: list[Delivery]) -> None:
        """Put due deliveries into the window, those that are due longest first."""
        for each in deliveries:
            (self._replays if each.trigger is Trigger.REPLAY else self._window).append(each)

    def wait(self, now: float) -> float | None:
        """Return the seconds until the next attempt may begin, 0 if it may now; None if something else has to end first.

        ``now`` is in Unix seconds.
        """
        if not self.has_window:
            return None
        closed = self.behaviour.wait(now, self.in_flight)
        if closed is None:
            return None
        return max(closed, self._bucket.delay() if self._bucket else 0.0)

    def take(self) -> Delivery | None:
        """Take the delivery whose turn it is; None if all of them wait for another one with the same key."""
        self._turn += 1
        first, second = self._window, self._replays
        if self._turn % _REPLAY_TURNS == 0:
            first, second = second, first
        for queue in (first, second):
            for _ in range(len(queue)):
                delivery = queue.popleft()
                if delivery.order_key and delivery.order_key in self._keys:
                    self.has_more = True  # it is read again once the other one is recorded
                    continue
                self._under_way[delivery.id] = delivery.order_key
                if delivery.order_key:
                    self._keys.add(delivery.order_key)
                self.in_flight += 1
                if self._bucket:
                    self._bucket.take()
                return delivery
        return None

    def note_end(self) -> None:
        """Note that an attempt has ended; its delivery stays known until it is recorded."""
        self.in_flight -= 1

    def note_recorded(self, delivery: str) -> None:
        """Forget a delivery: the store knows what has become of it."""
        if self.is_filling:  # what is being read may have it as it was before
            self._ended.add(delivery)
        key = self._under_way.pop(delivery, "")
        if key:
            self._keys.discard(key)
            self.has_more = True


def _maker_of(endpoint: Endpoint) -> RequestMaker | None:
    try:
        return RequestMaker(endpoint)
    except ValueError:  # of a secret that was let in by an earlier version; the attempt says so
        return None


def _bucket_of(endpoint: Endpoint, monotonic: Callable[[], float]) -> TokenBucket | None:
    """Return what keeps the rate of an endpoint: a second's worth at once after a pause, one attempt at least."""
    if endpoint.rate is None:
        return None
    return TokenBucket((endpoint.rate, 1.0) if endpoint.rate >= 1 else (1.0, 1 / endpoint.rate), monotonic)
