"""A schema that the events of a group in quarantine would pass, and how it differs from the one in force."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from gateway.config import Config, ProviderConfig
from gateway.config.resolve import adapter_of, schemas_of
from gateway.errors import MalformedJson, OperatorError
from gateway.events.schemas import YAML_SUFFIXES, Catalogue, SchemaError
from gateway.events.schemas.formatting import format_schema
from gateway.events.schemas.infer import infer
from gateway.events.schemas.widen import standalone, widen
from gateway.events.strict_json import parse_json
from gateway.operations.letters import OnProgress, ignore, read_letters
from gateway.operations.quarantine_groups import QuarantineFilter, quarantine_queue
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import data_of, lasting_fault

MAX_SAMPLES = 500
"""Events of a group from which a schema is proposed; more would hardly add to it."""

MAX_SAMPLE_BYTES = 16 * 1024**2
"""Bytes of all of them, to bound memory."""


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
        language = "YAML" if provider.schema_file.suffix in YAML_SUFFIXES else "JSON"
        return (
            f"Write it to {provider.schema_file} as {language}, which serves every event type of {name}, and reload the "
            "gateway."
        )
    return (
        f"Write it to a file, name that as providers.{name}.schema, and reload the gateway. From then on it serves every "
        f"event type of {name} in place of the bundled schemas."
    )


_FIRST = ("$schema", "$id", "title", "description")
"""Keywords that a schema begins with, for those who read it."""


def _renamed(document: dict[str, Any], name: str, provider: ProviderConfig) -> dict[str, Any]:
    """Return a schema with an ``$id`` of its own: events carry it, and must not claim to have passed a bundled schema."""
    ordered = {key: document[key] for key in _FIRST if key in document} | document
    if not provider.schema_file:
        return ordered | {"$id": f"urn:{name}:event:1"}
    if str(document.get("$id", "")).startswith("file:"):  # it has none, and the place of its file stands in
        del ordered["$id"]
    return ordered


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


def _difference(present: dict[str, Any], proposed: dict[str, Any]) -> str:
    before, after = (format_schema(each).splitlines() for each in (present, proposed))
    return "\n".join(difflib.unified_diff(before, after, "in force", "proposed", lineterm=""))
