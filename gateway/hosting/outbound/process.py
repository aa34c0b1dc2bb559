"""The process of the way out: one event loop from the first event that it takes to the last outcome that it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
import uvloop

from gateway.backends import open_outbound_intake, open_outbound_store, open_reports
from gateway.config import Config
from gateway.console.configuration import load_configuration
from gateway.errors import ConfigurationError, OperatorError
from gateway.hosting.outbound.launch import OutboundSettings
from gateway.observability.launched import follow_launcher, launched
from gateway.observability.outbound_counters import OutboundMetrics, outbound_counters
from gateway.observability.shared_memory import SharedCounters
from gateway.outbound.configured import client_of
from gateway.outbound.engine import WayOut
from gateway.outbound.predecessor import OwnerFile
from gateway.outbound.store import StoreUnavailable
from gateway.transport.program import settle_memory

_RELOAD_DELAY = 1.0
"""Seconds before a configuration is tried again that the database could not take."""

log = structlog.get_logger()


def main(text: str) -> None:
    """Run the way out with the settings of its launcher, in JSON, until it is asked to end or the gateway has ended."""
    with launched(text, "outbound", OutboundSettings) as settings:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(settings))
        except OperatorError as error:
            for problem in error.args:
                log.error("way out cannot start", cause=str(problem))  # noqa: TRY400 -- the text is for people
            raise SystemExit(error.exit_code) from None


async def _serve(settings: OutboundSettings) -> None:
    stop, reload = follow_launcher(settings)

    def read() -> Config:
        # The addresses of the listeners are nothing to this process.
        config, problems = load_configuration(Path(settings.config), None, None, is_dev=settings.is_dev)
        if config is None:
            raise ConfigurationError(*problems)
        return config

    config = await asyncio.to_thread(read)
    await run_way_out(config, read, outbound_counters(settings.counters), stop, reload)


async def run_way_out(
    config: Config,
    read_again: Callable[[], Config],
    counters: SharedCounters,
    stop: asyncio.Event,
    reload: asyncio.Event,
) -> None:
    """Take and deliver events until ``stop`` is set, or the configuration wants no way out any more.

    Args:
        config: The configuration.
        read_again: Reads it anew, and raises ConfigurationError if it is wrong.
        counters: The numbers of the way out.
        stop: Ends it.
        reload: Has the configuration read again.

    Raises:
        OperatorError: It cannot start.
    """
    if not config.has_way_out:
        return
    metrics = OutboundMetrics(counters)
    metrics.begin()
    client = client_of(config)
    await client.start()
    way_out = WayOut(
        config,
        open_outbound_store(config),
        client,
        lambda exchange: open_outbound_intake(config, exchange),
        metrics,
        open_reports(config),
        owner_file=OwnerFile(config.data_dir),
    )
    ending = asyncio.create_task(stop.wait(), name="waiting for the end")
    starting = asyncio.create_task(way_out.start(), name="starting the way out")
    try:
        await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            settle_memory()
            log.info("way out started", endpoints=len(way_out.directory.endpoints))
            await _follow(way_out, read_again, ending, reload)
    finally:
        starting.cancel()
        ending.cancel()
        await asyncio.gather(starting, ending, return_exceptions=True)
        await way_out.stop()
        await client.stop()
    metrics.end()
    log.info("way out ended")


async def _follow(
    way_out: WayOut, read_again: Callable[[], Config], ending: asyncio.Task[bool], reload: asyncio.Event
) -> None:
    """Go on with the configuration whenever it is read again, until the end."""
    while not ending.done():
        reloading = asyncio.create_task(reload.wait(), name="waiting for a reload")
        await asyncio.wait([reloading, ending], return_when=asyncio.FIRST_COMPLETED)
        reloading.cancel()
        if not reload.is_set():
            continue
        reload.clear()
        try:
            config = await asyncio.to_thread(read_again)
            if not config.has_way_out:
                with suppress(StoreUnavailable):
                    await way_out.retire(config)
                return
            await way_out.change(config)
        except ConfigurationError as error:
            for problem in error.args:
                log.warning("configuration rejected", problem=str(problem))
        except StoreUnavailable as error:
            log.warning("database unavailable", cause=str(error))
            reload.set()  # try again
            await asyncio.sleep(_RELOAD_DELAY)
