"""Where a handler failed, in its author's own code: a traceback of libraries hides the one line that matters."""

from __future__ import annotations

import sysconfig
import traceback
from functools import cache
from pathlib import Path
from traceback import FrameSummary
from types import TracebackType

_PACKAGE = __name__.rpartition(".")[0]

_MAX_PLACE = 200
"""Characters of a place, which has to fit into a header; of a longer one the end says more."""


def own_frames(error: BaseException) -> list[FrameSummary]:
    """Return the frames of the handler and of its author's modules, outermost first.

    If all of them are installed packages, return the handler's frame and the innermost one. Ours never count.
    """
    trace = error.__traceback__
    while trace and _is_ours(trace):
        trace = trace.tb_next
    frames = list(traceback.extract_tb(trace))
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    return own or [*frames[:1], *frames[-1:]][: len(frames)]


def place_of(error: BaseException) -> str:
    """Return the file and line of the innermost own frame, such as ``agent.py:10``; empty if there is none."""
    frames = own_frames(error)
    return _place(frames[-1])[-_MAX_PLACE:] if frames else ""


def places_of(error: BaseException) -> str:
    """Return file, line and function of the own frames, innermost first, as one line; empty if there is none."""
    return ", ".join(f"{_place(frame)} in {frame.name}" for frame in reversed(own_frames(error)))


def describe_trace(error: BaseException) -> str:
    """Return the own frames, one a line: place, function and source line. It has no value of the event."""
    return "\n".join(f"{_place(frame)} in {frame.name}: {frame.line}" for frame in own_frames(error))


def _place(frame: FrameSummary) -> str:
    path = Path(frame.filename)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path}:{frame.lineno}"


def _is_ours(trace: TracebackType) -> bool:
    return trace.tb_frame.f_globals.get("__package__") == _PACKAGE


def _is_installed(file: str) -> bool:
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in _installed_folders())


@cache
def _installed_folders() -> tuple[Path, ...]:
    """Return the folders of the standard library and of installed packages."""
    paths = sysconfig.get_paths()
    return tuple({Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
