"""The event as a handler gets it: the gateway's envelope, with steps that run once.

The module has slightly more than 200 lines because most of them document the attributes that handlers use.
"""

from __future__ import annotations

import builtins
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar, overload

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from gateway.worker.steps import Once, Steps, StoredStep
from gateway.worker.typed_data import convert

T = TypeVar("T")

MAX_OUTCOME = 80
"""Characters of the outcome that a handler names."""


class NotAnEvent(ValueError):
    """Raised when a message is not a CloudEvent; the text quotes none of its values."""


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
    _outcome: str = PrivateAttr("")

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

    def outcome(self, words: str) -> None:
        """Say in a few words what the handler did, such as ``refunded``, for the log and the event's timeline.

        The last words of an attempt count. They are kept with its failure, too, if it fails afterwards. Write no personal
        data: of the words, one line of 80 characters is kept.
        """
        self._outcome = " ".join(str(words).split())[:MAX_OUTCOME].encode("utf-8", "replace").decode()

    @property
    def named_outcome(self) -> str:
        """Return what the handler passed to :meth:`outcome`; empty if nothing."""
        # Not `self._outcome`: pydantic finds private attributes in Python, which takes 2 µs, and this is asked twice an event.
        private = self.__pydantic_private__
        return private["_outcome"] if private else ""

    def bind(self, steps: Steps) -> None:
        """Keep track of the event's steps in ``steps``."""
        self._steps = steps

    def data_as(self, model: builtins.type[T]) -> T:
        """Return the data as an object of ``model``: a pydantic model, dataclass, TypedDict or msgspec struct.

            invoice = event.data_as(InvoiceEvent).data.object

        Raises:
            Dead: The data does not match. Another attempt would not change that, so let it pass: the event goes to the
                dead-letter queue with the places that do not match as the reason.
        """
        return convert(self.data, model)

    @overload
    def once(self, step: str) -> Once: ...

    @overload
    def once(
        self, step: str, call: Callable[[], Awaitable[T]], *, returns: builtins.type[T] | None = None
    ) -> StoredStep[T]: ...

    @overload
    def once(
        self, step: str, call: Callable[[], T], *, returns: builtins.type[T] | None = None
    ) -> StoredStep[T]: ...

    def once(
        self, step: str, call: Callable[[], Any] | None = None, *, returns: Any = None
    ) -> Once | StoredStep[Any]:
        """Run ``step`` once per event: skip it in a later attempt if it succeeded.

        Without ``call``, return a context manager around the step:

            async with event.once("send-email") as first:
                if first:
                    await send(...)

        With ``call``, run it and store its result, which later attempts get without the call:

            charge = await event.once("charge", lambda: create_charge(...))

        The result is JSON of at most 64 KiB. It comes back as JSON at the first attempt too, or as an object of the type
        ``returns``. In a thread, write ``event.once("charge", ...).result()``.

        The step is done when the block or the call ends without an exception. A process that dies inside of it, or before
        the store has the mark, runs the step again: a step runs at least once, and almost always exactly once. Pass
        :meth:`key_of` as an idempotency key to a service that must not see the step twice even then.

        Raises:
            RuntimeError: The worker has ``guard="off"``, or the event does not come from a worker.
            Dead: When awaited: the result is not JSON or too large, or an earlier attempt stored none.
        """
        steps = self._require_steps()
        return Once(steps, step) if call is None else StoredStep(steps, step, call, returns)

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
