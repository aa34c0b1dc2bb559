"""The drain: publishes what waits in a spool, oldest first, and deletes it once it is confirmed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from gateway.publishers import ConfirmOverdue, Publisher, PublishUnavailable
from gateway.spool.rows import SpooledMessage
from gateway.spool.store import Spool

# Messages; few enough that live events, which go between, hardly wait for them. Who is killed repeats them.
_PUBLISHED_AT_ONCE = 50
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_TIME_TO_END = 3.0

log = structlog.get_logger()


class Drain:
    """Empties one spool, whenever there is something in it.

    Args:
        broker: where to.
        spool: where from.
    """

    def __init__(self, broker: Publisher, spool: Spool) -> None:
        self._broker = broker
        self._spool = spool
        self._confirmed: list[SpooledMessage] = []
        self._is_ending = asyncio.Event()
        self._refusal = ""
        self._task = asyncio.create_task(self._keep_draining(), name=f"drain of {spool.path.name}")

    async def stop(self) -> None:
        """End after the messages that are under way."""
        self._is_ending.set()
        self._task.get_loop().call_later(_TIME_TO_END, self._task.cancel)
        with suppress(asyncio.CancelledError):
            await self._task

    async def _keep_draining(self) -> None:
        pause = _FIRST_PAUSE
        while await self._is_something_to_do():
            try:
                is_progress = await self._probe() if self._broker.trouble else await self._pass()
                await self._spool.renew_reserve()
            except PublishUnavailable:  # the file cannot be read or written, of which the spool tells
                is_progress = False
            except Exception:  # a drain that ended would leave its events where they are for ever
                log.exception("the spool cannot be drained", spool=self._spool.path.name)
                is_progress = False
            if self._spool.count == 0:
                log.info("spool drained", spool=self._spool.path.name)
            pause = _FIRST_PAUSE if is_progress or self._broker.trouble else min(2 * pause, _LONGEST_PAUSE)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_ending.wait(), pause)

    async def _is_something_to_do(self) -> bool:
        tasks = [asyncio.ensure_future(event.wait()) for event in (self._is_ending, self._spool.is_filled)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return not self._is_ending.is_set()

    async def _probe(self) -> bool:
        """Publish the oldest message alone, so that no more of them than need be wait for a broker that is away."""
        await self._delete()
        await self._publish_all(await self._spool.read(0, 1))
        return await self._delete()

    async def _pass(self) -> bool:
        """Publish every message once; whether any was confirmed. What the broker refuses is passed by."""
        is_progress = await self._delete()
        messages = await self._spool.read(0, _PUBLISHED_AT_ONCE)
        while messages and not self._broker.trouble and not self._is_ending.is_set():
            # While these are waited for, those before are deleted and the next are read.
            deleted, following, _ = await asyncio.gather(
                self._delete(),
                self._spool.read(messages[-1].row, _PUBLISHED_AT_ONCE),
                self._publish_all(messages),
                return_exceptions=True,  # all three have ended before another attempt begins
            )
            if isinstance(following, BaseException):
                raise following
            if isinstance(deleted, BaseException):
                raise deleted
            is_progress |= deleted
            messages = following
        return await self._delete() or is_progress

    async def _publish_all(self, messages: list[SpooledMessage]) -> None:
        await asyncio.gather(*(self._publish(message) for message in messages))

    async def _delete(self) -> bool:
        """Delete what was confirmed; whether there was any. It is kept in mind until that has worked.

        Else it would be published again and again on a disk that fails.
        """
        confirmed = self._confirmed[:]
        if confirmed:
            await self._spool.delete(confirmed)
            del self._confirmed[: len(confirmed)]
        return bool(confirmed)

    async def _publish(self, message: SpooledMessage) -> None:
        try:
            await self._broker.publish(message.message)
        except ConfirmOverdue as overdue:
            self._spool.hold_back(message.row, message.size, overdue.late)
        except PublishUnavailable as error:
            self._note_refusal(str(error))
        except Exception as error:  # noqa: BLE001 -- one event that nobody can publish must not hold up all others
            with suppress(PublishUnavailable):
                await self._spool.set_aside(message, f"cannot be published: {error!r}")
        else:
            self._confirmed.append(message)

    def _note_refusal(self, cause: str) -> None:
        if not self._broker.trouble and cause != self._refusal:  # said once, not of every message
            log.warning("a spooled event is refused and stays", spool=self._spool.path.name, cause=cause)
            self._refusal = cause
