"""What the change from one schema to another means for the events that passed before.

Breaking is what can make such an event fail now. A change is only called safe when it cannot, whatever the
event: what is new is compared with what held in its place before, and where that takes more than reading the
two side by side, the change is left to be looked at. The module is long because it has a method for each keyword
with schemas in it; those without are in :mod:`gateway.events.schemas.rules`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from gateway.events.schemas.lint import LISTS_OF_SCHEMAS, MAPS_OF_SCHEMAS, SINGLE_SCHEMAS, subschemas
from gateway.events.schemas.rules import (
    Change,
    JsonPath,
    Rules,
    Verdict,
    before_and_now,
    plain_changes,
    possible_types,
    same,
)

_Pairs = set[tuple[int, int]]

_ORDER: tuple[Verdict, ...] = ("breaking", "to be looked at", "safe")
_ANNOTATIONS = frozenset(
    {
        "$schema", "$id", "$anchor", "$defs", "$comment", "title", "description", "examples", "default",
        "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "contentSchema",
    }
)  # fmt: skip
_CONCERNS = {
    ("string",): ("minLength", "maxLength", "pattern"),
    ("integer", "number"): ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    ("array",): ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains",
                 "maxContains", "unevaluatedItems"),
    ("object",): ("required", "properties", "patternProperties", "additionalProperties", "propertyNames",
                  "minProperties", "maxProperties", "dependentRequired", "dependentSchemas",
                  "unevaluatedProperties"),
}  # fmt: skip
_TYPES_OF = {keyword: frozenset(types) for types, keywords in _CONCERNS.items() for keyword in keywords}
"""The types of value that a keyword speaks of; all others pass it."""

_JUDGED = _TYPES_OF.keys() | {
    "type", "enum", "const", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref",
}  # fmt: skip


def diff(old: Rules, new: Rules, by_id: Mapping[str, Rules]) -> list[Change]:
    """The changes from ``old`` to ``new``, those that break first; ``by_id`` are the schemas that both may refer to."""
    comparison = _Comparison(_Document(old, by_id), _Document(new, by_id), {(id(old), id(new))}, set())
    changes = dict.fromkeys(comparison.compare(old, new, ()))
    return sorted(changes, key=lambda change: _ORDER.index(change.verdict))


class _Document:
    """One side: a schema and what it refers to."""

    def __init__(self, root: Rules, by_id: Mapping[str, Rules]) -> None:
        self.root = root
        self._by_id = {**by_id, root.get("$id", ""): root}

    def resolve(self, reference: str) -> Any:
        """The schema that ``reference`` leads to, None when that cannot be told."""
        identifier, _, fragment = reference.partition("#")
        found: Any = self._by_id.get(identifier) if identifier else self.root
        if fragment and not fragment.startswith("/"):
            parts = (part for _, part in subschemas(found))
            return next((part for part in parts if part.get("$anchor") == fragment), None)
        for step in fragment.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, dict) else None
        return found


class _Comparison:
    """The comparison of two documents.

    Args:
        old: the one side.
        new: the other.
        open_pairs: what is being compared already. Where a reference leads back to it, there is nothing more to find.
        turned_pairs: the same of comparisons in which the sides have changed places.
    """

    def __init__(self, old: _Document, new: _Document, open_pairs: _Pairs, turned_pairs: _Pairs) -> None:
        self._old = old
        self._new = new
        self._open_pairs = open_pairs
        self._turned_pairs = turned_pairs
        self._is_same = same(old.root, new.root)

    def compare(self, old: Any, new: Any, at: JsonPath) -> list[Change]:
        """What has changed from one schema to another that stands in its place."""
        before, after = _bare(old), _bare(new)
        if same(before, after) and (self._is_same or not _refers(old)):
            return []
        if before is False:
            return [Change("safe", at, "nothing passed before")]
        if after is False:
            return [Change("breaking", at, "nothing passes any more")]
        if after is True:
            return [Change("safe", at, "anything passes now")]
        return list(self._changes({} if before is True else old, new, at))

    def _changes(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        possible = possible_types(old)
        for compare in (
            plain_changes,
            self._members,
            self._items,
            self._contains,
            self._all_of,
            self._any_of,
            self._one_of,
            self._not,
            self._conditions,
            self._references,
            self._rest,
        ):
            for change in compare(old, new, at):
                types = _TYPES_OF.get(str(change.steps[len(at)]), possible)
                # What speaks only of values that did not pass before cannot break those that did.
                yield change if types & possible else replace(change, verdict="safe")

    def _members(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        old_named, new_named = old.get("properties", {}), new.get("properties", {})
        old_patterns, new_patterns = old.get("patternProperties", {}), new.get("patternProperties", {})
        old_others, new_others = old.get("additionalProperties", True), new.get("additionalProperties", True)
        # What a name had to fit that is described only now. Which of the patterns it matched is not worked out.
        undescribed = True if old_patterns else old_others
        for name, schema in new_named.items():
            yield from self.compare(old_named.get(name, undescribed), schema, (*at, "properties", name))
        for pattern, schema in new_patterns.items():
            yield from self.compare(
                old_patterns.get(pattern, True), schema, (*at, "patternProperties", pattern)
            )
        for keyword, gone in (
            ("properties", _without(old_named, new_named)),
            ("patternProperties", _without(old_patterns, new_patterns)),
        ):
            for name, schema in gone.items():
                yield from self.compare(schema, new_others, (*at, keyword, name))
        yield from self.compare(old_others, new_others, (*at, "additionalProperties"))
        yield from self._one("propertyNames", old, new, at)
        before, after = old.get("dependentSchemas", {}), new.get("dependentSchemas", {})
        for name in before | after:
            place = (*at, "dependentSchemas", name)
            yield from self.compare(before.get(name, True), after.get(name, True), place)

    def _items(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        old_first, new_first = old.get("prefixItems", []), new.get("prefixItems", [])
        old_rest, new_rest = old.get("items", True), new.get("items", True)
        for position in range(max(len(old_first), len(new_first))):
            before = old_first[position] if position < len(old_first) else old_rest
            after = new_first[position] if position < len(new_first) else new_rest
            yield from self.compare(before, after, (*at, "prefixItems", position))
        yield from self.compare(old_rest, new_rest, (*at, "items"))

    def _contains(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        place = (*at, "contains")
        if "contains" not in old or "contains" not in new:
            yield from _asked("contains", old, new, at)
            return
        inner = self.compare(old["contains"], new["contains"], place)
        if "maxContains" not in new:
            yield from inner
        elif inner:  # to match more of them can be too many
            yield Change("to be looked at", place, "is counted, and has changed")
        for keyword, unlimited, sign in (("minContains", 1, 1), ("maxContains", math.inf, -1)):
            before, after = old.get(keyword, unlimited), new.get(keyword, unlimited)
            if before != after:
                verdict: Verdict = "breaking" if after * sign > before * sign else "safe"
                yield Change(verdict, (*at, keyword), before_and_now(keyword, old, new))

    def _all_of(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        """Each rule of the new side is to follow from the one in its place."""
        for position, (before, after) in enumerate(
            zip_longest(old.get("allOf", []), new.get("allOf", []), fillvalue=True)
        ):
            yield from self.compare(before, after, (*at, "allOf", position))

    def _any_of(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        """Each alternative of the old side is to be within one of the new side."""
        if "anyOf" not in old or "anyOf" not in new:
            yield from _asked("anyOf", old, new, at)
            return
        for position, before in enumerate(old["anyOf"]):
            place = (*at, "anyOf", position)
            attempts = [self.compare(before, after, place) for after in new["anyOf"]]
            if all(map(_has_trouble, attempts)):
                yield from attempts[min(position, len(attempts) - 1)]
        if len(new["anyOf"]) > len(old["anyOf"]):
            yield Change("safe", (*at, "anyOf"), "has more alternatives")

    def _one_of(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        """Of the alternatives one alone may fit, so that wider ones can be too many."""
        if "oneOf" not in old or "oneOf" not in new:
            yield from _asked("oneOf", old, new, at)
        elif len(old["oneOf"]) != len(new["oneOf"]) or any(
            self.compare(before, after, at) for before, after in zip(old["oneOf"], new["oneOf"], strict=True)
        ):
            yield Change(
                "to be looked at", (*at, "oneOf"), "its alternatives have changed; one alone may fit"
            )

    def _not(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        """What is forbidden now is to be within what was forbidden before: the sides change places."""
        turned = _Comparison(self._new, self._old, self._turned_pairs, self._open_pairs)
        changes = turned.compare(new.get("not", False), old.get("not", False), ())
        if any(change.verdict == "breaking" for change in changes):
            yield Change("breaking", (*at, "not"), "forbids more now")
        elif _has_trouble(changes):
            yield Change("to be looked at", (*at, "not"), "forbids something else now")
        elif changes:
            yield Change("safe", (*at, "not"), "forbids less now")

    def _conditions(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        if "if" not in old or "if" not in new:
            yield from _asked("if", old, new, at)
        elif self.compare(old["if"], new["if"], at):
            yield Change("to be looked at", (*at, "if"), "the condition has changed")
        else:
            yield from self._one("then", old, new, at)
            yield from self._one("else", old, new, at)

    def _references(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        place = (*at, "$ref")
        before, after = (
            document.resolve(side["$ref"]) if "$ref" in side else True
            for document, side in ((self._old, old), (self._new, new))
        )
        if before is None or after is None:
            if old.get("$ref") != new.get("$ref"):
                yield Change("to be looked at", place, "leads to what is not at hand")
            return
        pair = id(before), id(after)
        if pair not in self._open_pairs:
            self._open_pairs.add(pair)
            yield from self.compare(before, after, place)
            self._open_pairs.discard(pair)

    def _rest(self, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
        for keyword in ("unevaluatedItems", "unevaluatedProperties"):
            if new.get(keyword, True) is not True:
                yield Change("to be looked at", (*at, keyword), "depends on what has changed beside it")
            elif keyword in old:
                yield Change("safe", (*at, keyword), "is gone")
        for keyword in sorted((old.keys() | new.keys()) - _JUDGED - _ANNOTATIONS):
            if not same(old.get(keyword), new.get(keyword)):
                yield Change("to be looked at", (*at, keyword), "is not a keyword that can be compared")

    def _one(self, keyword: str, old: Rules, new: Rules, at: JsonPath) -> list[Change]:
        return self.compare(old.get(keyword, True), new.get(keyword, True), (*at, keyword))


def _asked(keyword: str, old: Rules, new: Rules, at: JsonPath) -> Iterator[Change]:
    """The change when one side has a rule of that keyword, and the other none."""
    if keyword in new:
        yield Change("breaking", (*at, keyword), "is a new rule")
    elif keyword in old:
        yield Change("safe", (*at, keyword), "is gone")


def _without(some: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in some.items() if name not in others}


def _has_trouble(changes: list[Change]) -> bool:
    return any(change.verdict != "safe" for change in changes)


def _bare(schema: Any) -> Any:
    """A schema without what says nothing of values; True and False for those that take all and nothing."""
    if not isinstance(schema, dict):
        return schema
    return {
        name: _bare_value(name, value) for name, value in schema.items() if name not in _ANNOTATIONS
    } or True


def _bare_value(keyword: str, value: Any) -> Any:
    if keyword in MAPS_OF_SCHEMAS:
        return {name: _bare(inner) for name, inner in value.items()}
    if keyword in LISTS_OF_SCHEMAS:
        return [_bare(inner) for inner in value]
    return _bare(value) if keyword in SINGLE_SCHEMAS else value


def _refers(schema: Any) -> bool:
    """Whether a reference is in it: the same text can lead to something else."""
    return any("$ref" in part for _, part in subschemas(schema))
