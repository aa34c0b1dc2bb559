"""The rules of a schema that have no schemas in them: what a change of each means for the values that passed before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from gateway.events.schemas.lint import pointer

Verdict = Literal["breaking", "to be looked at", "safe"]
JsonPath = tuple[str | int, ...]
Rules = dict[str, Any]
"""A schema that is an object: its keywords."""

_TYPES = frozenset({"null", "boolean", "object", "array", "string", "integer", "number"})
_RANGES = (
    (("minimum", "exclusiveMinimum"), 1),
    (("maximum", "exclusiveMaximum"), -1),
)
"""Two keywords that set one bound together, and the sign with which a larger number is a tighter one."""

_LEAST = ("minLength", "minItems", "minProperties")
_MOST = ("maxLength", "maxItems", "maxProperties")
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two schemas.

    Attributes:
        verdict: what it means for the events that passed before.
        steps: the way to the rule, in the schema that has it.
        text: what has changed, in a few words.
    """

    verdict: Verdict
    steps: JsonPath
    text: str

    @property
    def path(self) -> str:
        """The way as a JSON Pointer."""
        return pointer(self.steps)


def plain_changes(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    """The changes of all rules that this module is about."""
    yield from _types(old, new, at)
    yield from _values(old, new, at)
    yield from _ranges(old, new, at)
    yield from _sizes(old, new, at)
    yield from _patterns(old, new, at)
    yield from _required(old, new, at)


def possible_types(rules: Rules) -> frozenset[str]:
    """The types that a valid value can have; ``number`` stands for those that are no integers."""
    values = _allowed(rules)
    if values is None:
        return _stated_types(rules)
    return _stated_types(rules) & {_type_of(json.loads(value)) for value in values}


def same(old: Any, new: Any) -> bool:
    """Whether two JSON values are the same, as JSON Schema compares them."""
    return _key(old) == _key(new)


def before_and_now(keyword: str, old: Rules, new: Rules) -> str:
    """How the value of a keyword has changed, in words."""
    if keyword not in new:
        return "is gone"
    now = _quoted([_key(new[keyword])])
    return f"{_quoted([_key(old[keyword])])} before, {now} now" if keyword in old else f"{now} now"


def _types(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    place = (*at, "type")
    if "type" not in new:
        if "type" in old:
            yield Change("safe", place, "takes any type now")
        return
    gone, added = possible_types(old) - _stated_types(new), _stated_types(new) - _stated_types(old)
    if gone:
        text = (
            f"takes {_named(gone)} no more"
            if "type" in old
            else f"takes only {_named(_stated_types(new))} now"
        )
        yield Change("breaking", place, text)
    if added:
        yield Change("safe", place, f"takes {_named(added)} too")


def _values(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    before, after = _allowed(old), _allowed(new)
    place = (*at, "const" if "const" in (old if after is None else new) else "enum")
    if after is None:
        if before is not None:
            yield Change("safe", place, "takes other values too")
    elif before is None:
        yield Change("breaking", place, f"takes only {_quoted(after)} now")
    else:
        if gone := [value for value in before if value not in after]:
            yield Change("breaking", place, f"takes {_quoted(gone)} no more")
        if added := [value for value in after if value not in before]:
            yield Change("safe", place, f"takes {_quoted(added)} too")


def _ranges(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    for names, sign in _RANGES:
        before, after = (
            max(
                ((sign * Fraction(side[name]), names.index(name)) for name in names if name in side),
                default=None,
            )
            for side in (old, new)
        )
        if bound := before != after and (after or before):
            is_tighter = after is not None and (before is None or after > before)
            keyword = names[bound[1]]
            yield Change(_tighter(is_tighter), (*at, keyword), before_and_now(keyword, old, new))


def _sizes(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    for keyword in _LEAST + _MOST:
        unlimited = 0 if keyword in _LEAST else float("inf")
        before, after = old.get(keyword, unlimited), new.get(keyword, unlimited)
        if before != after:
            is_tighter = (after > before) is (keyword in _LEAST)
            yield Change(_tighter(is_tighter), (*at, keyword), before_and_now(keyword, old, new))


def _patterns(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    for keyword in ("pattern", "multipleOf", "uniqueItems"):
        before, after = old.get(keyword) or None, new.get(keyword) or None
        if before == after:
            continue
        verdict: Verdict = "breaking" if before is None else "to be looked at"
        if after is None or (keyword == "multipleOf" and before and not Fraction(before) % Fraction(after)):
            verdict = "safe"
        yield Change(verdict, (*at, keyword), before_and_now(keyword, old, new))


def _required(old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    always = old.get("required", [])
    yield from _names(always, new.get("required", []), (*at, "required"))
    before, after = old.get("dependentRequired", {}), new.get("dependentRequired", {})
    for name in sorted(before.keys() | after.keys()):
        place = (*at, "dependentRequired", name)
        yield from _names(
            before.get(name, []), [each for each in after.get(name, []) if each not in always], place
        )


def _names(old: list[str], new: list[str], at: JsonPath) -> Iterator[Change]:
    for name in new:
        if name not in old:
            yield Change("breaking", at, f"asks for {_key(name)} now")
    for name in old:
        if name not in new:
            yield Change("safe", at, f"asks for {_key(name)} no more")


def _tighter(is_tighter: bool) -> Verdict:
    return "breaking" if is_tighter else "safe"


def _stated_types(rules: Rules) -> frozenset[str]:
    """The types that ``type`` allows, all when there is none; where numbers are, integers are too."""
    stated = rules.get("type", _TYPES)
    types = {stated} if isinstance(stated, str) else set(stated)
    return frozenset(types | {"integer"} if "number" in types else types)


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _allowed(rules: Rules) -> list[str] | None:
    """The values that ``enum`` and ``const`` allow, each as JSON; None when there is neither."""
    listed = [_key(value) for value in rules["enum"]] if "enum" in rules else None
    if "const" not in rules:
        return listed
    constant = _key(rules["const"])
    return [constant] if listed is None or constant in listed else []


def _key(value: Any) -> str:
    """The one way to write a value in which 1 and 1.0 are the same, and 1 and true are not."""
    return json.dumps(_whole(value), sort_keys=True, ensure_ascii=False)


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _whole(inner) for name, inner in value.items()}
        case list():
            return [_whole(inner) for inner in value]
    return value


def _named(types: frozenset[str]) -> str:
    return " or ".join(sorted(types - {"integer"} if "number" in types else types))


def _quoted(values: list[str]) -> str:
    text = ", ".join(values)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
