"""Schemas for quarantined events: propose one that would pass them, and check how many a schema would pass."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
import yaml

from gateway.config import Config, ProviderConfig
from gateway.config.resolve import adapter_of, schemas_of
from gateway.errors import MalformedJson, OperatorError
from gateway.events.schemas import Catalogue, SchemaError, check_document
from gateway.events.schemas.formatting import format_schema
from gateway.events.schemas.infer import infer
from gateway.events.schemas.schema import Schema
from gateway.events.schemas.widen import standalone, widen
from gateway.events.strict_json import parse_json
from gateway.operations.letters import OnProgress, ignore, read_letters
from gateway.operations.quarantine_groups import QuarantineFilter, quarantine_queue
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import Revalidator, data_of, lasting_fault

MAX_SAMPLES = 500
"""Events of a group from which a schema is proposed; more would hardly add to it."""

MAX_SAMPLE_BYTES = 16 * 1024**2
"""Bytes of all of them, to bound memory."""

_MAX_FAILURES = 10
"""Events that do not pass which the result of a check names."""

_MAX_SCHEMA_LENGTH = 256 * 1024
"""Characters of a schema to be checked, more than any that is bundled; YAML takes seconds a megabyte."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A schema that all samples of a group pass.

    Attributes:
        provider: The provider of the group.
        type: Its event type.
        how: `widened` from the schema in force, or `inferred` from the samples where that is not possible.
        samples: The number of events that it was made from.
        document: The schema.
        json: The schema as text of a JSON file.
        yaml: The same in YAML.
        difference: What differs from the schema in force, in the unified format; empty if there is no such schema.
        notes: What to consider before using it, one sentence each.
    """

    provider: str
    type: str
    how: Literal["widened", "inferred"]
    samples: int
    document: dict[str, Any]
    json: str
    yaml: str
    difference: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """How many quarantined events pass a schema.

    Attributes:
        total: The number of events.
        passing: The number of those that pass.
        failures: The ids and violations of the first ten that do not.
    """

    total: int
    passing: int
    failures: tuple[tuple[str, str], ...]


async def proposal(config: Config, folder: Path, group: str, *, on_progress: OnProgress = ignore) -> Proposal:
    """Propose a schema that the events of a group pass.

    The schema in force is widened: each rule that an event breaks is loosened, and nothing else changes. Where that is not
    possible, or there is none, a schema is inferred from the events, as ``gateway schemas infer`` does.

    Args:
        config: The configuration.
        folder: The folder of the configuration file, which schema files are relative to.
        group: The id of the group.
        on_progress: Called for each event that is read.

    Raises:
        OperatorError: The group has no events now, no schema can help it, or the broker cannot be reached.
    """
    gathered = _Samples()
    await read_letters(
        config,
        quarantine_queue(config),
        QuarantineFilter(group=group),
        on_letter=gathered.add,
        on_progress=on_progress,
    )
    if gathered.first is None:
        raise OperatorError("the group has no events any more; they were released or dropped")
    if (fault := lasting_fault(gathered.first)) is not None:
        raise OperatorError(f"no schema can pass these events: {fault.violations}")
    if not gathered.payloads:
        raise OperatorError(
            "these messages are not events of this gateway, so that no schema applies to them"
        )
    name = gathered.first.provider
    provider = config.providers.get(name)
    if provider is None:
        raise OperatorError(f"the configuration has no provider {name!r}")
    try:
        schemas = schemas_of(provider, adapter_of(provider), folder, Catalogue.bundled())
    except SchemaError as error:
        raise OperatorError(str(error)) from error
    present = schemas.documents.get(schemas.name_for(gathered.first.event_type))
    # Half a thousand large events take seconds.
    made = await asyncio.to_thread(_propose, name, present, schemas.by_id, gathered.payloads)
    document = _renamed(made.document, name, provider)
    return Proposal(
        name,
        gathered.first.word,
        made.how,
        len(gathered.payloads),
        document,
        format_schema(document) + "\n",
        yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100),
        _difference(_renamed(made.base, name, provider), document) if made.base else "",
        (_note_on_use(name, provider), *made.notes),
    )


async def check(
    config: Config,
    folder: Path,
    event_filter: QuarantineFilter,
    schema: str | None = None,
    *,
    on_progress: OnProgress = ignore,
) -> Check:
    """Count the quarantined events that would pass now, or with another schema. Nothing is released.

    Args:
        config: The configuration.
        folder: The folder of the configuration file, which schema files are relative to.
        event_filter: Selects the events.
        schema: A schema in JSON or YAML; None for those in force.
        on_progress: Called for each event that is read.

    Raises:
        OperatorError: The schema cannot be used, or the broker cannot be reached.
    """
    document = None if schema is None else await asyncio.to_thread(parse_schema, schema)
    judge = _Judge(Revalidator(config, folder), document)
    await read_letters(
        config, quarantine_queue(config), event_filter, on_letter=judge.add, on_progress=on_progress
    )
    return Check(judge.total, judge.passing, tuple(judge.failures))


def parse_schema(text: str) -> Schema:
    """Return a schema that somebody has written in JSON or YAML.

    Raises:
        OperatorError: It is not a usable schema.
    """
    try:
        document = _parse(text)
        if isinstance(document, dict):
            document.setdefault("$id", "urn:webhook-gateway:schema:proposal")
        check_document(document, "the schema")
        return Schema(document, {})
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OperatorError(f"the schema cannot be used: {' '.join(str(error).split())}") from error


def _parse(text: str) -> Any:
    if len(text) > _MAX_SCHEMA_LENGTH:
        raise SchemaError(f"it has more than {_MAX_SCHEMA_LENGTH:,} characters")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise SchemaError("it has YAML aliases, through which a short text can be a huge one") from None
        document = yaml.safe_load(text)
        if not isinstance(document, dict):
            raise SchemaError("it is neither JSON nor YAML with the keywords of a schema") from None
        return document


class _Made(NamedTuple):
    """A schema that was made, and from what."""

    how: Literal["widened", "inferred"]
    base: dict[str, Any] | None
    document: dict[str, Any]
    notes: tuple[str, ...] = ()


def _propose(
    name: str, present: dict[str, Any] | None, by_id: Mapping[str, Any], payloads: list[Any]
) -> _Made:
    alone = standalone(present, by_id) if present else None
    if alone and (wide := widen(alone, payloads)):
        return _Made("widened", alone, wide)
    examples = present.get("examples", []) if present else []
    title = (present or {}).get("title", f"{name} event")
    try:
        inferred = infer([*payloads, *examples], f"urn:{name}:event:1", title)
    except SchemaError as error:
        raise OperatorError(f"no schema can be inferred: {' '.join(str(error).split())}") from error
    return _Made("inferred", present, inferred, (_NOTE_ON_INFERRED,))


_NOTE_ON_INFERRED = (
    "It was inferred from the quarantined events alone, with the examples of the schema in force: remove what no worker "
    "needs, and check that ordinary events pass it."
)


def _note_on_use(name: str, provider: ProviderConfig) -> str:
    if provider.schema_file:
        return f"Write it to {provider.schema_file}, which serves every event type of {name}, and reload the gateway."
    return (
        f"Write it to a file, name that as providers.{name}.schema, and reload the gateway. From then on it serves every "
        f"event type of {name} in place of the bundled schemas."
    )


def _renamed(document: dict[str, Any], name: str, provider: ProviderConfig) -> dict[str, Any]:
    """Return a schema with an ``$id`` of its own: events carry it, and must not claim to have passed a bundled schema."""
    if not provider.schema_file:
        return document | {"$id": f"urn:{name}:event:1"}
    is_default = str(document.get("$id", "")).startswith("file:")
    return {key: value for key, value in document.items() if not (key == "$id" and is_default)}


@dataclass(slots=True)
class _Samples:
    """The data of the events of a group, as far as the bounds allow."""

    payloads: list[Any] = field(default_factory=list)
    first: DeadLetter | None = None
    size: int = 0

    def add(self, letter: DeadLetter) -> None:
        self.first = self.first or letter
        try:
            data = data_of(letter)
            if len(self.payloads) < MAX_SAMPLES and self.size + len(data) <= MAX_SAMPLE_BYTES and data:
                self.payloads.append(parse_json(data))
                self.size += len(data)
        except MalformedJson:
            return


class _Judge:
    """Validates events and counts those that pass."""

    def __init__(self, revalidator: Revalidator, schema: Schema | None) -> None:
        self.total = self.passing = 0
        self.failures: list[tuple[str, str]] = []
        self._revalidator = revalidator
        self._schema = schema

    def add(self, letter: DeadLetter) -> None:
        violations = self._violations(letter)
        self.total += 1
        self.passing += violations is None
        if violations is not None and len(self.failures) < _MAX_FAILURES:
            self.failures.append((letter.message_id, violations))

    def _violations(self, letter: DeadLetter) -> str | None:
        if self._schema is None:
            return self._revalidator.validate(letter).violations
        if (fault := lasting_fault(letter)) is not None:
            return fault.violations
        try:
            data = data_of(letter)
            payload = parse_json(data) if data else None
        except MalformedJson as error:
            return str(error)
        if not data or self._schema.is_valid(payload):
            return None
        return "; ".join(f"{each.path or '/'}: {each.text}" for each in self._schema.explain(payload))


def _difference(present: dict[str, Any], proposed: dict[str, Any]) -> str:
    before, after = (format_schema(each).splitlines() for each in (present, proposed))
    return "\n".join(difflib.unified_diff(before, after, "in force", "proposed", lineterm=""))
