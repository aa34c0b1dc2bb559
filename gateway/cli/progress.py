"""The progress bar of commands that process many events."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


def progress_bar(action: str, count: ProgressColumn | None = None, *, hidden: bool = False) -> Progress:
    """Return a progress bar on standard error, which never mixes with a command's output.

    Nothing is drawn if standard error is not a terminal.

    Args:
        action: What the command does, such as ``redriving``.
        count: How progress is counted; by default as ``3/10``.
        hidden: Draw nothing.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn(action),
        BarColumn(),
        count or MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=hidden or not console.file.isatty(),
    )
