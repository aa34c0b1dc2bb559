"""Out of the quarantine: what the schemas say of an event today, and the message that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import orjson

from gateway.app import schemas_of
from gateway.config import Config
from gateway.config.loader import adapter_of
from gateway.errors import MalformedJson, OperatorError
from gateway.events.message import Message
from gateway.events.schemas import AdapterSchemas, Catalogue, SchemaError
from gateway.events.strict_json import parse_json
from gateway.events.validation import NO_OBJECT, UNKNOWN, UNREADABLE, UNTYPED, Validation, judge
from gateway.queues.dead_letters.letter import DeadLetter

_NO_EVENT = Validation(None, "/: it is no event")
_VIOLATIONS = "violations"


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Envelope).decode


class Revalidator:
    """Holds events to the schemas of today.

    Args:
        config: what is configured, of which the providers matter.
        folder: that of the configuration.
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

    def judge(self, held: DeadLetter) -> Validation:
        """What they say of an event; what ``redact`` has masked is judged as it is now.

        Raises:
            OperatorError: the schema of its provider cannot be used.
        """
        for lasting in (UNTYPED, NO_OBJECT, UNREADABLE):
            if held.headers.get(_VIOLATIONS) == lasting.violations:
                return lasting  # no schema has said so, and none can take it back
        schemas = self._schemas_for(held.provider)
        if schemas is None:
            return Validation(None, f"/: the configuration has no provider {held.provider!r}")
        try:
            data = bytes(_decode(held.body).data)
            return judge(schemas, held.event_type, parse_json(data)) if data else UNKNOWN
        except (msgspec.MsgspecError, MalformedJson):
            return _NO_EVENT


def released(held: DeadLetter, exchange: str, validation: Validation) -> Message:
    """The message that an event from the quarantine becomes, with its id and the bytes of its data as they were."""
    marks = {"released": True, "dataschema": validation.schema_id}
    added = {name: value for name, value in marks.items() if value is not None and name not in held.event}
    body = orjson.dumps(added)[:-1] + b"," + held.body.lstrip()[1:] if added and held.event else held.body
    return Message(
        exchange=exchange,
        routing_key=held.routing_key,
        message_id=held.message_id,
        type=str(held.event.get("type", "")),
        headers={
            name: value
            for name, value in held.headers.items()
            if isinstance(value, str) and name != _VIOLATIONS and not name.startswith("x-")
        },
        body=body,
    )
