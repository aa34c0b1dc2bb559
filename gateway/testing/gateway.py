"""A gateway in memory: the real pipeline between simulated providers and a broker in memory.

The module has slightly more than 200 lines because most of them document a public class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from gateway.claims.dedupe import Dedupe
from gateway.claims.memory import MemoryClaims
from gateway.config.error_messages import suggest
from gateway.devtools.provider_reference import adapter_names
from gateway.devtools.simulator import SignedRequest, Tampering
from gateway.events.message import Message
from gateway.publishers.memory import MemoryPublisher
from gateway.receive.context import RequestContext
from gateway.receive.publishing import EventPublisher
from gateway.receive.responses import Response
from gateway.testing.senders import Body, Sender, config_of, read_config
from gateway.testing.steps import bind_steps, run_in_background
from gateway.worker import Event

_EVENTS = "webhooks"

OnMessage = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The gateway's answer to one request.

    Attributes:
        status: The HTTP status.
        outcome: The outcome, such as ``accepted``, ``duplicate``, ``quarantined`` or ``invalid_signature``.
        cause: The cause that the gateway's log gives, such as ``signature_mismatch``.
        body: The body of the answer.
        provider: The provider that sent the request.
        events: The events that were published for the request, as workers get them.
        request: The request.
    """

    status: int
    outcome: str
    cause: str | None
    body: bytes
    provider: str
    events: tuple[Event, ...] = field(repr=False)
    request: SignedRequest = field(repr=False)


class MemoryGateway:
    """A gateway without servers.

    Its providers sign with secrets that are made here, whatever is configured, and may come from any address.

    Args:
        config: The configuration file with the providers; without one, every adapter that comes with the gateway is a
            provider of the same name.

    Attributes:
        messages: All published messages, quarantined events included.
        listeners: Functions to call with each message that is published as an event.

    Raises:
        ConfigurationError: The file cannot be used.
    """

    def __init__(self, config: str | Path | None = None) -> None:
        self._folder = Path(config).parent if config else Path()
        self._config = read_config(Path(config)) if config else None
        self._exchange = self._config.rabbitmq.exchange if self._config else _EVENTS
        self._claims = MemoryClaims()
        self._publisher = MemoryPublisher()
        self._senders: dict[str, Sender] = {}
        self._lock = asyncio.Lock()
        self.messages = self._publisher.messages
        self.listeners: list[OnMessage] = []

    @property
    def events(self) -> list[Event]:
        """Return the published events, as workers get them."""
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
        """Send a built-in sample as its provider does, with new ids.

        Args:
            provider: The provider that sends.
            event_type: The sample to send; without it, the adapter's default.
            data: Changes to the event's data. Objects are merged, other values are replaced.
            body: The body to send instead of a sample, unchanged.
            tamper: What to forge: ``body``, ``signature`` or ``timestamp``.

        Raises:
            LookupError: The provider or the sample does not exist.
            OperatorError: The provider does not sign what ``tamper`` forges, or its body has no names for ``data``.
            ValueError: The provider would never sign such a body.
        """
        if tamper and (tamper == "replay" or tamper not in get_args(Tampering)):
            raise ValueError(f"tamper is body, signature or timestamp, not {tamper!r}; repeat() sends again")
        return await self._deliver(provider, self._sender(provider).sign(event_type, data, body, tamper))

    async def repeat(self, answer: Answer) -> Answer:
        """Send the request of ``answer`` again, byte for byte."""
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
        """Return the event that a worker gets for a sample of ``provider``; publish nothing.

        It has a new id, and keeps its steps in memory, so that a test can simply call a handler with it.

        Args:
            provider: The provider that sends; this and the next three are as for :meth:`send`.
            event_type: The sample to send.
            data: Changes to the event's data.
            body: The body to send instead of a sample.
            attributes: Changes to the event itself, such as ``attempts=3`` or ``account="acct_7"``.

        Raises:
            LookupError: The provider or the sample does not exist.
            OperatorError: The body has no names for ``data``.
            TypeError: Events have no such attribute.
            ValueError: A worker would never get such an event; the text says why.
        """
        if unknown := attributes.keys() - Event.model_fields.keys():
            raise TypeError(f"events have no attribute {', '.join(sorted(unknown))}")
        sender = self._sender(provider)
        message = run_in_background(_first_event(sender, sender.sign(event_type, data, body)))
        event = Event.parse(message.body)
        if attributes:
            event = Event.model_validate(dict(event) | attributes)
        bind_steps(event)
        return event

    async def _deliver(self, provider: str, request: SignedRequest) -> Answer:
        sender = self._sender(provider)
        async with self._lock:  # so that all new messages belong to this request
            before = len(self.messages)
            record, job = sender.receive(request)
            if job is not None and isinstance(record, RequestContext):
                await sender.receiver.run(record, job)
            new = self._published(before)
        for message in new:
            for listener in self.listeners:
                listener(message)
        answer = cast("Response", record.response)
        return Answer(
            status=answer.status,
            outcome=answer.outcome,
            cause=record.cause,
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
                    f"there is no adapter {name!r}{suggest(name, adapter_names())}; for a provider of your own, pass the "
                    "configuration: MemoryGateway(config=...)"
                )
            config = self._config or config_of(name)
            if name not in config.providers:
                raise LookupError(f"no provider {name!r} is configured{suggest(name, config.providers)}")
            self._senders[name] = Sender(name, config, self._folder, self._claims, self._publisher)
        return self._senders[name]


async def _first_event(sender: Sender, request: SignedRequest) -> Message:
    """Return the first message that a gateway without a history publishes for a request.

    Raises:
        ValueError: It publishes none, or quarantines it.
    """
    publisher = MemoryPublisher()
    dedupe = Dedupe(MemoryClaims(), accepts_unchecked=False)
    record, job = sender.receive(request)
    if job is not None:
        job.publisher = EventPublisher(dedupe, publisher, _EVENTS)
        await job.run()
    published = next(iter(publisher.messages), None)
    if published is None:
        outcome = record.response.outcome if record.response else "the request carries no event"
        raise ValueError(f"no worker gets this: {outcome}{f', {record.cause}' if record.cause else ''}")
    if published.exchange != _EVENTS:
        raise ValueError(f"no worker gets this: it is quarantined, {published.headers['violations']}")
    return published
