"""Conditions on events: a few comparisons of what JSON pointers lead to. None of them can be slow."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.events.pointers import ABSENT, parse_pointer, resolve

MAX_CONDITIONS = 16
"""The most conditions of a subscription, in all its alternatives."""

MAX_CHOICES = 100
"""The most values of `in` and `not_in`."""

MAX_TEXT = 1024
"""The longest text to compare with, in characters."""

_MAX_SHOWN = 80
"""Characters of a pointer or an operator that an error quotes."""

Condition = Callable[[Any], bool]
"""Returns whether a condition holds for an event."""

Where = Sequence[Mapping[str, Mapping[str, Any]]]
"""Alternatives, of each of which all conditions must hold."""


class BadCondition(ValueError):
    """Raised for a condition that is none. The text is one line, which begins with the pointer."""


def compile_where(where: Where) -> Condition | None:
    """Return one condition for all of them; None if there is none, so that everything matches.

    Raises:
        BadCondition: One of them is malformed, or there are too many.
    """
    alternatives = [_compile_all(each) for each in where]
    if sum(map(len, alternatives)) > MAX_CONDITIONS:
        raise BadCondition(f"has more than {MAX_CONDITIONS} conditions")
    # An alternative without conditions always holds.
    return _any_of(alternatives) if alternatives and all(alternatives) else None


def _shown(text: object) -> str:
    """Return the beginning of what somebody wrote, on one line."""
    shown = str(text)[:_MAX_SHOWN]
    return shown if shown and shown.isprintable() else repr(shown)


def _any_of(alternatives: Sequence[Sequence[Condition]]) -> Condition:
    def holds(event: Any) -> bool:
        return any(all(condition(event) for condition in each) for each in alternatives)

    return holds


def _compile_all(each: Mapping[str, Any]) -> list[Condition]:
    conditions = []
    for pointer, comparisons in each.items():
        place = _shown(pointer)
        try:
            steps = parse_pointer(pointer)
        except ValueError as error:
            raise BadCondition(f"{place} {error}") from None
        if not isinstance(comparisons, Mapping) or not comparisons:
            raise BadCondition(f'{place}: is no comparison, such as {{"eq": "failed"}}')
        conditions += [_compile(steps, name, operand, place) for name, operand in comparisons.items()]
    return conditions


def _compile(steps: Sequence[str], name: str, operand: Any, place: str) -> Condition:
    make = _OPERATORS.get(name)
    if make is None:
        raise BadCondition(f"{place}: {_shown(name)} is no operator; there are {', '.join(_OPERATORS)}")
    try:
        compare = make(operand)
    except ValueError as error:
        raise BadCondition(f"{place}: {name} {error}") from None

    def holds(event: Any) -> bool:
        return compare(resolve(event, steps))

    return holds


Compare = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _key(value: Any) -> tuple[str, Any]:
    """Return what two values share if they are equal in JSON: 1 equals 1.0, and neither equals true."""
    return ("number", value) if _is_number(value) else (type(value).__name__, value)


def _scalar(operand: Any) -> tuple[str, Any]:
    if operand is not None and type(operand) not in {str, int, float, bool}:
        raise ValueError("has to be a text, a number, true, false or null")
    if type(operand) is str and len(operand) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    return _key(operand)


def _eq(operand: Any) -> Compare:
    wanted = _scalar(operand)
    return lambda value: _is_scalar(value) and _key(value) == wanted


def _in(operand: Any) -> Compare:
    if not isinstance(operand, list | tuple) or not operand:
        raise ValueError("has to be a list of values")
    if len(operand) > MAX_CHOICES:
        raise ValueError(f"has more than {MAX_CHOICES} values")
    wanted = frozenset(map(_scalar, operand))
    return lambda value: _is_scalar(value) and _key(value) in wanted


def _is_scalar(value: Any) -> bool:
    return value is not ABSENT and not isinstance(value, dict | list)


def _not(make: Callable[[Any], Compare]) -> Callable[[Any], Compare]:
    def negated(operand: Any) -> Compare:
        compare = make(operand)
        return lambda value: not compare(value)

    return negated


def _exists(operand: Any) -> Compare:
    if type(operand) is not bool:
        raise ValueError("has to be true or false")
    return lambda value: (value is not ABSENT) is operand


def _prefix(operand: Any) -> Compare:
    if type(operand) is not str or not 0 < len(operand) <= MAX_TEXT:
        raise ValueError(f"has to be a text of 1 to {MAX_TEXT} characters")
    return lambda value: type(value) is str and value.startswith(operand)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Compare]:
    def make(operand: Any) -> Compare:
        if _is_number(operand):
            return lambda value: _is_number(value) and compare(value, operand)
        if type(operand) is str and len(operand) <= MAX_TEXT:
            return lambda value: type(value) is str and compare(value, operand)
        raise ValueError(f"has to be a number, or a text of at most {MAX_TEXT} characters")

    return make


_OPERATORS: Mapping[str, Callable[[Any], Compare]] = {
    "eq": _eq,
    "ne": _not(_eq),
    "in": _in,
    "not_in": _not(_in),
    "exists": _exists,
    "prefix": _prefix,
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
}
"""Where there is nothing, only `ne`, `not_in` and `exists: false` hold."""
