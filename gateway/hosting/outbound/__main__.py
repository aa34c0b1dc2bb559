"""The way out as a program; :mod:`gateway.hosting.outbound.launch` starts it, and nobody else."""

from __future__ import annotations

import sys

from gateway.observability.lean_structlog import load_structlog


def run() -> None:
    """Run the way out with the settings in the only argument."""
    load_structlog()
    from gateway.hosting.outbound.process import main

    main(sys.argv[1])


run()
