"""The publisher that writes what its broker does not confirm to the spool."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import ConfirmOverdue, Publisher, PublishUnavailable
from gateway.publishers.spool.drain import Drain, NoteDrained
from gateway.publishers.spool.files import orphaned_spools, spool_path
from gateway.publishers.spool.store import Spool

log = structlog.get_logger()


class SpoolingPublisher(Publisher):
    """Publishes to a broker, or to disk and from there to the broker.

    Args:
        broker: The publisher of the broker.
        folder: The folder of the spools.
        max_size: The limit in bytes of the spools of all processes together.
        slot: The number of this process, from 0.
        slots: The number of processes.
        note_drained: Called with each message that has left a spool, and the seconds that it waited there.
    """

    def __init__(
        self,
        broker: Publisher,
        folder: Path,
        max_size: int,
        slot: int = 0,
        slots: int = 1,
        note_drained: NoteDrained | None = None,
    ) -> None:
        self._broker = broker
        self._folder, self._slot, self._slots = folder, slot, slots
        self.spool = Spool(spool_path(folder, slot), max_size // slots)
        self._spools = [self.spool]
        self._drains: list[Drain] = []
        self._note_drained = note_drained

    @property
    @override
    def unavailable_reason(self) -> str:
        reasons = [
            reason for reason in (self._broker.unavailable_reason, self.spool.unavailable_reason) if reason
        ]
        if reasons and self.spooled:
            reasons.append(f"{self.spooled} event{' waits' if self.spooled == 1 else 's wait'} in the spool")
        return "; ".join(reasons)

    @property
    @override
    def has_been_ready(self) -> bool:
        return self._broker.has_been_ready

    @property
    @override
    def is_accepting(self) -> bool:
        return not self._broker.unavailable_reason or (
            self._broker.has_been_ready and not self.spool.unavailable_reason
        )

    @property
    @override
    def unconfirmed(self) -> int:
        return self._broker.unconfirmed

    @property
    @override
    def spooled(self) -> int:
        return sum(spool.count for spool in self._spools)

    @property
    @override
    def corrupt(self) -> int:
        return sum(spool.corrupt for spool in self._spools)

    @override
    async def start(self) -> None:
        await self.spool.start()
        for path in orphaned_spools(self._folder, self._slot, self._slots):
            await self._adopt(path)
        await self._broker.start()
        self._drains = [Drain(self._broker, spool, self._note_drained) for spool in self._spools]

    @override
    async def stop(self) -> None:
        await asyncio.gather(*(drain.stop() for drain in self._drains))
        await self._broker.stop()
        for spool in self._spools:
            await spool.stop()

    @override
    async def reload_certificates(self) -> None:
        await self._broker.reload_certificates()

    @override
    async def publish(self, message: Message) -> bool:
        late = None
        # While the broker is unavailable only the drain tries it: no request waits for the result of that.
        if not self._broker.unavailable_reason or self.spool.unavailable_reason:
            try:
                await self._broker.publish(message)
            except ConfirmOverdue as overdue:
                late = overdue.late
            except PublishUnavailable:
                pass
            else:
                return False
        await self.spool.append(message, late)
        return True

    async def _adopt(self, path: Path) -> None:
        spool = Spool(path, max_size=0)
        try:
            await spool.start()
        except OSError as error:  # its process is still there, or the file cannot be read
            log.warning("orphaned spool not drained", spool=path.name, cause=str(error))
        else:
            self._spools.append(spool)
