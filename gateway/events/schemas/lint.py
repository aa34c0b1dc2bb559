"""Refuse schemas at load that cost too much, or promise what nobody checks.

The gateway itself would survive most of them. But workers rely on a rule that nobody checks, and a worker that checks
the same schema with a backtracking engine can be stopped by one event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

import jsonschema_rs

from gateway.events.json_bounds import is_deeper

MAX_UNIQUE_ITEMS = 256
"""Items of a list with ``uniqueItems``: each is compared with each other, in quadratic time."""

MAX_BRANCHES = 100
"""Schemas in one ``anyOf``, ``oneOf`` or ``allOf``, each of which may be tried for every value."""

MAX_SCHEMA_DEPTH = 64
"""Levels of nesting of a schema, which has two for each level of the body that it describes."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFUSED_KEYWORDS = {
    "format": "is not checked by JSON Schema 2020-12; write a pattern, or say it in description",
    "$dynamicRef": "can lead anywhere; write $ref",
    "$dynamicAnchor": "is only for $dynamicRef; write $anchor",
}
MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "dependentSchemas")
LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLE_SCHEMAS = (
    "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_MAX_ERROR_LENGTH = 200
"""Characters of jsonschema's own messages, which quote the schema."""


@cache
def _keywords() -> frozenset[str]:
    """Return the keywords that are checked, and those that say nothing about values."""
    import jsonschema

    return frozenset(jsonschema.Draft202012Validator.VALIDATORS) - {"format", "$dynamicRef"} | {
        "$schema", "$id", "$anchor", "$defs", "$comment", "title", "description", "examples", "default",
        "deprecated", "readOnly", "writeOnly", "then", "else", "minContains", "maxContains",
        "contentEncoding", "contentMediaType", "contentSchema",
    }  # fmt: skip


class SchemaError(ValueError):
    """Raised when a schema cannot be used.

    Each argument is one problem: the schema, the place in it, the reason.
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def check_document(document: object, place: str) -> None:
    """Check that a document is JSON Schema 2020-12, and that this module finds no problem.

    A missing ``$schema`` is added.

    Args:
        document: The schema document.
        place: Where it comes from, for error messages.

    Raises:
        SchemaError: The document cannot be used.
    """
    if not isinstance(document, dict):
        raise SchemaError(f"{place}: is not a JSON object")
    if is_deeper(document, MAX_SCHEMA_DEPTH):
        raise SchemaError(f"{place}: is nested in more than {MAX_SCHEMA_DEPTH} levels")
    if document.setdefault("$schema", DIALECT) != DIALECT:
        raise SchemaError(f"{place}: $schema must be {DIALECT}")
    if not _is_schema(document):
        _explain(document, place)
    problems = [
        f"{place}: {pointer([*path, keyword])}: {text}"
        for path, schema in subschemas(document)
        for keyword, text in _problems(schema)
    ]
    if problems:
        raise SchemaError(*problems)


def _is_schema(document: dict[str, Any]) -> bool:
    """Return whether a document certainly is JSON Schema.

    With jsonschema, the 340 documents of Stripe took 0.3 of the 0.84 s of CPU of `gateway check` (2026-12).
    """
    try:
        return jsonschema_rs.meta.is_valid(document)
    except (TypeError, ValueError):  # YAML can hold what JSON cannot
        return False


def _explain(document: dict[str, Any], place: str) -> None:
    """Raise the problem that jsonschema finds, if it does find one."""
    import jsonschema

    try:
        # No formats: whether a pattern is valid is up to the engine that runs it, and Python's has another grammar.
        jsonschema.Draft202012Validator.check_schema(document, jsonschema.FormatChecker(()))
    except jsonschema.SchemaError as error:
        text = f"{pointer(error.absolute_path)}: {error.message}"
        raise SchemaError(f"{place}: {text[:_MAX_ERROR_LENGTH]}") from error


def subschemas(
    schema: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Yield ``schema`` and all schemas in it that are objects, each with its path."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword in MAPS_OF_SCHEMAS:
        for name, inner in schema.get(keyword, {}).items():
            yield from subschemas(inner, (*path, keyword, name))
    for keyword in LISTS_OF_SCHEMAS:
        for position, inner in enumerate(schema.get(keyword, [])):
            yield from subschemas(inner, (*path, keyword, position))
    for keyword in SINGLE_SCHEMAS:
        yield from subschemas(schema.get(keyword), (*path, keyword))


def pointer(path: Iterable[str | int]) -> str:
    """Return the JSON Pointer (RFC 6901) of a path."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _problems(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keyword and the text of each problem of one schema, without the schemas in it."""
    for keyword in schema.keys() - _keywords():
        yield keyword, _REFUSED_KEYWORDS.get(keyword) or _unknown(keyword)
    reference = schema.get("$ref", "#")
    if not reference.startswith(("#", "urn:")):
        yield "$ref", f"{reference!r} leads out of the catalogue; references are never fetched"
    if schema.get("uniqueItems") and schema.get("maxItems", MAX_UNIQUE_ITEMS + 1) > MAX_UNIQUE_ITEMS:
        yield (
            "uniqueItems",
            f"compares all items with each other; write maxItems of at most {MAX_UNIQUE_ITEMS} beside it",
        )
    for keyword in ("allOf", "anyOf", "oneOf"):
        if len(schema.get(keyword, ())) > MAX_BRANCHES:
            yield keyword, f"has more than {MAX_BRANCHES} schemas"
    if "pattern" in schema:
        yield from _pattern_problems("pattern", schema["pattern"])
    for pattern in schema.get("patternProperties", ()):
        yield from _pattern_problems("patternProperties", pattern)


def _unknown(keyword: str) -> str:
    close = get_close_matches(keyword, _keywords(), n=1)
    return f"is not a keyword of JSON Schema 2020-12{f'; did you mean {close[0]}?' if close else ''}"


def _pattern_problems(keyword: str, pattern: str) -> Iterator[tuple[str, str]]:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except jsonschema_rs.ValidationError:
        yield keyword, f"{pattern!r} does not compile; there are no look-around and no back references"
    else:
        if _nests_unbounded(pattern):
            yield (
                keyword,
                f"{pattern!r} repeats without bound what repeats without bound; write one of them as {{1,100}}",
            )


_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\()|(?P<close>\))|(?P<unbounded>[*+]|\{\d+,\})", re.DOTALL
)


def _nests_unbounded(pattern: str) -> bool:
    """Return whether an unbounded repetition contains another one, as in ``(a+)+``."""
    groups = [False]  # for each open group, whether it contains an unbounded repetition
    closed_at, was_unbounded = -1, False
    for token in _TOKEN.finditer(pattern):
        match token.lastgroup:
            case "open":
                groups.append(False)
            case "close" if len(groups) > 1:  # otherwise the parenthesis is in a character class
                closed_at, was_unbounded = token.end(), groups.pop()
                groups[-1] |= was_unbounded
            case "unbounded":
                if token.start() == closed_at and was_unbounded:
                    return True
                groups[-1] = True
    return False
