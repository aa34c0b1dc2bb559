"""What a schema must not have, found at load: rules that are not checked, that cost too much, that lead out.

The gateway itself would survive most of it. But a rule that nobody checks is a promise to workers that
nobody keeps, and a worker that checks the same schema with a backtracking engine can be stopped by one event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import jsonschema
import jsonschema_rs

from gateway.events.strict_json import is_deeper

MAX_UNIQUE_ITEMS = 256
"""Items that are compared with each other."""

MAX_BRANCHES = 100
"""Schemas in one ``anyOf``, ``oneOf`` or ``allOf``."""

MAX_SCHEMA_DEPTH = 64
"""Levels of nesting of a schema, which are two for each level of what it describes."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KEYWORDS = frozenset(jsonschema.Draft202012Validator.VALIDATORS) - {"format", "$dynamicRef"} | {
    "$schema", "$id", "$anchor", "$defs", "$comment", "title", "description", "examples", "default",
    "deprecated", "readOnly", "writeOnly", "then", "else", "minContains", "maxContains",
    "contentEncoding", "contentMediaType", "contentSchema",
}  # fmt: skip
_NO_FORMATS = jsonschema.FormatChecker(())
"""Patterns are for the engine that runs them; Python's has another grammar."""

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
_LONGEST_QUOTE = 200


class SchemaError(ValueError):
    """A schema cannot be used; each argument is one problem: which schema, where in it, and why."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def check_document(document: object, place: str) -> None:
    """Refuse what is no JSON Schema 2020-12, or has in it what this module is about.

    Raises:
        SchemaError: with ``place`` and the reason, for each problem.
    """
    if not isinstance(document, dict):
        raise SchemaError(f"{place}: is not a JSON object")
    if is_deeper(document, MAX_SCHEMA_DEPTH):
        raise SchemaError(f"{place}: is nested in more than {MAX_SCHEMA_DEPTH} levels")
    if document.setdefault("$schema", DIALECT) != DIALECT:
        raise SchemaError(f"{place}: $schema must be {DIALECT}")
    try:
        jsonschema.Draft202012Validator.check_schema(document, _NO_FORMATS)
    except jsonschema.SchemaError as error:
        text = f"{pointer(error.absolute_path)}: {error.message}"
        raise SchemaError(f"{place}: {text[:_LONGEST_QUOTE]}") from error
    problems = [
        f"{place}: {pointer([*path, keyword])}: {text}"
        for path, schema in subschemas(document)
        for keyword, text in _problems(schema)
    ]
    if problems:
        raise SchemaError(*problems)


def subschemas(
    schema: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """``schema`` and all schemas in it that are objects, each with its path."""
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
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _problems(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keyword and the text of what is wrong with one schema, those in it left aside."""
    for keyword in schema.keys() - _KEYWORDS:
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
    close = get_close_matches(keyword, _KEYWORDS, n=1)
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
    """Whether a group that repeats without bound has in it what does so too, as in ``(a+)+``."""
    groups = [False]  # for each open group, whether something in it repeats without bound
    closed_at, was_unbounded = -1, False
    for token in _TOKEN.finditer(pattern):
        match token.lastgroup:
            case "open":
                groups.append(False)
            case "close" if len(groups) > 1:  # else it stands in a class that was split in another way
                closed_at, was_unbounded = token.end(), groups.pop()
                groups[-1] |= was_unbounded
            case "unbounded":
                if token.start() == closed_at and was_unbounded:
                    return True
                groups[-1] = True
    return False
