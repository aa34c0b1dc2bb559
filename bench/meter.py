"""Processor time and memory of a process from the kernel, and a gateway's own metrics."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from bench.clocks import cpu_seconds_of
from support.process import descendants


def cpu_seconds(pid: int) -> float:
    """User and system time of the process, all its threads, and all processes below it."""
    return sum(cpu_seconds_of(member) for member in (pid, *descendants(pid)))


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and all processes below it."""
    return sum(_resident_bytes(member) for member in (pid, *descendants(pid)))


def peak_bytes(pid: int) -> int:
    """Return the peak of resident bytes since `forget_peak`, summed over child processes."""
    return sum(_resident_bytes(member, "VmHWM:") for member in (pid, *descendants(pid)))


def forget_peak(pid: int) -> None:
    """Let `peak_bytes` begin with what is resident now."""
    for member in (pid, *descendants(pid)):
        Path(f"/proc/{member}/clear_refs").write_text("5")


def reading(admin_url: str, name: str) -> float:
    """A metric without labels, as the gateway gives it."""
    with urllib.request.urlopen(f"{admin_url}/metrics", timeout=10) as answer:
        found = re.search(rf"^{name} (\S+)".encode(), answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _resident_bytes(pid: int, line_of: str = "VmRSS:") -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(line_of):
            return int(line.split()[1]) * 1024
    return 0
