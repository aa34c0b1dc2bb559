"""The way out alone, which kills itself when it gets to a certain point: run as a script.

Arguments: the configuration, and the point as ``die_at.py`` takes it; without a point it lives on.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from die_at import arm  # type: ignore[import-not-found]  # found where a script runs: beside it

from gateway.config import load_config
from gateway.hosting.outbound.process import run_way_out
from gateway.observability.logs import close_logs, configure_logs
from gateway.observability.outbound_counters import outbound_counters


async def serve(path: Path) -> None:
    """Run it until SIGTERM."""
    stop, reload = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    await run_way_out(load_config(path), lambda: load_config(path), outbound_counters(), stop, reload)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        arm(*sys.argv[2:])
    configure_logs("json", "outbound")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
    close_logs()
