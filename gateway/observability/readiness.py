"""The readiness of all processes, in memory that they share with the console.

Each process writes a short record to a page of its own, whenever its state has changed and at least once a second. A
process that has not written for a while is dead or stuck. A checksum tells a record that is being written from a whole one.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from zlib import crc32

import msgspec

from gateway.observability.metrics import STALE_AFTER
from gateway.observability.shared_memory import allocate, attach

_WRITE_DELAY = 0.2
"""Seconds between two looks at the state of a process. A look takes 3 µs."""

_REPEAT_DELAY = 1.0
"""Seconds after which a state that has not changed is written again, as a sign of life."""

_HEAD = struct.Struct("=II")
"""The length and the checksum of a record."""

_PAGE_SIZE = 2 * mmap.PAGESIZE
"""Bytes of a process."""

_MAX_REASON = 200
"""Characters of a reason, at most 1,200 bytes in JSON: all parts of a process have to fit on its page."""

_TRIES = 5
"""Times that a record is read which is just being written; writing takes less than a microsecond."""


class State(NamedTuple):
    """What a process says of itself.

    Attributes:
        at: When it said so, in seconds of the monotonic clock, which all processes share.
        is_ready: Whether it accepts events.
        reasons: Why each part is unavailable; an empty text for a part that is not.
    """

    at: float
    is_ready: bool
    reasons: dict[str, str]


class ReadinessBoard:
    """A record of each process.

    Args:
        slots: The number of processes.
        descriptor: Memory that another program has made for as many; by default it is made here.

    Attributes:
        descriptor: The descriptor of the memory.

    Raises:
        ValueError: The memory at ``descriptor`` was not made for as many processes.
    """

    def __init__(self, slots: int, descriptor: int | None = None) -> None:
        self._slots = slots
        size = slots * _PAGE_SIZE
        self.descriptor = allocate(self, "readiness", size) if descriptor is None else descriptor
        self._memory = attach(self.descriptor, size)

    def write(self, slot: int, *, is_ready: bool, reasons: Mapping[str, str]) -> None:
        """Write the state of a process."""
        short = {part: reason[:_MAX_REASON] for part, reason in reasons.items()}
        record = msgspec.json.encode(State(time.monotonic(), is_ready, short))
        start = slot * _PAGE_SIZE
        self._memory[start + _HEAD.size : start + _HEAD.size + len(record)] = record
        _HEAD.pack_into(self._memory, start, len(record), crc32(record))

    def read(self) -> list[State | None]:
        """Return the state of each process; None of one that has not written any yet."""
        return [self._read(slot * _PAGE_SIZE) for slot in range(self._slots)]

    def _read(self, start: int) -> State | None:
        for _ in range(_TRIES):
            length, checksum = _HEAD.unpack_from(self._memory, start)
            record = bytes(self._memory[start + _HEAD.size : start + _HEAD.size + length])
            if length and crc32(record) == checksum:
                return msgspec.json.decode(record, type=State)
        return None


class ReadinessWriter:
    """Keeps the record of one process up to date.

    Args:
        board: The board.
        slot: The number of the process.
        is_ready: Returns whether it accepts events.
        reasons: Returns why each part is unavailable.
    """

    def __init__(
        self,
        board: ReadinessBoard,
        slot: int,
        is_ready: Callable[[], bool],
        reasons: Callable[[], Mapping[str, str]],
    ) -> None:
        self._board = board
        self._slot = slot
        self._is_ready = is_ready
        self._reasons = reasons
        self._written: tuple[bool, Mapping[str, str]] | None = None
        self._written_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to write, on the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(_WRITE_DELAY, self.start)
        self.refresh()

    def stop(self) -> None:
        """Stop writing."""
        if self._timer:
            self._timer.cancel()

    def refresh(self) -> None:
        """Write the state, unless it is the same and was written a moment ago."""
        now = time.monotonic()
        state = (self._is_ready(), self._reasons())
        if state != self._written or now - self._written_at >= _REPEAT_DELAY:
            self._board.write(self._slot, is_ready=state[0], reasons=state[1])
            self._written, self._written_at = state, now


class SharedReadiness:
    """The readiness of a gateway, as the states of its processes add up.

    Events are accepted for as long as one process accepts them: connections that another one leaves waiting come to it.

    Args:
        board: The states of all processes.
        beside: Returns the same of parts that are beside them, and without which events are accepted.
        clock: Seconds of the monotonic clock.
    """

    def __init__(
        self,
        board: ReadinessBoard,
        beside: Callable[[], dict[str, str]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._beside = beside
        self._clock = clock

    def is_ready(self) -> bool:
        """Return whether events are accepted."""
        return any(state.is_ready for state in self._fresh().values())

    def reasons(self) -> dict[str, str]:
        """Return why each part is unavailable, with the processes that say so if not all do."""
        fresh, slots = self._fresh(), len(self._board.read())
        said: dict[str, dict[str, list[int]]] = {}
        for slot, state in fresh.items():
            for part, reason in state.reasons.items():
                said.setdefault(part, {}).setdefault(reason, []).append(slot)
        joined = {
            part: "; ".join(_attributed(reason, by, slots) for reason, by in reasons.items() if reason)
            for part, reasons in said.items()
        }
        if silent := [slot for slot in range(slots) if slot not in fresh]:
            text = _attributed(
                "has not reported for some seconds, so it is dead, stuck or starting", silent, slots
            )
            joined["process"] = "; ".join(filter(None, (joined.get("process", ""), text)))
        return joined | self._beside()

    def _fresh(self) -> dict[int, State]:
        oldest = self._clock() - STALE_AFTER
        states = enumerate(self._board.read())
        return {slot: state for slot, state in states if state and state.at >= oldest}


def _attributed(reason: str, slots: list[int], number: int) -> str:
    """Return a reason with the processes that gave it, unless all did."""
    if len(slots) == number:
        return reason
    names = ", ".join(map(str, slots))
    return f"process{'es' if len(slots) > 1 else ''} {names}: {reason}"
