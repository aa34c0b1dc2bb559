"""An indexer in a process of its own, which kills itself at a certain point: run as a script.

Arguments: the data directory, ``module:Class.method`` or ``module:function`` (empty to live), ``before`` or ``after``, and
which of its calls.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from gateway.journal.indexer import Indexer
from gateway.journal.raw import raw_folder
from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal


def arm(target: str, moment: str, number: int) -> None:
    """Replace what `target` names by what dies at its so-many-th call."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    function = getattr(owner, name)
    calls = 0

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


if __name__ == "__main__":
    data_dir = Path(sys.argv[1])
    if sys.argv[2]:
        arm(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    journal = SqliteJournal(data_dir, Limits(segment_entries=100))
    Indexer(journal, raw_folder(data_dir)).try_to_catch_up(60)
    journal.close()
