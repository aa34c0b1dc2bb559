"""Fixtures for the pages: consoles over a demo day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.console_pages import PagesConsole, stand_in_for_queues

MakePages = Callable[..., PagesConsole]
"""Makes a console with settings; empty with `is_empty=True`."""


@pytest.fixture
def make_pages(tmp_path: Path) -> Iterator[MakePages]:
    """Makes consoles with pages, and closes them."""
    made: list[PagesConsole] = []

    def make(*, is_empty: bool = False, **settings: object) -> PagesConsole:
        made.append(PagesConsole(tmp_path / f"data-{len(made)}", settings, is_empty=is_empty))
        return made[-1]

    yield make
    for console in made:
        console.access.close()


@pytest.fixture
def pages(make_pages: MakePages, monkeypatch: pytest.MonkeyPatch) -> PagesConsole:
    """A console on a day like any other."""
    stand_in_for_queues(monkeypatch)
    return make_pages()
