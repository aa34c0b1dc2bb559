"""The drain: publishes what waits in a spool, oldest first, and deletes it once it is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import structlog

from gateway.publishers import ConfirmOverdue, Publisher, PublishUnavailable
from gateway.publishers.spool.records import SpooledMessage
from gateway.publishers.spool.store import Spool

_READ_AT_ONCE = 200  # messages
_FEWEST_LANES, _MOST_LANES = 4, 64
_BACKLOG_OF_A_LANE = 64  # messages

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
        self._undeleted: list[SpooledMessage] = []
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
                is_progress = await self._probe() if self._broker.unavailable_reason else await self._pass()
                await self._spool.renew_reserve()
            except PublishUnavailable:  # the file cannot be read or written, of which the spool tells
                is_progress = False
            except Exception:  # a drain that ended would leave its events where they are for ever
                log.exception("the spool cannot be drained", spool=self._spool.path.name)
                is_progress = False
            if self._spool.count == 0:
                log.info("spool drained", spool=self._spool.path.name)
            pause = (
                _FIRST_PAUSE
                if is_progress or self._broker.unavailable_reason
                else min(2 * pause, _LONGEST_PAUSE)
            )
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
        await self._delete_rest()
        return await self._forward(await self._spool.read(0, 1), lanes=1)

    async def _pass(self) -> bool:
        """Publish every message once; whether any was confirmed. What the broker refuses is passed by."""
        await self._delete_rest()
        is_progress, last = False, 0
        while messages := await self._spool.read(last, _READ_AT_ONCE):
            # Who is killed publishes again what was published and not deleted: as few as the backlog allows.
            lanes = min(max(_FEWEST_LANES, self._spool.count // _BACKLOG_OF_A_LANE), _MOST_LANES)
            is_progress |= await self._forward(messages, lanes)
            last = messages[-1].row
            if self._broker.unavailable_reason or self._is_ending.is_set():
                break
        return is_progress

    async def _forward(self, messages: list[SpooledMessage], lanes: int) -> bool:
        """Publish messages and delete those that are confirmed, so many at a time; whether any was.

        Raises:
            PublishUnavailable: the file cannot be written.
        """
        waiting = iter(messages)
        results = await asyncio.gather(*(self._lane(waiting) for _ in range(lanes)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _delete_rest(self) -> None:
        """Delete what could not be before. On a disk that fails it would be published again and again."""
        if self._undeleted:
            await self._spool.delete(self._undeleted)
            self._undeleted = []

    async def _lane(self, messages: Iterator[SpooledMessage]) -> bool:
        is_progress = False
        for message in messages:
            if await self._publish(message):
                is_progress = True
                try:
                    await self._spool.delete([message])
                except PublishUnavailable:
                    self._undeleted.append(message)
                    raise
            if self._broker.unavailable_reason or self._is_ending.is_set():
                break
        return is_progress

    async def _publish(self, message: SpooledMessage) -> bool:
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
            return True
        return False

    def _note_refusal(self, cause: str) -> None:
        if not self._broker.unavailable_reason and cause != self._refusal:  # said once, not of every message
            log.warning("a spooled event is refused and stays", spool=self._spool.path.name, cause=cause)
            self._refusal = cause
