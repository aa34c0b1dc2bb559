"""The console as a program; :mod:`gateway.console.launch` starts it, and nobody else."""

from __future__ import annotations

import sys

from gateway.console.memory import load_httpx
from gateway.observability.lean_structlog import load_structlog


def run() -> None:
    """Run the console with the settings in the only argument."""
    load_structlog()
    load_httpx()
    from gateway.console.process import main

    main(sys.argv[1])


run()
