"""What a consumer records: every event that it handled, and the clocks at two of them.

The clocks are read by the consumer itself, so that neither its start nor a look from outside is measured. The
events before the first mark let it warm up.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from pathlib import Path

from bench.clocks import cpu_seconds_of
from bench.consumers import IDS, MARKS

_FOLDER = Path(os.environ["NOTES"])
_MARKED = int(os.environ["NOTES_FIRST"]), int(os.environ["NOTES_LAST"])
_BESIDE: dict[str, int] = json.loads(os.environ["NOTES_BESIDE"])

_ids: list[str] = []
_marks: list[dict[str, float]] = []


def note(event_id: str) -> None:
    """The event was handled."""
    _ids.append(event_id)
    if len(_ids) in _MARKED:
        _mark()


def _mark() -> None:
    beside = {name: cpu_seconds_of(pid) for name, pid in _BESIDE.items()}
    _marks.append({"at": time.monotonic(), "consumer": time.process_time(), **beside})
    if len(_marks) == len(_MARKED):
        _write(MARKS, _marks)


def _write(name: str, content: object) -> None:
    """Whole or not at all: the other side waits for it."""
    partial = _FOLDER / f"{name}.part"
    partial.write_text(json.dumps(content), "utf-8")
    partial.rename(_FOLDER / name)


# Once nothing more can come, so that what is handled too often is seen.
atexit.register(lambda: _write(IDS, _ids))
