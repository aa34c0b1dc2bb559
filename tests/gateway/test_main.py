"""The package as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway import __version__


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    """``python -m gateway`` is the command ``gateway``."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == __version__
