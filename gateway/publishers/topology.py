"""Declaring exchanges, queues and bindings, or finding that what is there already will do.

A user may lack the right to configure, and what is there may have been declared by somebody else. So what is
refused is looked at:

- 403 (no right to declare): it is declared passively, which takes no right and says whether it is there.
- 406 (there, with other arguments): the broker names one difference at a time, so the declaration is adapted to what
  it says and made again, until it fits. What differs is then known, and judged: whatever would break a promise is
  refused, anything else is used and told.
- a binding that may not be made can be seen by no client; it is told what happens if it is not there.

A refusal ends the channel that it came by. A declaring channel therefore opens itself anew, and is never the one on
which messages are published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

from pamqp import base, commands
from pamqp.common import FieldTable

from gateway.transport.amqp_errors import (
    ACCESS_REFUSED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    BrokerRefusal,
)

_MAX_DIFFERENCES = 32
"""Declarations of one thing, after which its differences are not looked for any more: it has far fewer arguments."""

_DIFFERENCE = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for (?:exchange|queue) .* in vhost .*: "
    r"received (?P<ours>.+?) but current is (?P<theirs>.+)",
    re.DOTALL,
)
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '(?P<type>\w+)')?", re.DOTALL)
_FIELDS = {
    "type": "exchange_type",
    "durable": "durable",
    "auto_delete": "auto_delete",
    "internal": "internal",
}

_NO_EXPIRATION = "whether one may publish here"
"""An expiration that the broker refuses, after it has checked the right to write and before it takes the message."""

_RETURNS_OF_A_LOOK = 2
"""Times that a command which looks into a queue may return an event; see :mod:`gateway.queues.dead_letters.rabbitmq`."""

Settings = dict[str, Any]
"""What something in the broker was declared with, by the names of its arguments."""

Judge = Callable[[Settings], str]
"""Says what something that is there would break; empty for nothing."""


class Channel(Protocol):
    """A channel that is opened anew after each refusal."""

    async def call(self, command: base.Frame) -> Any:
        """Carry a synchronous method out.

        Raises:
            BrokerRefusal: the broker closed the channel.
        """

    async def publish(self, exchange: str, properties: commands.Basic.Properties) -> None:
        """Publish an empty message, and wait until the broker has read it.

        Raises:
            BrokerRefusal: the broker closed the channel.
        """


class Unusable(BrokerRefusal):
    """What is there already would break a promise, or something is missing that this user may not declare."""


def _will_do(_: Settings) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Part:
    """One exchange, queue or binding.

    Attributes:
        command: declares it.
        breaks: judges one that is there with other arguments.
        without: what happens where it is missing and cannot be declared; empty for what cannot be done without.
    """

    command: base.Frame
    breaks: Judge = _will_do
    without: str = ""


@dataclass(slots=True)
class Declared:
    """What became of a topology.

    Attributes:
        commands: those that declare it once more without a refusal, as far as that can be done.
        warnings: what an operator should know, one line each.
    """

    commands: list[base.Frame] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def declare(channel: Channel, topology: Iterable[Part], user: str) -> Declared:
    """Declare each part, or find it there.

    Args:
        channel: where to.
        topology: the parts, in an order in which each has what it names.
        user: the name of the user, for people.

    Raises:
        BrokerRefusal: the broker refuses a part that is needed; :class:`Unusable` where it is known why.
    """
    declared = Declared()
    for part in topology:
        try:
            await channel.call(part.command)
            declared.commands.append(part.command)
        except BrokerRefusal as refusal:
            await _see_to(channel, part, user, refusal, declared)
    return declared


async def expect_write(channel: Channel, exchanges: Sequence[str], user: str) -> None:
    """Find out whether ``user`` may publish to ``exchanges``, without publishing anything.

    Raises:
        BrokerRefusal: the user may not.
    """
    for exchange in exchanges:
        try:
            await channel.publish(exchange, commands.Basic.Properties(expiration=_NO_EXPIRATION))
        except BrokerRefusal as refusal:
            if refusal.code == ACCESS_REFUSED:
                raise Unusable(
                    f"user {user!r} may not publish to {_exchange(exchange)}; grant write on it (RabbitMQ: {refusal})",
                    ACCESS_REFUSED,
                ) from None
            if refusal.code != PRECONDITION_FAILED:
                raise


async def _see_to(
    channel: Channel, part: Part, user: str, refusal: BrokerRefusal, declared: Declared
) -> None:
    command = part.command
    is_binding = isinstance(command, commands.Queue.Bind | commands.Exchange.Bind)
    if refusal.code == ACCESS_REFUSED and is_binding:
        declared.warnings.append(
            f"user {user!r} may not make {_name(command)}, nor can it be seen whether that is there; "
            f"{part.without or 'without it no event comes'} (to make it takes write on the one that is bound and read "
            "on the exchange)"
        )
    elif refusal.code == ACCESS_REFUSED:
        await _look(channel, part, user, refusal, declared)
    elif refusal.code == PRECONDITION_FAILED and _DIFFERENCE.search(str(refusal)):
        await _adapt(channel, part, refusal, declared)
    elif refusal.code == NOT_FOUND and is_binding:
        raise Unusable(f"{_name(command)} cannot be made (RabbitMQ: {refusal})", refusal.code)
    else:
        raise refusal


async def _look(channel: Channel, part: Part, user: str, refused: BrokerRefusal, declared: Declared) -> None:
    """See whether what may not be declared is there already."""
    name = _name(part.command)
    passive = _passive(part.command)
    try:
        await channel.call(passive)
    except BrokerRefusal as refusal:
        if refusal.code != NOT_FOUND:
            raise Unusable(
                f"user {user!r} may neither declare {name} nor see it; grant configure on it (RabbitMQ: {refusal})",
                refusal.code,
            ) from None
        missing = f"{name} is not there, and user {user!r} may not declare it"
        if part.without:
            declared.warnings.append(f"{missing}; {part.without}")
            return
        raise Unusable(
            f"{missing}; declare it, or grant configure on it and what it names (RabbitMQ: {refused})",
            ACCESS_REFUSED,
        ) from None
    declared.commands.append(passive)


async def _adapt(channel: Channel, part: Part, first: BrokerRefusal, declared: Declared) -> None:
    """Find out in what the thing that is there differs, and whether it will do."""
    settings, differences = _settings(part.command), dict[str, str]()
    command, refusal = part.command, first
    while True:
        found = _DIFFERENCE.search(str(refusal))
        if found is None or getattr(command, "passive", False):
            raise refusal
        name, theirs = found["name"], found["theirs"]
        if name in differences or len(differences) >= _MAX_DIFFERENCES:
            command = _passive(command)  # an argument that cannot be written as it is there
        else:
            differences[name] = f"{name} is {_shown(theirs)}, not {_shown(found['ours'])}"
            settings[name] = _value(theirs)
            command = _with(command, name, settings[name])
        try:
            await channel.call(command)
            break
        except BrokerRefusal as again:
            refusal = again
    name, what = _name(part.command), "; ".join(differences.values())
    if broken := part.breaks(settings):
        raise Unusable(
            f"{name} is there already, and {broken}: {what}. Delete it when it is not needed any more, or use other "
            f"names (RabbitMQ: {first})",
            PRECONDITION_FAILED,
        )
    declared.commands.append(command)
    declared.warnings.append(
        f"{name} is there already with other settings, and is used as it is: {what} (RabbitMQ: {first})"
    )


def _settings(command: base.Frame) -> Settings:
    """Return what a declaration asks for, under the names that the broker uses."""
    fields = {name: getattr(command, attribute, False) for name, attribute in _FIELDS.items()}
    return {**fields, **(getattr(command, "arguments", None) or {})}


def _with(command: base.Frame, name: str, value: object) -> base.Frame:
    """Return ``command`` with one setting as it is there; None for an argument that is not."""
    adapted = copy(command)
    if name in _FIELDS:
        setattr(adapted, _FIELDS[name], value)
        return adapted
    arguments: FieldTable = {**(getattr(command, "arguments", None) or {})}
    if value is None:
        arguments.pop(name, None)
    else:
        arguments[name] = value  # type: ignore[assignment]
    adapted.arguments = arguments  # type: ignore[attr-defined]
    return adapted


def _passive(command: base.Frame) -> base.Frame:
    if isinstance(command, commands.Queue.Declare):
        return commands.Queue.Declare(queue=command.queue, passive=True)
    assert isinstance(command, commands.Exchange.Declare)  # noqa: S101 -- a binding has no such form
    return commands.Exchange.Declare(
        exchange=command.exchange, exchange_type=command.exchange_type, passive=True
    )


def _value(text: str) -> object:
    """Read a value as the broker writes it; None for "none"."""
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        return None if text.strip() == "none" else text
    value = match["value"]
    if value in ("true", "false"):
        return value == "true"
    is_text = match["type"] == "longstr"
    return int(value) if not is_text and re.fullmatch(r"-?[0-9]{1,18}", value) else value


def _shown(text: str) -> str:
    value = _value(text)
    return (
        "absent"
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else str(value) or "empty"
    )


def _name(command: base.Frame) -> str:
    match command:
        case commands.Queue.Declare(queue=queue):
            return f"queue {queue!r}"
        case commands.Exchange.Declare(exchange=exchange):
            return _exchange(exchange)
        case commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key):
            return f"the binding of queue {queue!r} to exchange {exchange!r} by {key!r}"
        case commands.Exchange.Bind(destination=destination, source=source):
            return f"the binding of exchange {destination!r} to exchange {source!r}"
    raise TypeError(command.name)


def _exchange(name: str) -> str:
    return f"exchange {name!r}" if name else "the default exchange ('amq.default')"


# --- what would break a promise ---------------------------------------------------------------------------------


def breaks_routing(kind: str) -> Judge:
    """Return the judge of an exchange that routes as ``kind`` does."""

    def judge(settings: Settings) -> str:
        if settings["type"] != kind:
            return f"does not route as a {kind} exchange does"
        return "takes no event from outside of the broker" if settings["internal"] else ""

    return judge


def loses_events(settings: Settings) -> str:
    """Judge a queue in which events wait for as long as it takes."""
    if not settings["durable"] or settings["auto_delete"] or settings.get("x-expires") is not None:
        return "ends with a restart, with its last consumer or with time, and its events with it"
    if settings.get("x-queue-type") == "stream":
        return "is a stream, from which no event is ever taken out"
    if settings.get("x-dead-letter-exchange") is not None:  # where they go then is somebody's decision
        return ""
    if settings.get("x-message-ttl") is not None:
        return "drops events after a while"
    is_bounded = settings.get("x-max-length") is not None or settings.get("x-max-length-bytes") is not None
    if is_bounded and settings.get("x-overflow") not in ("reject-publish", "reject-publish-dlx"):
        return "drops the oldest events when it is full"
    limit = settings.get("x-delivery-limit")
    if isinstance(limit, int) and 0 <= limit < _RETURNS_OF_A_LOOK:
        return "drops events that are looked at"
    return ""
