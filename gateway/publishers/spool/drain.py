"""The drain: publishes a spool's messages, oldest first, and deletes them when confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import structlog

from gateway.events.message import Message
from gateway.publishers import ConfirmOverdue, MessageTooLarge, Publisher, PublishUnavailable
from gateway.publishers.spool.records import SpooledMessage
from gateway.publishers.spool.store import Spool

_READ_BATCH_SIZE = 200
"""Messages read at once."""

_MIN_CONCURRENCY, _MAX_CONCURRENCY = 4, 64
"""Messages published at the same time, with a small and with a large backlog."""

_BACKLOG_PER_PUBLISH = 64
"""Waiting messages for each of them. A process that is killed publishes those again that it had published and not
deleted: with a small backlog there should be few."""

_FIRST_DELAY = 0.2
"""Seconds between two passes, or two probes of a broker that is away."""

_MAX_DELAY = 5.0
"""Seconds between two passes when the broker is there, but confirms none of the messages."""

_STOP_TIMEOUT = 3.0
"""Seconds that the messages under way have at the end; what is not confirmed by then stays in the spool."""

NoteDrained = Callable[[Message, float], None]
"""Called with a message that was confirmed, and the seconds that it had waited in the spool."""

log = structlog.get_logger()


class Drain:
    """Empties one spool in the background whenever there is a message in it.

    Args:
        broker: The publisher that the messages go to.
        spool: The spool that they come from.
        note_drained: Called with each message that was confirmed.
    """

    def __init__(self, broker: Publisher, spool: Spool, note_drained: NoteDrained | None = None) -> None:
        self._broker = broker
        self._spool = spool
        self._note_drained = note_drained
        self._undeleted: list[SpooledMessage] = []
        self._is_stopping = asyncio.Event()
        self._refusal = ""
        self._task = asyncio.create_task(self._keep_draining(), name=f"drain of {spool.path.name}")

    async def stop(self) -> None:
        """Stop after the messages that are under way."""
        self._is_stopping.set()
        self._task.get_loop().call_later(_STOP_TIMEOUT, self._task.cancel)
        with suppress(asyncio.CancelledError):
            await self._task

    async def _keep_draining(self) -> None:
        delay = _FIRST_DELAY
        while await self._has_work():
            try:
                is_progress = await self._probe() if self._broker.unavailable_reason else await self._pass()
                await self._spool.renew_reserve()
            except PublishUnavailable:  # the file cannot be read or written: the spool logs that
                is_progress = False
            except Exception:  # if this task ended, the events would stay in the spool for ever
                log.exception("spool drain failed", spool=self._spool.path.name)
                is_progress = False
            if self._spool.count == 0:
                log.info("spool drained", spool=self._spool.path.name)
            is_fast = is_progress or self._broker.unavailable_reason
            delay = _FIRST_DELAY if is_fast else min(2 * delay, _MAX_DELAY)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), delay)

    async def _has_work(self) -> bool:
        """Wait until there is a message, or the drain stops; return whether it goes on."""
        tasks = [asyncio.ensure_future(event.wait()) for event in (self._is_stopping, self._spool.is_filled)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return not self._is_stopping.is_set()

    async def _probe(self) -> bool:
        """Publish the oldest message, to probe the broker; return whether it was confirmed."""
        await self._delete_rest()
        return await self._forward(await self._spool.read(0, 1), concurrency=1)

    async def _pass(self) -> bool:
        """Publish every message once, past refused ones; return whether any was confirmed."""
        await self._delete_rest()
        is_progress, last = False, 0
        while messages := await self._spool.read(last, _READ_BATCH_SIZE):
            wanted = self._spool.count // _BACKLOG_PER_PUBLISH
            is_progress |= await self._forward(messages, min(max(_MIN_CONCURRENCY, wanted), _MAX_CONCURRENCY))
            last = messages[-1].row
            if self._broker.unavailable_reason or self._is_stopping.is_set():
                break
        return is_progress

    async def _forward(self, messages: list[SpooledMessage], concurrency: int) -> bool:
        """Publish messages, delete the confirmed ones, and return whether there were any.

        Raises:
            PublishUnavailable: The file cannot be written.
        """
        waiting = iter(messages)
        results = await asyncio.gather(
            *(self._forward_next(waiting) for _ in range(concurrency)), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _delete_rest(self) -> None:
        """Delete confirmed messages that could not be deleted before.

        Otherwise they would be published again and again on a disk with errors.
        """
        if self._undeleted:
            await self._spool.delete(self._undeleted)
            self._undeleted = []

    async def _forward_next(self, messages: Iterator[SpooledMessage]) -> bool:
        """Publish and delete one message after the other, from an iterator that tasks share."""
        is_progress = False
        for message in messages:
            if await self._publish(message):
                is_progress = True
                if self._note_drained:
                    self._note_drained(message.message, time.time() - message.spooled_at)
                try:
                    await self._spool.delete([message])
                except PublishUnavailable:
                    self._undeleted.append(message)
                    raise
            if self._broker.unavailable_reason or self._is_stopping.is_set():
                break
        return is_progress

    async def _publish(self, message: SpooledMessage) -> bool:
        try:
            await self._broker.publish(message.message)
        except ConfirmOverdue as overdue:
            self._spool.hold_back(message.row, message.size, overdue.late)
        except MessageTooLarge as error:
            with suppress(PublishUnavailable):
                await self._spool.set_aside(message, str(error))
        except PublishUnavailable as error:
            self._note_refusal(str(error))
        except Exception as error:  # noqa: BLE001 -- an event that cannot be published must not block all others
            with suppress(PublishUnavailable):
                await self._spool.set_aside(message, f"cannot be published: {error!r}")
        else:
            return True
        return False

    def _note_refusal(self, cause: str) -> None:
        if (
            not self._broker.unavailable_reason and cause != self._refusal
        ):  # logged once, not for each message
            log.warning("spooled event refused", spool=self._spool.path.name, cause=cause)
            self._refusal = cause
