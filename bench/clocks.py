"""The processor time of a process, as the kernel counts it."""

from __future__ import annotations

import time

_CPUCLOCK_SCHED = 2


def cpu_seconds_of(pid: int) -> float:
    """User and system time of the process and all its threads."""
    # The clock that clock_getcpuclockid(3) makes: the sum that /proc/<pid>/stat shows as utime and stime, in
    # nanoseconds, not hundredths of a second: a round of the floor has no more than fifty of those.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
