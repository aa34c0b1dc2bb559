"""Declare exchanges, queues and bindings, or find that what exists already is good enough.

The user may lack the permission to configure, and somebody else may have declared the same names with other
arguments. So a refused declaration is examined:

- 403 (no permission): declare it passively, which needs no permission and shows whether it exists.
- 406 (exists with other arguments): the broker names one difference at a time, so adapt the declaration to it and
  try again, until it fits. Then all differences are known: what would break a promise is refused, anything else is
  used, with a warning.
- A binding that the user may not make cannot be seen by any client: warn, and say what happens if it does not exist.

A refusal closes its channel. So a declaring channel opens itself anew, and messages are published on another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
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
"""Differences of one declaration after which no more are looked for. No exchange or queue has so many arguments."""

_LIMITED_SINCE = 4
"""The first major version of RabbitMQ whose quorum queues drop a message that was returned 20 times, unless they are
declared otherwise (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling)."""

_NO_DELIVERY_LIMIT = 1_000_000
"""Returns of a message that stand for no limit. Workers count returns themselves and move an event to their dead-letter
queue; in the other queues an event is returned whenever an operator has looked at it."""

_DIFFERENCE = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for (?:exchange|queue) .* in vhost .*: "
    r"received (?P<ours>.+?) but current is (?P<theirs>.+)",
    re.DOTALL,
)
"""RabbitMQ's reply text for a difference; ``ours`` and ``theirs`` are matched by :data:`_VALUE`."""

_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '(?P<type>\w+)')?", re.DOTALL)
"""A value in such a text."""

_FIELDS = {
    "type": "exchange_type",
    "durable": "durable",
    "auto_delete": "auto_delete",
    "internal": "internal",
}
"""The settings that are no arguments, under RabbitMQ's names, with their attributes in pamqp."""

INVALID_EXPIRATION = "permission check"
"""An expiration that the broker refuses after it has checked the permission to write, so that nothing is published."""

Settings = dict[str, Any]
"""The settings of an exchange or a queue, by the names that RabbitMQ uses."""

Check = Callable[[Settings], str]
"""Returns which promise an existing exchange or queue would break; empty for none."""


class Channel(Protocol):
    """A channel for declarations, which opens itself anew after each refusal.

    Attributes:
        server_version: The broker's version, such as ``4.2.1``; empty if it does not say.
    """

    server_version: str

    async def call(self, command: base.Frame) -> Any:
        """Send a synchronous method and return its reply.

        Raises:
            BrokerRefusal: The broker closed the channel.
        """

    async def publish(self, exchange: str, properties: commands.Basic.Properties) -> None:
        """Publish an empty message, and wait until the broker has read it.

        Raises:
            BrokerRefusal: The broker closed the channel.
        """


class Unusable(BrokerRefusal):
    """Raised when an existing part breaks a promise, or a missing one cannot be declared."""


def _breaks_nothing(_: Settings) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Part:
    """One exchange, queue or binding of a topology.

    Attributes:
        command: The method that declares it.
        breaks: Checks one that exists with other arguments.
        without: What happens if it is missing and cannot be declared; empty if it is indispensable.
    """

    command: base.Frame
    breaks: Check = _breaks_nothing
    without: str = ""


@dataclass(slots=True)
class Declared:
    """The result of declaring a topology.

    Attributes:
        commands: The methods that declare it again without a refusal, as far as the user may.
        warnings: What an operator should know, one line each.
    """

    commands: list[base.Frame] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def declare(channel: Channel, topology: Iterable[Part], user: str) -> Declared:
    """Declare each part, or find that it exists.

    Args:
        channel: The channel for declarations.
        topology: The parts. Each comes after the parts that it refers to.
        user: The name of the user, for error texts.

    Raises:
        BrokerRefusal: The broker refuses an indispensable part; :class:`Unusable` if the reason is known.
    """
    declared = Declared()
    for each in topology:
        part = _for_version(each, channel.server_version)
        try:
            await channel.call(part.command)
            declared.commands.append(part.command)
        except BrokerRefusal as refusal:
            await _handle_refusal(channel, part, user, refusal, declared)
    return declared


def _for_version(part: Part, version: str) -> Part:
    """Return the part as a broker of this version needs it."""
    major = version.partition(".")[0]
    settings = _settings(part.command)
    is_limited = major.isdecimal() and int(major) >= _LIMITED_SINCE
    if is_limited and settings.get("x-queue-type") == "quorum" and "x-delivery-limit" not in settings:
        return replace(part, command=_with(part.command, "x-delivery-limit", _NO_DELIVERY_LIMIT))
    return part


async def expect_write(channel: Channel, exchanges: Sequence[str], user: str) -> None:
    """Check that ``user`` may publish to ``exchanges``, without publishing anything.

    Raises:
        BrokerRefusal: The user may not.
    """
    for exchange in exchanges:
        try:
            await channel.publish(exchange, commands.Basic.Properties(expiration=INVALID_EXPIRATION))
        except BrokerRefusal as refusal:
            if refusal.code == ACCESS_REFUSED:
                raise Unusable(
                    f"user {user!r} may not publish to {_exchange(exchange)}; grant write on it (RabbitMQ: {refusal})",
                    ACCESS_REFUSED,
                ) from None
            if refusal.code != PRECONDITION_FAILED:
                raise


async def _handle_refusal(
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
        await _declare_passively(channel, part, user, refusal, declared)
    elif refusal.code == PRECONDITION_FAILED and _DIFFERENCE.search(str(refusal)):
        await _adapt(channel, part, refusal, declared)
    elif refusal.code == NOT_FOUND and is_binding:
        raise Unusable(f"{_name(command)} cannot be made (RabbitMQ: {refusal})", refusal.code)
    else:
        raise refusal


async def _declare_passively(
    channel: Channel, part: Part, user: str, refused: BrokerRefusal, declared: Declared
) -> None:
    """Check that a part exists which the user may not declare."""
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
    """Find all settings in which an existing part differs, and check that they break no promise."""
    settings, differences = _settings(part.command), dict[str, str]()
    command, refusal = part.command, first
    while True:
        found = _DIFFERENCE.search(str(refusal))
        if found is None or getattr(command, "passive", False):
            raise refusal
        name, theirs = found["name"], found["theirs"]
        if name in differences or len(differences) >= _MAX_DIFFERENCES:
            command = _passive(command)  # the broker's text does not tell how to write this argument
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
    """Return the settings that a declaration asks for."""
    fields = {name: getattr(command, attribute, False) for name, attribute in _FIELDS.items()}
    return {**fields, **(getattr(command, "arguments", None) or {})}


def _with(command: base.Frame, name: str, value: object) -> base.Frame:
    """Return ``command`` with one setting changed; None removes an argument."""
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
    """Parse a value in the broker's reply text; None for "none"."""
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
