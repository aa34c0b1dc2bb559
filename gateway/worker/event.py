"""The event as a handler gets it: the gateway's envelope, and the guard of its steps."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError


class NotAnEvent(ValueError):
    """A message is no CloudEvent; the text says why, without any of its values."""


class Steps(Protocol):
    """What is done already of one event.

    Attributes:
        loop: where it lives; a handler in a thread asks it from outside.
    """

    loop: asyncio.AbstractEventLoop

    async def begin(self, step: str) -> bool:
        """Whether ``step`` is to be done now; False when it was done before."""

    def end(self, step: str, *, is_done: bool) -> None:
        """Remember that ``step`` is done; or that it is not, and may be begun again."""

    def key_of(self, step: str) -> str:
        """What names ``step`` of this event, the same at every attempt."""


class Once:
    """A step of a handler that is skipped once it was done; ``async with``, or ``with`` in a thread."""

    __slots__ = ("_is_first", "_step", "_steps")

    def __init__(self, steps: Steps, step: str) -> None:
        self._steps = steps
        self._step = step
        self._is_first = False

    async def __aenter__(self) -> bool:
        self._is_first = await self._steps.begin(self._step)
        return self._is_first

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_first:
            self._steps.end(self._step, is_done=kind is None)

    def __enter__(self) -> bool:
        with suppress(RuntimeError):  # there is no loop in this thread, as it should be
            asyncio.get_running_loop()
            raise TypeError("in a coroutine, write `async with event.once(...)`")
        self._is_first = asyncio.run_coroutine_threadsafe(
            self._steps.begin(self._step), self._steps.loop
        ).result()
        return self._is_first

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_first:
            self._steps.loop.call_soon_threadsafe(lambda: self._steps.end(self._step, is_done=kind is None))


class Event(BaseModel):
    """One event of the gateway; what is not known of it is None or empty.

    Attributes:
        id: the provider's own; with ``source`` it names the event, unless there is a ``dedupekey``.
        source: where it happened, a URI reference.
        type: such as ``com.stripe.invoice.payment_failed``.
        provider: the key of its sender in the gateway's configuration.
        adapter: what kind of sender that is.
        eventtype: the sender's own word.
        subject: what it is about.
        time: when it happened, by the sender's clock.
        summary: what happened, in one line.
        account: for whom, where a sender serves several.
        actor: by whom.
        deliveryid: of this delivery, where the sender tells it.
        receivedat: when the gateway had it.
        dataschema: the id of the schema that the data passed.
        datacontenttype: the media type of the data.
        replaysuspected: whether the same body came before under another id, or another body under this id.
        partlysigned: whether the data may hold members that nobody has signed beside those that are signed.
        dedupekey: what names the event where its provider gives one id to several.
        redacted: whether values in it are masked.
        replayed: whether `gateway replay` delivered it once more.
        released: whether it was in quarantine before.
        traceparent: the trace that it belongs to.
        data: what was sent: the value of its JSON, bytes where it is not JSON, None where there is nothing.
        attempts: which attempt to handle it this is; 1 is the first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: str
    source: str
    type: str
    provider: str = ""
    adapter: str = ""
    eventtype: str = ""
    subject: str | None = None
    time: datetime | None = None
    summary: str | None = None
    account: str | None = None
    actor: str | None = None
    deliveryid: str | None = None
    receivedat: datetime | None = None
    dataschema: str | None = None
    datacontenttype: str | None = None
    replaysuspected: bool = False
    partlysigned: bool = False
    dedupekey: str | None = None
    redacted: bool = False
    replayed: bool = False
    released: bool = False
    traceparent: str | None = None
    data: Any = None
    attempts: int = 1

    _steps: Steps | None = PrivateAttr(None)

    @classmethod
    def parse(cls, body: bytes, attempts: int = 1) -> Event:
        """The event in ``body``, a CloudEvent in JSON.

        Raises:
            NotAnEvent: there is none in it.
        """
        try:
            fields = orjson.loads(body)
        except ValueError:
            raise NotAnEvent("not JSON") from None
        if not isinstance(fields, dict) or fields.get("specversion") != "1.0":
            raise NotAnEvent("not a CloudEvent 1.0")
        try:
            if "data_base64" in fields:
                fields["data"] = b64decode(fields["data_base64"], validate=True)
            return cls.model_validate({**fields, "attempts": attempts})
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise NotAnEvent(
                "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in problems)
            ) from None
        except (TypeError, ValueError):
            raise NotAnEvent("data_base64 is not base64") from None

    @property
    def key(self) -> str:
        """What names the event among those of its ``source``."""
        return self.dedupekey or self.id

    def bind(self, steps: Steps) -> None:
        """Guard the steps of this event with ``steps``."""
        self._steps = steps

    def once(self, step: str) -> Once:
        """Guard a step, so that a handler that is tried again skips what it did already.

            async with event.once("send-email") as first:
                if first:
                    await send(...)

        The step counts as done when the block ends without an exception. A process that dies within the block, or
        between its end and the mark, does the step again: at least once, and once but for that. What must not
        happen twice even then gets :meth:`key_of` as its idempotency key.

        Raises:
            RuntimeError: no guard is there: the worker has ``guard="off"``, or the event comes from no worker.
        """
        return Once(self._guarded(), step)

    def key_of(self, step: str) -> str:
        """An idempotency key for what ``step`` asks of others: the same at every attempt, and of no other event.

        Raises:
            RuntimeError: as :meth:`once`.
        """
        return self._guarded().key_of(step)

    def _guarded(self) -> Steps:
        if self._steps is None:
            raise RuntimeError("the steps of this event are not guarded; it takes a worker with a guard")
        return self._steps
