"""Failed logins: a client that fails too often has to wait, and no other client with it."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from gateway.console.problems import Problem
from gateway.receive.addresses import network_of

MAX_FAILURES = 10
"""Failed logins of one client within :data:`_WINDOW`, after which each further attempt is refused."""

_WINDOW = 60.0
"""Seconds for which a failed login counts."""

_MAX_CLIENTS = 10_000
"""Clients whose failures are remembered, some 5 MB; beyond it the one that failed longest ago is forgotten."""


class FailedLogins:
    """The failed logins of the last minute by client.

    Args:
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, client: str, way: str) -> None:
        """Check that a client may try a way of logging in.

        Raises:
            Problem: It has failed too often in this way.
        """
        failures, now = self._failures.get(_key(client, way)), self._clock()
        while failures and failures[0] <= now - _WINDOW:
            failures.popleft()
        if failures and len(failures) >= MAX_FAILURES:
            wait = str(int(failures[0] + _WINDOW - now) + 1)
            raise Problem(
                "rate_limited",
                f"{MAX_FAILURES} attempts failed within a minute; wait {wait} s",
                {"retry-after": wait},
            )

    def note(self, client: str, way: str) -> None:
        """Note a failed login of a client."""
        key = _key(client, way)
        self._failures.setdefault(key, deque(maxlen=MAX_FAILURES)).append(self._clock())
        self._failures.move_to_end(key)
        if len(self._failures) > _MAX_CLIENTS:
            self._failures.popitem(last=False)


def _key(client: str, way: str) -> str:
    return f"{way} {network_of(client)}"
