"""Requirements of a test on its machine, without which it is skipped, or fails in CI."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from support.programs import ProgramMissingError, locate, locate_one_of


def require(*programs: str) -> None:
    """Skip the test when one of `programs` is not installed; on CI, fail it.

    A laptop without RabbitMQ should still run the rest. A CI machine that quietly skips is a green
    light nobody switched on.
    """
    for program in programs:
        try:
            locate(program)
        except ProgramMissingError as error:
            _skip(str(error))


def require_one_of(*programs: str) -> None:
    """Skip the test when none of `programs` is installed; on CI, fail it."""
    try:
        locate_one_of(*programs)
    except ProgramMissingError as error:
        _skip(str(error))


def require_package(name: str) -> None:
    """Skip the test when the Python package is not installed; on CI, fail it."""
    if find_spec(name) is None:
        _skip(f"the package {name} is not installed")


def require_folder(folder: Path, maker: str) -> None:
    """Skip the test when the folder is not there that the command ``maker`` makes; on CI, fail it."""
    if not folder.is_dir():
        _skip(f"{folder} is not there ({maker} makes it)")


def _skip(missing: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing}, and on CI nothing may be skipped")
    pytest.skip(missing)
