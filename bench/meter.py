"""What the kernel says about a process: the processor time it used and the memory it holds."""

from __future__ import annotations

import time
from pathlib import Path

from support.process import descendants

_CPUCLOCK_SCHED = 2


def cpu_seconds(pid: int) -> float:
    """User and system time of the process, all its threads, and all processes below it."""
    return sum(_cpu_seconds(member) for member in (pid, *descendants(pid)))


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and all processes below it."""
    return sum(_resident_bytes(member) for member in (pid, *descendants(pid)))


def _cpu_seconds(pid: int) -> float:
    # The clock that clock_getcpuclockid(3) makes: the sum that /proc/<pid>/stat shows as utime and stime, in
    # nanoseconds instead of hundredths of a second, of which a round of the floor has no more than fifty.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
