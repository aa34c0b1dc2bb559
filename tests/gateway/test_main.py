"""The package as a program."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    """``python -m gateway`` is the command ``gateway``."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == version("webhook-gateway")
