"""The event as a handler gets it: the gateway's envelope, with steps that run once.

The module has slightly more than 200 lines because most of them document the attributes that handlers use.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError


class NotAnEvent(ValueError):
    """Raised when a message is not a CloudEvent; the text quotes none of its values."""


class Steps(Protocol):
    """The memory of which steps of one event are done.

    Attributes:
        loop: The event loop that the other methods run on. A handler in a thread calls them through it.
    """

    __slots__ = ()

    loop: asyncio.AbstractEventLoop

    async def begin(self, step: str) -> bool:
        """Claim ``step``. Return whether to run it now; False if an earlier attempt completed it.

        Raises:
            Retry: The store is unavailable, or an attempt whose process died still holds the step.
        """

    def end(self, step: str, *, is_done: bool) -> None:
        """Mark ``step`` as done, or release it so that a later attempt runs it."""

    def key_of(self, step: str) -> str:
        """Return an idempotency key for ``step`` of this event: the same key at every attempt."""


class Once:
    """A step that is skipped after it succeeded: ``async with``, or ``with`` in a thread."""

    __slots__ = ("_is_first", "_step", "_steps")

    def __init__(self, steps: Steps, step: str) -> None:
        self._steps = steps
        self._step = step
        self._is_first = False

    async def __aenter__(self) -> bool:
        self._is_first = await self._steps.begin(self._step)
        return self._is_first

    async def __aexit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._is_first:
            self._steps.end(self._step, is_done=error_type is None)

    def __enter__(self) -> bool:
        with suppress(RuntimeError):  # a thread without a running loop, as intended
            asyncio.get_running_loop()
            raise TypeError(
                "`with` would block the event loop; in a coroutine, write `async with event.once(...)`"
            )
        self._is_first = asyncio.run_coroutine_threadsafe(
            self._steps.begin(self._step), self._steps.loop
        ).result()
        return self._is_first

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._is_first:
            self._steps.loop.call_soon_threadsafe(
                lambda: self._steps.end(self._step, is_done=error_type is None)
            )


class Event(BaseModel):
    """One event. Attributes that the gateway does not know are None or empty.

    Attributes:
        id: The provider's id. With ``source`` it identifies the event, unless there is a ``dedupekey``.
        source: Where the event happened, as a URI reference.
        type: The CloudEvents type, such as ``com.stripe.invoice.payment_failed``.
        provider: The name of the provider in the gateway's configuration.
        adapter: The adapter of that provider, such as ``stripe``.
        eventtype: The event type in the provider's own words.
        subject: What the event is about.
        time: When it happened, by the provider's clock.
        summary: What happened, in one line.
        account: The customer account that the event belongs to, where a provider serves several.
        actor: Who caused the event.
        deliveryid: The provider's id of this delivery, where it sends one.
        receivedat: When the gateway received the event.
        dataschema: The id of the schema that the data passed.
        datacontenttype: The media type of the data.
        replaysuspected: Whether the same body came before under another id, or another body under this id.
        partlysigned: Whether the data may hold members outside the provider's signature.
        dedupekey: The key that identifies the event where its provider gives one id to several events.
        redacted: Whether values in the data are masked.
        replayed: Whether `gateway replay` delivered the event again.
        released: Whether the event was in quarantine before.
        traceparent: The W3C trace context that the event belongs to.
        data: The parsed JSON, bytes if the data is not JSON, or None if there is none.
        attempts: The number of this attempt to handle the event, beginning with 1.
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
        """Parse a CloudEvent in JSON.

        Raises:
            NotAnEvent: The body is something else.
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
        """Return the key that identifies the event within its ``source``."""
        return self.dedupekey or self.id

    def bind(self, steps: Steps) -> None:
        """Keep track of the event's steps in ``steps``."""
        self._steps = steps

    def once(self, step: str) -> Once:
        """Return a context manager around a step that a later attempt skips if it succeeded.

            async with event.once("send-email") as first:
                if first:
                    await send(...)

        The step is done when the block ends without an exception. A process that dies inside the block, or before the
        store has the mark, runs the step again: a step runs at least once, and almost always exactly once. Pass
        :meth:`key_of` as an idempotency key to a service that must not see the step twice even then.

        Raises:
            RuntimeError: The worker has ``guard="off"``, or the event does not come from a worker.
        """
        return Once(self._require_steps(), step)

    def key_of(self, step: str) -> str:
        """Return an idempotency key for ``step``: the same at every attempt of this event only.

        Raises:
            RuntimeError: As for :meth:`once`.
        """
        return self._require_steps().key_of(step)

    def _require_steps(self) -> Steps:
        if self._steps is None:
            raise RuntimeError(
                "the steps of this event are not guarded; take an event from a worker whose guard is not off"
            )
        return self._steps
