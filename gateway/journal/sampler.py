"""Samples the shared counters into the journal, for charts that are exact however many requests there are.

What is added is the difference to the sample before. That one is kept in a file, so that nothing is missing after the
console was replaced. The gateway's next start has other memory, and begins at zero.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from gateway.journal import Journal, Point
from gateway.journal.spans import GAUGE_PREFIX
from gateway.observability.counters import (
    COUNTER_INDEX,
    EVENT_PREFIX,
    GAUGES,
    INCIDENTS,
    LATENCY,
    LATENCY_SUM,
    SAMPLED_AT,
)
from gateway.observability.metrics import STALE_AFTER
from gateway.observability.shared_memory import SharedCounters
from gateway.signatures.rejections import SIGNATURE_FAULTS
from gateway.transport.private_files import make_private_folder, private_opener

SAMPLE_INTERVAL = 10.0
"""Seconds between two samples."""

_FILE_NAME = "sampled.json"

_Sums = dict[str, dict[str, float]]
"""The numbers of each provider, by measure."""

log = structlog.get_logger()


class _Sample(msgspec.Struct):
    """What was counted up to a moment.

    Attributes:
        memory: What identifies the memory of the counters.
        sums: The numbers.
    """

    memory: str
    sums: _Sums


class Sampler:
    """Adds the differences of the counters to a journal, every ten seconds in a thread.

    Args:
        counters: The counters of all processes.
        journal: The journal.
        folder: The folder of the journal in the data directory.
        clock: Unix seconds.
    """

    def __init__(
        self, counters: SharedCounters, journal: Journal, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._counters = counters
        self._journal = journal
        self._path = folder / _FILE_NAME
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        found = os.fstat(counters.descriptor)
        self._memory = f"{found.st_dev}:{found.st_ino}"
        self._before = self._read()

    def start(self) -> None:
        """Begin to sample."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._work, name="journal sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sample once more, and end the thread."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def sample(self) -> None:
        """Add what was counted since the last sample, and the gauges as they are.

        Raises:
            OSError: The journal cannot be written; the next sample has it all.
        """
        sums = _sums_of(self._counters)
        now = self._clock()
        points = [
            Point(
                now, provider, measure, _difference(times, self._before.get(provider, {}).get(measure, 0.0))
            )
            for provider, measures in sums.items()
            for measure, times in measures.items()
        ]
        changed = [point for point in points if point.times]
        self._journal.add_points([*changed, *_gauges_of(self._counters, now)])
        self._before = sums
        if changed:
            self._write()

    def _work(self) -> None:
        has_failed = False
        while not self._stopping.wait(SAMPLE_INTERVAL):
            has_failed = self._attempt(has_failed=has_failed)
        self._attempt(has_failed=has_failed)

    def _attempt(self, *, has_failed: bool) -> bool:
        try:
            self.sample()
        except OSError as error:
            if not has_failed:
                log.error("counters not sampled", reason=str(error))  # noqa: TRY400 -- where it happened is of no use
            return True
        except Exception:  # a bug must not end the thread
            log.exception("counters not sampled")
            return True
        return False

    def _read(self) -> _Sums:
        try:
            sample = msgspec.json.decode(self._path.read_bytes(), type=_Sample)
        except (OSError, msgspec.MsgspecError):
            return {}
        return sample.sums if sample.memory == self._memory else {}

    def _write(self) -> None:
        make_private_folder(self._path.parent)
        draft = self._path.with_suffix(".tmp")
        with open(draft, "wb", opener=private_opener) as file:
            file.write(msgspec.json.encode(_Sample(self._memory, self._before)))
        draft.replace(self._path)


def _difference(now: float, before: float) -> float:
    """Return by how much a number has grown; all of it if it began anew."""
    return now - before if now >= before else now


def _sums_of(counters: SharedCounters) -> _Sums:
    sums: _Sums = {}
    for region in counters.regions:
        for provider, numbers in region.records():
            so_far = sums.setdefault(provider, {})
            for measure, index in MEASURES.items():
                if times := numbers[index]:
                    so_far[measure] = so_far.get(measure, 0.0) + times
        whole = sums.setdefault("", {})
        for name, index in _TOTALS.items():
            if times := region.numbers[index]:
                whole[name] = whole.get(name, 0.0) + times
    return sums


def _gauges_of(counters: SharedCounters, now: float) -> Iterator[Point]:
    oldest = time.monotonic() - STALE_AFTER
    fresh = [
        numbers
        for numbers in (region.numbers.tolist() for region in counters.regions)
        if numbers[SAMPLED_AT] >= oldest
    ]
    for index, gauge in enumerate(GAUGES):
        if gauge.kind == "counter":
            continue
        values = [numbers[index] for numbers in fresh]
        value = sum(values) if gauge.kind == "sum" else max(values, key=abs, default=0.0)
        yield Point(now, "", GAUGE_PREFIX + gauge.name.removeprefix("webhook_"), value)


def _measures() -> Iterator[tuple[str, int]]:
    for counted, index in COUNTER_INDEX.items():
        if isinstance(counted, int):
            yield f"slot:{counted}", index
        elif counted.startswith(EVENT_PREFIX):
            yield str(counted), index
        elif counted in SIGNATURE_FAULTS:
            yield f"fault:{counted}", index
        elif counted in INCIDENTS:
            yield f"incident:{counted}", index
        else:
            yield f"outcome:{counted}", index
    for index in range(LATENCY, LATENCY_SUM):
        yield f"latency:{index - LATENCY}", index
    yield "latency_sum", LATENCY_SUM


MEASURES = dict(_measures())
"""The measures of a provider, and where each is among its numbers."""

_TOTALS = {
    ":".join(filter(None, ("total", gauge.name.removeprefix("webhook_"), gauge.stage))): index
    for index, gauge in enumerate(GAUGES)
    if gauge.kind == "counter"
}
"""What the processes count beside their providers."""
