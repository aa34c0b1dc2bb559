"""A gateway in memory: the real pipeline, between senders that sign and a broker that keeps what it is given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from gateway.claims.dedupe import Dedupe
from gateway.claims.memory import MemoryClaims
from gateway.config.error_messages import suggest
from gateway.devtools.provider_reference import adapter_names
from gateway.devtools.simulator import SignedRequest, Tampering
from gateway.publishers import Message
from gateway.publishers.memory import MemoryPublisher
from gateway.receive.pipeline import Pipeline
from gateway.receive.responses import Response
from gateway.testing.senders import Body, Sender, config_of, read_config
from gateway.testing.steps import bind_steps, run_aside
from gateway.worker import Event

_EVENTS = "webhooks"

Listener = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender was answered, and what came of its request.

    Attributes:
        status: of HTTP.
        outcome: such as ``accepted``, ``duplicate``, ``quarantined`` or ``invalid_signature``.
        cause: what the gateway's log says of it, such as ``signature_mismatch``.
        body: of the answer.
        provider: who sent it.
        events: what was published for it, as workers get it.
        request: what was sent.
    """

    status: int
    outcome: str
    cause: str | None
    body: bytes
    provider: str
    events: tuple[Event, ...] = field(repr=False)
    request: SignedRequest = field(repr=False)


class MemoryGateway:
    """A gateway without servers, and all that it has published.

    Its senders sign with secrets that are made here, whatever is configured, and come from any address.

    Args:
        config: the configuration file whose providers it has; without one, every adapter that comes with the gateway,
            under the adapter's name.

    Attributes:
        messages: what was published, quarantined events included.
        listeners: are given every message that is published as an event from now on.

    Raises:
        ConfigurationError: the file cannot be used.
    """

    def __init__(self, config: str | Path | None = None) -> None:
        self._folder = Path(config).parent if config else Path()
        self._config = read_config(Path(config)) if config else None
        self._exchange = self._config.rabbitmq.exchange if self._config else _EVENTS
        self._claims = MemoryClaims()
        self._publisher = MemoryPublisher()
        self._senders: dict[str, Sender] = {}
        self._one_at_a_time = asyncio.Lock()
        self.messages = self._publisher.messages
        self.listeners: list[Listener] = []

    @property
    def events(self) -> list[Event]:
        """The events that were published, as workers get them."""
        return [Event.parse(message.body) for message in self._published()]

    async def send(
        self,
        provider: str,
        event_type: str | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        body: Body | None = None,
        tamper: Tampering | None = None,
    ) -> Answer:
        """Send a built-in sample as its provider does, with ids of its own.

        Args:
            provider: who sends.
            event_type: which sample; the adapter's own choice when left out.
            data: what is different in the event's data; objects are merged, all else is replaced.
            body: what is sent instead of a sample, as it is.
            tamper: what is spoiled: ``body``, ``signature`` or ``timestamp``.

        Raises:
            LookupError: there is no such provider, or no such sample.
            OperatorError: the provider does not sign what is to be spoiled, or its body has no names for ``data``.
            ValueError: the provider would never sign such a body.
        """
        if tamper and (tamper == "replay" or tamper not in get_args(Tampering)):
            raise ValueError(f"tamper is body, signature or timestamp, not {tamper!r}; repeat() sends again")
        return await self._deliver(provider, self._sender(provider).sign(event_type, data, body, tamper))

    async def repeat(self, answer: Answer) -> Answer:
        """Send the request that was answered so once more, byte for byte."""
        return await self._deliver(answer.provider, answer.request)

    def sample(
        self,
        provider: str,
        event_type: str | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        body: Body | None = None,
        **attributes: Any,
    ) -> Event:
        """The event that a worker gets when ``provider`` sends a built-in sample; nothing is published.

        It has an id of its own, and its steps are guarded in memory, so that a handler can simply be called with it.

        Args:
            provider: as with :meth:`send`, as are ``event_type``, ``data`` and ``body``.
            event_type: which sample.
            data: what is different in it.
            body: what is sent instead.
            attributes: what is different in the event itself, such as ``attempts=3`` or ``account="acct_7"``.

        Raises:
            LookupError: there is no such provider, or no such sample.
            OperatorError: the body has no names for ``data``.
            TypeError: events have no such attribute.
            ValueError: a worker would never get this; the text says why.
        """
        if unknown := attributes.keys() - Event.model_fields.keys():
            raise TypeError(f"events have no attribute {', '.join(sorted(unknown))}")
        sender = self._sender(provider)
        message = run_aside(_first_event(sender, sender.sign(event_type, data, body)))
        event = Event.parse(message.body)
        if attributes:
            event = Event.model_validate(dict(event) | attributes)
        bind_steps(event)
        return event

    async def _deliver(self, provider: str, request: SignedRequest) -> Answer:
        sender = self._sender(provider)
        async with self._one_at_a_time:  # so that what is new afterwards is of this request
            before = len(self.messages)
            exchange, work = sender.bring(request)
            if work is not None:
                await sender.webhooks.deliver(exchange, work)
            new = self._published(before)
        for message in new:
            for listener in self.listeners:
                listener(message)
        answer = cast("Response", exchange.answer)
        return Answer(
            status=answer.status,
            outcome=answer.outcome,
            cause=exchange.cause,
            body=answer.body,
            provider=provider,
            events=tuple(Event.parse(message.body) for message in new),
            request=request,
        )

    def _published(self, first: int = 0) -> list[Message]:
        return [message for message in self.messages[first:] if message.exchange == self._exchange]

    def _sender(self, name: str) -> Sender:
        if name not in self._senders:
            if self._config is None and name not in adapter_names():
                raise LookupError(
                    f"there is no adapter {name!r}{suggest(name, adapter_names())}; a provider of your own has to be in the "
                    "configuration: MemoryGateway(config=...)"
                )
            config = self._config or config_of(name)
            if name not in config.providers:
                raise LookupError(f"no provider {name!r} is configured{suggest(name, config.providers)}")
            self._senders[name] = Sender(name, config, self._folder, self._claims, self._publisher)
        return self._senders[name]


async def _first_event(sender: Sender, request: SignedRequest) -> Message:
    """What is published first for a request, by a gateway that knows of no other."""
    publisher = MemoryPublisher()
    dedupe = Dedupe(MemoryClaims(), accepts_unchecked=False)
    exchange, work = sender.bring(request)
    if work is not None:
        await Pipeline(dedupe, publisher, _EVENTS, time.time).deliver(exchange, work)
    published = next(iter(publisher.messages), None)
    if published is None:
        outcome = exchange.answer.outcome if exchange.answer else "nothing in it"
        raise ValueError(f"no worker gets this: {outcome}{f', {exchange.cause}' if exchange.cause else ''}")
    if published.exchange != _EVENTS:
        raise ValueError(f"no worker gets this: it is quarantined, {published.headers['violations']}")
    return published
