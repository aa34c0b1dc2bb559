"""One compiled schema: whether a body fits it, and where it does not.

jsonschema-rs does both. Its patterns run in linear time, and an explanation is only ever asked for where the
number of errors is bounded, because it finds all of them before it tells the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema_rs import (
    Draft202012Validator,
    ReferencingError,
    RegexOptions,
    ValidationError,
    ValidationErrorKind,
)

from gateway.events.schemas.lint import SchemaError, pointer, subschemas

MAX_VIOLATIONS = 10

_MAX_ERRORS = 5000
"""How many there may be for all of them to be looked for, which takes some 10 microseconds each."""

_LONGEST_STEP = 64


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a body breaks. Never a value of the body: those may be personal.

    Attributes:
        path: a JSON Pointer to the offending part of the body; long names in it are cut, odd characters escaped.
        rule: the JSON Pointer, within the schema, of the rule.
    """

    path: str
    rule: str


class Schema:
    """One compiled schema.

    Args:
        document: the schema, which has passed the lint.
        by_id: the documents that it may refer to.

    Raises:
        SchemaError: it refers to something else.
    """

    def __init__(self, document: dict[str, Any], by_id: Mapping[str, Any]) -> None:
        self.id: str = document["$id"]
        self.title: str = document.get("title", "")
        self.description: str = document.get("description", "")
        self.examples: list[Any] = document.get("examples", [])
        parts = list(_parts(document, by_id))
        alternatives = sum(len(part.get(keyword, ())) for part in parts for keyword in ("anyOf", "oneOf"))
        errors_of_a_value = 1 + alternatives + max(len(part.get("required", ())) for part in parts)
        self._has_alternatives = alternatives > 0
        self._most_explained = _MAX_ERRORS // errors_of_a_value
        try:
            self._compiled = Draft202012Validator(
                document, retriever=by_id.__getitem__, pattern_options=RegexOptions(), mask="a value"
            )
        except (ValidationError, ReferencingError) as error:
            cause = re.split(r"\n| and retrieving", str(error))[0]
            raise SchemaError(f"{self.id}: {cause}") from error
        self.is_valid = self._compiled.is_valid

    def explain(self, payload: object) -> list[Violation]:
        """The first ten rules that ``payload`` breaks, none when it is valid.

        Of a large one the first rule, or the whole schema when it has alternatives.
        """
        if _has_at_most(payload, self._most_explained):
            return _violations(self._compiled.iter_errors(payload))
        if self._has_alternatives:  # the first error would have those of all alternatives in it
            return [] if self.is_valid(payload) else [Violation("", "")]
        try:
            self._compiled.validate(payload)
        except ValidationError as error:
            return _violations([error])
        return []


def _parts(document: dict[str, Any], by_id: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All schemas in a document and in those that it refers to."""
    waiting, seen = [document], set()
    while waiting:
        for _, part in subschemas(waiting.pop()):
            yield part
            reference = part.get("$ref", "").partition("#")[0]
            if reference in by_id and reference not in seen:
                seen.add(reference)
                waiting.append(by_id[reference])


def _has_at_most(payload: object, count: int) -> bool:
    """Whether there are so few values in ``payload``, itself included."""
    waiting, seen = [payload], 1
    while waiting:
        value = waiting.pop()
        if type(value) is dict or type(value) is list:
            seen += len(value)
            if seen > count:
                return False
            waiting += value.values() if type(value) is dict else value
    return True


def _violations(errors: Iterable[ValidationError]) -> list[Violation]:
    """The first of them by their paths, so that what is wrong with the whole comes before its parts."""
    causes = [_violation(cause) for error in errors for cause in _causes(error)]
    return sorted(causes, key=lambda violation: violation.path)[:MAX_VIOLATIONS]


def _causes(error: ValidationError) -> Iterator[ValidationError]:
    """The innermost failures: ``anyOf failed`` helps nobody."""
    branches = getattr(error.kind, "context", ())
    if not any(branches):
        yield error
    for branch in branches:
        for inner in branch:
            yield from _causes(inner)


def _violation(error: ValidationError) -> Violation:
    path = list(error.instance_path)
    if isinstance(error.kind, ValidationErrorKind.Required):
        path.append(error.kind.property)  # the path is of the object; what matters is what it lacks
    return Violation(pointer(map(_step, path)), pointer(error.evaluation_path))


def _step(name: str | int) -> str:
    """A name from a body, fit for a header and a log line."""
    text = str(name)[:_LONGEST_STEP]
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in text
        )
    return text
