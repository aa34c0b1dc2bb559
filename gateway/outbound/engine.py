"""The way out as one thing: what takes events, what delivers them, and what both share."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from random import Random
from secrets import token_hex

import structlog

from gateway.config import Config
from gateway.journal.reports.sender import Reports
from gateway.observability.outbound_counters import OutboundMetrics, Sample
from gateway.outbound.accept import Acceptor, Entry
from gateway.outbound.attempting import RequestAttempter, Sends
from gateway.outbound.configured import endpoints_of, rules_of
from gateway.outbound.deliver import Deliverer
from gateway.outbound.directory import Directory
from gateway.outbound.fullness import COUNT_INTERVAL
from gateway.outbound.gauges import WITHOUT_DATABASE, sample_of
from gateway.outbound.intake import AGENTS_EXCHANGE, Intake
from gateway.outbound.lanes import Lanes
from gateway.outbound.ownership import Ownership
from gateway.outbound.predecessor import OwnerFile
from gateway.outbound.reporting import Reporter
from gateway.outbound.store import Store, StoreUnavailable
from gateway.outbound.taking import Taker, read_emitted, read_own
from gateway.outbound.telling import Notices

_START_DELAY = 1.0
"""Seconds before a database that is away is asked again at the start."""

_SAMPLE_INTERVAL = 1.0
"""Seconds between two samples of the metrics."""

_PRUNE_INTERVAL = 600.0
"""Seconds between two removals of what is older than its retention."""

_COMPARE_INTERVAL = 30.0
"""Seconds between two looks at the database's clock."""

_UNBIND_TIMEOUT = 5.0
"""Seconds that the broker has to unbind a queue that is to get nothing more."""

OpenIntake = Callable[[str], AbstractAsyncContextManager[Intake]]
"""Opens the queue of the way out for an exchange."""

log = structlog.get_logger()


class WayOut:
    """Takes events from queues, and delivers them to the endpoints that this process owns.

    Args:
        config: The configuration.
        store: Keeps everything.
        client: Sends requests; it is started.
        open_intake: Opens the queues; None for a way out that gets its events by :attr:`acceptor` alone.
        metrics: Counts what happens.
        reports: Takes it to the journal; None if there is no journal.
        time_of_day: Returns Unix seconds.
        random: Spreads what would come all at once.
        lanes: The places for attempts.
        owner_file: Knows the process whose place this one takes; None if there can be none.

    Attributes:
        acceptor: Accepts events.
        deliverer: Delivers them.
        directory: Knows the endpoints.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        client: Sends,
        open_intake: OpenIntake | None,
        metrics: OutboundMetrics,
        reports: Reports | None = None,
        *,
        time_of_day: Callable[[], float] = time.time,
        random: Random | None = None,
        lanes: Lanes | None = None,
        owner_file: OwnerFile | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._reports = reports
        self._time_of_day = time_of_day
        self._offset = 0.0  # of the database's clock, by which deliveries become due
        self._reporter = Reporter(metrics, reports)
        self.directory = Directory(store)
        self.acceptor = Acceptor(store, self.directory, self.now, self._on_accepted)
        self._attempter = RequestAttempter(
            client,
            lambda endpoint: rules_of(self._config, endpoint),
            self.now,
            self._reporter,
            Notices(self.acceptor),
            random or Random(),  # noqa: S311 -- delays are no secrets
        )
        loop = asyncio.get_running_loop()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self._owner_file = owner_file
        self._ownership = Ownership(store, self._owner, loop.time)
        self.deliverer = Deliverer(store, self.directory, self._ownership, self._attempter, self.now, lanes)
        self._is_retired = False
        self._takers: list[Taker] = []
        if open_intake:
            own = config.rabbitmq.exchange
            self._takers = [
                Taker(own, lambda: open_intake(own), read_own, self.acceptor, self._patterns),
                Taker(
                    AGENTS_EXCHANGE,
                    lambda: open_intake(AGENTS_EXCHANGE),
                    read_emitted,
                    self.acceptor,
                    lambda: () if self._is_retired else ("#",),
                ),
            ]
        self._tasks: list[asyncio.Task[None]] = []

    def now(self) -> float:
        """Return Unix seconds as the database has them."""
        return self._time_of_day() + self._offset

    async def start(self) -> None:
        """Open the store, and begin. A database that is away is waited for.

        Raises:
            OperatorError: The database is newer than this program, or the key is missing that opens the secrets.
            ConfigurationError: An endpoint must not have its URL.
        """
        await self._when_there(self._store.start)
        await self._when_there(self._compare_clocks)
        await self._when_there(lambda: self._sync(self._config))
        if self._owner_file:
            await self._succeed(self._owner_file)
        if self._reports:
            await self._reports.start()
        await self.deliverer.start()
        self._tasks = [asyncio.create_task(taker.run(), name="taking events") for taker in self._takers]
        for seconds, work in (
            (_SAMPLE_INTERVAL, self._sample),
            (COUNT_INTERVAL, self.acceptor.fullness.count),
            (_COMPARE_INTERVAL, self._compare_clocks),
            (_PRUNE_INTERVAL, self._prune),
            (_SAMPLE_INTERVAL, self._follow_endpoints),
        ):
            self._tasks.append(asyncio.create_task(_every(seconds, work), name=f"way out: {work.__name__}"))

    async def change(self, config: Config) -> None:
        """Go on with another configuration.

        Raises:
            ConfigurationError: An endpoint must not have its URL; nothing was changed.
            StoreUnavailable: The database cannot be used; nothing was changed.
        """
        await self._sync(config)
        self._config = config
        self._attempter.forget_rules()

    async def retire(self, config: Config) -> None:
        """Have the queues get no more events: the configuration wants no way out any more.

        What waits stays, unless its endpoint was removed from the configuration.

        Raises:
            StoreUnavailable: The database cannot be used; nothing was changed.
        """
        if config.outbound.enabled == "auto":  # all endpoints were removed
            await self._sync(config)
        self._is_retired = True
        for taker in self._takers:
            taker.rebind()
            await taker.bound(_UNBIND_TIMEOUT)

    async def stop(self) -> None:
        """Stop taking events, let attempts end, write their outcomes, and release everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.deliverer.stop()
        if self._reports:
            await self._reports.stop()
        with suppress(StoreUnavailable):
            await self._store.stop()
        if self._owner_file:
            self._owner_file.close()

    async def _succeed(self, file: OwnerFile) -> None:
        """Free what a process that was killed owned; without this its deliveries would wait for the end of its leases."""
        predecessor = file.claim()
        if predecessor:
            await self._when_there(lambda: self._store.release(predecessor))
        file.note(self._owner)

    def sample(self) -> Sample:
        """Return the numbers of this process at the moment."""
        return sample_of(self.directory, self._ownership, self.deliverer, self.now())

    async def _sync(self, config: Config) -> None:
        await self._store.sync_configured(endpoints_of(config, self.now()))
        await self._follow_endpoints()

    def _patterns(self) -> Collection[str]:
        return () if self._is_retired else self.directory.patterns()

    async def _follow_endpoints(self) -> None:
        before = self.directory.patterns()
        await self.deliverer.refresh()
        if self.directory.patterns() != before:
            for taker in self._takers:
                taker.rebind()

    async def _compare_clocks(self) -> None:
        began_at = self._time_of_day()
        there = await self._store.now()
        self._offset = there - (began_at + self._time_of_day()) / 2

    async def _prune(self) -> None:
        if self._ownership.epoch_of_shard(0) is not None:  # one process is enough
            await self._store.prune(self.now())

    async def _sample(self) -> None:
        self._metrics.sample(self.sample())

    def _on_accepted(self, accepted: Sequence[Entry]) -> None:
        self._reporter.accepted(accepted)
        self.deliverer.on_accepted(accepted)

    async def _when_there(self, work: Callable[[], Awaitable[None]]) -> None:
        failure = ""
        while True:
            try:
                await work()
            except StoreUnavailable as error:
                if str(error) != failure:
                    log.warning("database unavailable", cause=str(error))
                failure = str(error)
                self._metrics.sample(WITHOUT_DATABASE)
                await asyncio.sleep(_START_DELAY)
            else:
                return


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except StoreUnavailable:
            pass  # told by the deliverer, which asks the same database each second
        except Exception:  # the other tasks go on
            log.exception("way out failed")
        await asyncio.sleep(seconds)
