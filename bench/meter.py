"""Processor time and memory of a process from the kernel, and a gateway's own metrics.

A process is measured with all processes below it, but for the console of a gateway: that is beside the receiving
processes, and can be left out.
"""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from bench.clocks import cpu_seconds_of
from support.process import descendants, is_console, receivers


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process, all its threads, and the processes below it."""
    return sum(map(cpu_seconds_of, (pid, *receivers(pid))))


def console_cpu_seconds(pid: int) -> float:
    """Return the user and system time of the console below a process; 0 if there is none."""
    return sum(map(cpu_seconds_of, filter(is_console, descendants(pid))))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and the processes below it."""
    return sum(map(_resident_bytes, (pid, *receivers(pid))))


def console_bytes(pid: int) -> int:
    """Return the resident memory of the console below a process; 0 if there is none."""
    return sum(map(_resident_bytes, filter(is_console, descendants(pid))))


def peak_bytes(pid: int) -> int:
    """Return the peak of resident bytes since `forget_peak`, summed over the processes."""
    return sum(_resident_bytes(member, "VmHWM:") for member in (pid, *receivers(pid)))


def forget_peak(pid: int) -> None:
    """Let `peak_bytes` begin with what is resident now."""
    for member in (pid, *receivers(pid)):
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
