"""How many quarantined events would pass now, or with another schema."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.errors import MalformedJson, OperatorError
from gateway.events.schemas import SchemaError, check_document, parse_document
from gateway.events.schemas.schema import Schema
from gateway.events.strict_json import parse_json
from gateway.operations.letters import OnProgress, ignore, read_letters
from gateway.operations.quarantine_groups import QuarantineFilter, quarantine_queue
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import Revalidator, data_of, lasting_fault

_MAX_FAILURES = 10
"""Events that do not pass which the result of a check names."""

_MAX_SCHEMA_LENGTH = 256 * 1024
"""Characters of a schema to be checked, more than any that is bundled; YAML takes seconds a megabyte."""


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
        if len(text) > _MAX_SCHEMA_LENGTH:
            raise SchemaError(f"it has more than {_MAX_SCHEMA_LENGTH:,} characters")
        content = text.encode("utf-8", "replace")
        document = parse_document(content, is_yaml=not text.lstrip().startswith("{"))
        if isinstance(document, dict):
            document.setdefault("$id", "urn:webhook-gateway:schema:proposal")
        check_document(document, "the schema")
        return Schema(document, {})
    except (SchemaError, RecursionError) as error:
        raise OperatorError(f"the schema cannot be used: {' '.join(str(error).split())}") from error


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
