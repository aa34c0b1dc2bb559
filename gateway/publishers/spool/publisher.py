"""The publisher that puts into the spool what its broker does not confirm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import structlog

from gateway.events.message import Message
from gateway.publishers import ConfirmOverdue, Publisher, PublishUnavailable
from gateway.publishers.spool.drain import Drain
from gateway.publishers.spool.files import left_behind, spool_path
from gateway.publishers.spool.store import Spool

log = structlog.get_logger()


class SpoolingPublisher:
    """Publishes to its broker, or to disk and later to its broker.

    Args:
        broker: the way to the broker.
        folder: where the spools are.
        max_size: bytes beyond which the spools of all processes together take no more.
        slot: the number of this process, from 0.
        slots: the number of processes.
    """

    def __init__(self, broker: Publisher, folder: Path, max_size: int, slot: int = 0, slots: int = 1) -> None:
        self._broker = broker
        self._folder, self._slot, self._slots = folder, slot, slots
        self._spool = Spool(spool_path(folder, slot), max_size // slots)
        self._spools = [self._spool]
        self._drains: list[Drain] = []

    @property
    def unavailable_reason(self) -> str:
        """See :class:`gateway.publishers.Publisher`."""
        reasons = [
            reason for reason in (self._broker.unavailable_reason, self._spool.unavailable_reason) if reason
        ]
        if reasons and self.spooled:
            reasons.append(f"{self.spooled} event{' waits' if self.spooled == 1 else 's wait'} in the spool")
        return "; ".join(reasons)

    @property
    def has_been_ready(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._broker.has_been_ready

    @property
    def is_accepting(self) -> bool:
        """See :class:`gateway.publishers.Publisher`; the broker is waited for at the start, not later."""
        return not self._broker.unavailable_reason or (
            self._broker.has_been_ready and not self._spool.unavailable_reason
        )

    @property
    def unconfirmed(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return self._broker.unconfirmed

    @property
    def spooled(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return sum(spool.count for spool in self._spools)

    @property
    def corrupt(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return sum(spool.corrupt for spool in self._spools)

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._spool.start()
        for path in left_behind(self._folder, self._slot, self._slots):
            await self._adopt(path)
        await self._broker.start()
        self._drains = [Drain(self._broker, spool) for spool in self._spools]

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await asyncio.gather(*(drain.stop() for drain in self._drains))
        await self._broker.stop()
        for spool in self._spools:
            await spool.stop()

    def publish(self, message: Message) -> Awaitable[None]:
        """See :class:`gateway.publishers.Publisher`."""
        return self._publish(message)

    async def _publish(self, message: Message) -> None:
        late = None
        # A broker in trouble is tried with what waits in the spool: nobody waits for that to be answered.
        if not self._broker.unavailable_reason or self._spool.unavailable_reason:
            try:
                await self._broker.publish(message)
            except ConfirmOverdue as overdue:
                late = overdue.late
            except PublishUnavailable:
                pass
            else:
                return
        await self._spool.append(message, late)

    async def _adopt(self, path: Path) -> None:
        spool = Spool(path, max_size=0)
        try:
            await spool.start()
        except OSError as error:  # its process is still there, or it cannot be read
            log.warning("a spool that was left behind is not drained", spool=path.name, cause=str(error))
        else:
            self._spools.append(spool)
