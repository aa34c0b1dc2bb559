"""The progress bar of commands that process many events."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID


class ProgressBar(AbstractContextManager["ProgressBar"], Protocol):
    """The part of rich's progress bar that commands use."""

    def add_task(self, description: str, *, total: float | None, **fields: Any) -> TaskID:
        """Begin a task."""

    def update(
        self, task_id: TaskID, *, total: float | None = ..., completed: float | None = ..., **fields: Any
    ) -> None:
        """Set how far a task is."""

    def advance(self, task_id: TaskID) -> None:
        """Count one step of a task."""


class _Silent(ProgressBar):
    """Draws nothing, and loads nothing: rich takes a fifth of the time of a short command."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def add_task(self, description: str, *, total: float | None, **fields: Any) -> TaskID:
        return 0  # type: ignore[return-value]  # a number, as rich has them

    def update(self, task_id: TaskID, **_: Any) -> None:
        pass

    def advance(self, task_id: TaskID) -> None:
        pass


def progress_bar(action: str, count: str | None = None, *, hidden: bool = False) -> ProgressBar:
    """Return a progress bar on standard error, which never mixes with a command's output.

    Nothing is drawn if standard error is not a terminal.

    Args:
        action: What the command does, such as ``redriving``.
        count: How progress is counted, in rich's template of a column; by default as ``3/10``.
        hidden: Draw nothing.
    """
    if hidden or not sys.stderr.isatty():
        return _Silent()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn(action),
        BarColumn(),
        TextColumn(count) if count else MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
