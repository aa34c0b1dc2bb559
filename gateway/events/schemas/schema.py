"""One compiled schema: decide whether a body is valid, and explain where it is not.

jsonschema-rs does both. Its patterns run in linear time. It finds all errors before it returns the first, so that an
explanation is requested only if their number is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema_rs import (
    Draft202012Validator,
    ReferencingError,
    RegexOptions,
    ValidationError,
    ValidationErrorKind,
)

from gateway.events.schemas.lint import SchemaError, pointer, subschemas
from gateway.events.schemas.wording import describe

MAX_VIOLATIONS = 10
"""Violations in an explanation, which has to fit into a header."""

_MAX_ERRORS = 5000
"""The most errors that a body can have for all of them to be found. Each takes about 10 microseconds."""

_MAX_STEP_LENGTH = 64
"""Characters of a name in a path; longer names are cut, so that a path fits into a header."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a body breaks. It has no value of the body, which could be personal data.

    Attributes:
        path: The JSON Pointer to the offending part of the body. Long names are cut, and unprintable characters escaped.
        rule: The JSON Pointer to the rule within the schema.
        text: The violation in words.
    """

    path: str
    rule: str
    text: str = field(default="does not match the schema", compare=False)


class Schema:
    """One compiled schema.

    Args:
        document: The schema document, which has passed the lint.
        by_id: The documents to which it may refer, by their ``$id``.

    Raises:
        SchemaError: The schema refers to another document.
    """

    def __init__(self, document: dict[str, Any], by_id: Mapping[str, Any]) -> None:
        self.id: str = document["$id"]
        self.title: str = document.get("title", "")
        self.description: str = document.get("description", "")
        self.examples: list[Any] = document.get("examples", [])
        parts = list(all_parts(document, by_id))
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
        """Return the first ten rules that ``payload`` breaks; none if it is valid.

        For a large payload, return the first rule alone, or the whole schema if that has alternatives.
        """
        if _has_at_most(payload, self._most_explained):
            return _violations(self._compiled.iter_errors(payload))
        if self._has_alternatives:  # the first error would contain the errors of all alternatives
            return [] if self.is_valid(payload) else [Violation("", "")]
        try:
            self._compiled.validate(payload)
        except ValidationError as error:
            return _violations([error])
        return []


def all_parts(document: dict[str, Any], by_id: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all schemas in a document and in the documents to which it refers."""
    waiting, seen = [document], set()
    while waiting:
        for _, part in subschemas(waiting.pop()):
            yield part
            reference = part.get("$ref", "").partition("#")[0]
            if reference in by_id and reference not in seen:
                seen.add(reference)
                waiting.append(by_id[reference])


def _has_at_most(payload: object, count: int) -> bool:
    """Return whether ``payload`` has at most ``count`` values, itself included."""
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
    """Return the first violations by path: a value comes before its parts."""
    causes = [_violation(cause) for error in errors for cause in _causes(error)]
    return sorted(causes, key=lambda violation: violation.path)[:MAX_VIOLATIONS]


def _causes(error: ValidationError) -> Iterator[ValidationError]:
    """Yield the innermost failures: ``anyOf failed`` helps nobody."""
    branches = getattr(error.kind, "context", ())
    if not any(branches):
        yield error
    for branch in branches:
        for inner in branch:
            yield from _causes(inner)


def _violation(error: ValidationError) -> Violation:
    path = list(error.instance_path)
    if isinstance(error.kind, ValidationErrorKind.Required):
        path.append(error.kind.property)  # the path names the object; the missing property says more
    keyword = error.kind.name
    value = error.instance if keyword == "type" else None  # a copy, which may be large
    text = describe(keyword, error.kind.value, value)
    return Violation(pointer(map(_step, path)), pointer(error.evaluation_path), text)


def _step(name: str | int) -> str:
    """Return a name from a body such that it fits into a header and a log line."""
    text = str(name)[:_MAX_STEP_LENGTH]
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in text
        )
    return text
