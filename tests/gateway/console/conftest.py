"""Fixtures for the console without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.console import Console

Consoles = Callable[..., Console]
"""Makes a console with settings, or with `pages`."""


@pytest.fixture
def make_console(tmp_path: Path) -> Iterator[Consoles]:
    """Makes consoles, and closes them."""
    consoles: list[Console] = []

    def make(pages: Any = (), **settings: Any) -> Console:
        consoles.append(Console(tmp_path / f"data-{len(consoles)}", settings, pages))
        return consoles[-1]

    yield make
    for console in consoles:
        console.access.close()


@pytest.fixture
def console(make_console: Consoles) -> Console:
    """A console as it is without settings."""
    return make_console()
