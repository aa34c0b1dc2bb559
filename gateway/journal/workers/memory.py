"""The workers that are alive, in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from gateway.journal.reports import Heartbeat
from gateway.journal.workers import MAX_SILENCE, MAX_WORKERS, Workers


class MemoryWorkers(Workers):
    """The last heartbeats, by queue, host and process."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int], Heartbeat] = {}

    @override
    def note(self, heartbeats: Sequence[Heartbeat]) -> None:
        for heartbeat in heartbeats:
            key = heartbeat.queue, heartbeat.host, heartbeat.pid
            known = self._last.get(key)
            if known is None or known.at <= heartbeat.at:
                self._last[key] = heartbeat
        for key in sorted(self._last, key=lambda key: self._last[key].at)[:-MAX_WORKERS]:
            del self._last[key]

    @override
    def alive(self, now: float) -> list[Heartbeat]:
        return [
            heartbeat
            for _, heartbeat in sorted(self._last.items())
            if not heartbeat.has_ended and heartbeat.at >= now - MAX_SILENCE
        ]

    @override
    def close(self) -> None:
        pass
