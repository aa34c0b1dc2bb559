"""Turn the errors of the models into lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import FieldPath
from gateway.config.models import Config

ALWAYS_VERIFIED = "verification cannot be switched off"
"""The hint for a setting that looks like an attempt to accept unsigned requests."""

_SWITCHES_OFF = re.compile(
    r"verif|insecure|unsafe|unsigned|^(none|off|false|no|null|disabled)$", re.IGNORECASE
)


def describe(error: ValidationError) -> Iterator[tuple[FieldPath, str]]:
    """Yield the path and the text of each problem.

    For a union, pydantic reports a problem of every branch; only the deepest ones help, and the others are left out.
    """
    found: dict[FieldPath, str] = {}
    for detail in error.errors():
        place, text = _describe(detail)
        found.setdefault(place, text)
    return (
        (place, text)
        for place, text in found.items()
        if not any(len(other) > len(place) and other[: len(place)] == place for other in found)
    )


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a hint to append to a message: the known word closest to ``word``, or why it does not exist."""
    if _SWITCHES_OFF.search(word):
        return f"; {ALWAYS_VERIFIED}"
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _describe(detail: ErrorDetails) -> tuple[FieldPath, str]:
    # Pydantic's path contains the branches of a union and a mark for the keys of a mapping; the file does not.
    path = detail["loc"]
    place = tuple(
        step
        for step, before in zip(path, (None, *path), strict=False)
        if before != "signature"
        and step != "[key]"
        and not (isinstance(step, str) and step.startswith(("function-", "list[", "dict[", "constrained-")))
    )
    match detail["type"]:
        case "extra_forbidden":
            return place, f"is not a setting{suggest(str(place[-1]), _known_keys())}"
        case "missing":
            return place, "is missing"
        case "string_type" if "secrets" in place:
            return place, "is not text; put the secret in quotes"
        case "value_error":
            return place, str(detail["ctx"]["error"])
        case "union_tag_invalid":
            tags = detail["ctx"]
            return (*place, "scheme"), f"must be one of {tags['expected_tags']}{suggest(tags['tag'], ())}"
        case "union_tag_not_found":
            return place, f"must say how the provider signs; {ALWAYS_VERIFIED}"
        case "string_pattern_mismatch":
            return place, f"has characters that are not allowed; it must match {detail['ctx']['pattern']}"
        case "too_short":
            return place, "is empty"
        case "too_long":
            return place, f"has more than {detail['ctx']['max_length']} items"
        case "dict_type" | "model_type" | "list_type" if detail["input"] is None:
            return place, "is empty; leave it out, or write something under it"
        case kind if kind in _KINDS:
            return place, f"must be {_KINDS[kind]}"
        case _:
            return place, detail["msg"].replace("Input should be", "must be")


_KINDS = {
    "dict_type": "settings by name",
    "model_type": "settings by name",
    "list_type": "a list, such as [a, b]",
    "string_type": "text; put it in quotes",
    "path_type": "the path of a file or a folder",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What a value must be, by the type of pydantic's error."""


@cache
def _known_keys() -> list[str]:
    """Return the names of all settings."""
    schema = Config.model_json_schema(by_alias=True)
    keys: list[str] = []
    for definition in [schema, *schema["$defs"].values()]:
        keys += definition.get("properties", {})
    return keys
