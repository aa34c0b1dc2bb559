"""A process takes over at once from one that has ended, and from no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gateway.outbound.predecessor import OwnerFile

HOLDER = """
import signal, sys
from pathlib import Path
from gateway.outbound.predecessor import OwnerFile

file = OwnerFile(Path(sys.argv[1]))
file.claim()
file.note("first")
print("ready", flush=True)
signal.pause()
"""


def test_only_a_process_that_has_ended_has_a_successor(tmp_path: Path) -> None:
    """One that is frozen comes back, and keeps its leases until they end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "ready\n"
            os.kill(holder.pid, signal.SIGSTOP)
            early = OwnerFile(tmp_path)
            assert early.claim() == ""
            early.note("nobody")
        finally:
            holder.kill()
    successor = OwnerFile(tmp_path)

    assert successor.claim() == "first"
    successor.note("second, and shorter or longer")
    successor.close()
    third = OwnerFile(tmp_path)
    assert third.claim() == "second, and shorter or longer"
    third.close()


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    """As at the first start, and where nothing can be written or read."""
    first = OwnerFile(tmp_path / "new" / "folder")
    assert first.claim() == ""
    first.note("\u00fcber")
    first.close()
    (tmp_path / "file").write_text("")
    blocked = OwnerFile(tmp_path / "file")
    assert blocked.claim() == ""
    blocked.note("x")
    blocked.close()
