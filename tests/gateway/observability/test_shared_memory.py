"""Memory that processes share: by fork, or by a descriptor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from gateway.observability.counters import shared_counters
from gateway.observability.metrics import Metrics, MetricsReader
from gateway.observability.shared_memory import allocate, attach

READER = """
import sys
from gateway.observability.counters import shared_counters
from gateway.observability.metrics import MetricsReader
sys.stdout.write(MetricsReader(shared_counters(2, int(sys.argv[1]))).render().decode())
"""


@pytest.fixture(params=[True, False], ids=["memfd", "file"])
def has_memfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With files without a name in memory, or in a temporary folder."""
    if not request.param:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    return bool(request.param)


@pytest.mark.usefixtures("has_memfd")
def test_another_program_sees_what_is_counted() -> None:
    """All metrics that a process itself would show, and all gauges."""
    counters = shared_counters(2)
    first, second = Metrics(counters, 0), Metrics(counters, 1)
    for metrics in (first, second):
        metrics.of_provider("github", 1).count_outcome("accepted")
        metrics.sample("webhook_spooled", lambda: 3)
        metrics.refresh()
    command = [sys.executable, "-c", READER, str(counters.descriptor)]
    done = subprocess.run(command, pass_fds=[counters.descriptor], capture_output=True, text=True, check=True)

    assert 'webhook_requests_total{outcome="accepted",provider="github"} 2.0' in done.stdout
    assert "webhook_spooled 6.0" in done.stdout
    assert "webhook_processes 2.0" in done.stdout
    shown = {
        line.split("{")[0].split(" ")[0] for line in first.render().decode().splitlines() if line[0] != "#"
    }
    assert shown <= {line.split("{")[0].split(" ")[0] for line in done.stdout.splitlines()}


@pytest.mark.usefixtures("has_memfd")
def test_it_is_empty_and_private_at_first() -> None:
    """No other user can open it by a name."""
    owner = Counter[str]()
    descriptor = allocate(owner, "tests", 10_000)

    assert bytes(attach(descriptor, 10_000)) == bytes(10_000)
    assert os.fstat(descriptor).st_nlink == 0
    del owner
    with pytest.raises(OSError, match="Bad file descriptor"):  # it is closed with what used it
        os.fstat(descriptor)


def test_memory_of_another_version_is_refused() -> None:
    """Its numbers would be taken for others."""
    other = shared_counters(2)

    with pytest.raises(ValueError, match="bytes of shared memory"):
        shared_counters(3, other.descriptor)


def test_a_reader_without_processes_shows_zeros() -> None:
    """All are dead or have not begun; nothing is missing."""
    text = MetricsReader(shared_counters(2)).render().decode()

    assert "webhook_processes 0.0" in text
    assert "webhook_clock_offset_seconds 0.0" in text
