"""What a test needs from the machine: skipped where it is missing, except where nothing may be missing."""

from __future__ import annotations

import os

import pytest

from support.programs import ProgramMissingError, locate


def require(*programs: str) -> None:
    """Skip the test when one of `programs` is not installed; on CI, fail it.

    A laptop without RabbitMQ should still run the rest. A CI machine that quietly skips is a green
    light nobody switched on.
    """
    for program in programs:
        try:
            locate(program)
        except ProgramMissingError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{error}, and on CI nothing may be skipped")
            pytest.skip(f"{error}")
