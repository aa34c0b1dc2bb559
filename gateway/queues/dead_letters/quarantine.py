"""Release events from quarantine: validate them again, and make messages of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import orjson

from gateway.config import Config
from gateway.config.resolve import adapter_of, schemas_of
from gateway.errors import MalformedJson, OperatorError
from gateway.events.message import Message
from gateway.events.schemas import AdapterSchemas, Catalogue, SchemaError
from gateway.events.strict_json import parse_json
from gateway.events.validation import NO_OBJECT, UNKNOWN, UNREADABLE, UNTYPED, Validation, validate
from gateway.queues.dead_letters.letter import DeadLetter

_NOT_AN_EVENT = Validation(None, "/: it is no event")
"""The result for a message that this gateway did not publish."""

_VIOLATIONS = "violations"
"""The header in which the gateway gave the schema rules that the event broke."""


class _Envelope(msgspec.Struct):
    """An envelope, read only to find the bytes of its data."""

    data: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Envelope).decode


class Revalidator:
    """Validates quarantined events against the current schemas.

    Args:
        config: The configuration; only its providers matter.
        folder: The folder of the configuration, to which paths of schemas are relative.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        catalogue = Catalogue.bundled()

        def schemas_for(name: str) -> AdapterSchemas | None:
            provider = config.providers.get(name)
            try:
                return schemas_of(provider, adapter_of(provider), folder, catalogue) if provider else None
            except SchemaError as error:
                raise OperatorError("\n".join(map(str, error.args))) from error

        self._schemas_for: Callable[[str], AdapterSchemas | None] = cache(schemas_for)

    def validate(self, letter: DeadLetter) -> Validation:
        """Validate an event as it is in the queue: values that ``redact`` has masked stay masked.

        Raises:
            OperatorError: The schema of the provider cannot be used.
        """
        if lasting := lasting_fault(letter):
            return lasting
        schemas = self._schemas_for(letter.provider)
        if schemas is None:
            return Validation(None, f"/: the configuration has no provider {letter.provider!r}")
        try:
            data = data_of(letter)
            return validate(schemas, letter.event_type, parse_json(data)) if data else UNKNOWN
        except MalformedJson:
            return _NOT_AN_EVENT

    def can_be_forced(self, validation: Validation) -> bool:
        """Return whether an event that still breaks a rule may be released: no worker could read some."""
        return validation != UNREADABLE

    def released(self, letter: DeadLetter, exchange: str, validation: Validation) -> Message:
        """Return the message that releases an event; see :func:`released_message`."""
        return released_message(letter, exchange, validation)


def lasting_fault(letter: DeadLetter) -> Validation | None:
    """Return why an event is in quarantine if no schema found it, so that no other schema can change it."""
    for lasting in (UNTYPED, NO_OBJECT, UNREADABLE):
        if letter.headers.get(_VIOLATIONS) == lasting.violations:
            return lasting
    return None


def without_violations(letter: DeadLetter) -> DeadLetter:
    """Return an event without the header that says which rules it broke."""
    headers = {name: value for name, value in letter.headers.items() if name != _VIOLATIONS}
    return replace(letter, headers=headers)


def data_of(letter: DeadLetter) -> bytes:
    """Return the bytes of the data of an event; empty if it has none.

    Raises:
        MalformedJson: It is not an event.
    """
    try:
        return bytes(_decode(letter.body).data)
    except msgspec.MsgspecError as error:
        raise MalformedJson("it is not an event") from error


def released_message(letter: DeadLetter, exchange: str, validation: Validation) -> Message:
    """Return the message that releases an event to ``exchange``, with id and data unchanged."""
    marks = {"released": True, "dataschema": validation.schema_id}
    added = {name: value for name, value in marks.items() if value is not None and name not in letter.event}
    is_marked = added and letter.event
    # Written before the other members: the event is not parsed and written again, which could change its data.
    body = orjson.dumps(added)[:-1] + b"," + letter.body.lstrip()[1:] if is_marked else letter.body
    return Message(
        exchange=exchange,
        routing_key=letter.routing_key,
        message_id=letter.message_id,
        type=str(letter.event.get("type", "")),
        headers={
            name: value
            for name, value in letter.headers.items()
            if isinstance(value, str) and name != _VIOLATIONS and not name.startswith("x-")
        },
        body=body,
    )
