"""Batches: find the events in a body, which are the elements of one list, of several lists, or of nested lists.

    body:                    the body itself is the list
    body:/events             the list under that name
    body:/entry/*/changes    the lists under ``changes`` in each element of the list ``entry``
    body:/*_events           each list of objects whose name has this ending

A sender may have several such places. An element of an outer list that has no inner list, or only empty ones, is an event
itself, so that no element is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.signatures.extractors import Enclosing, Parent, pointer_steps, resolve

_Step = str | re.Pattern[str]
_Path = tuple[_Step, ...]


class Found(NamedTuple):
    """One event of a batch.

    Attributes:
        value: the event.
        parent: the place of its list; None if the body is the list.
        path: the names and indexes that lead to the event.
    """

    value: Any
    parent: Parent | None
    path: tuple[str | int, ...]


class Batch:
    """The places of the events in the bodies of one sender.

    Args:
        places: ``body:/json/pointer``, one or several.

    Attributes:
        is_nested: whether there may be several lists, so that equal events in them are different events.
        is_whole: whether the body itself may be the list.
        steps: the steps to the list; None if there may be several.
    """

    def __init__(self, places: str | list[str]) -> None:
        steps = [pointer_steps(place) for place in ([places] if isinstance(places, str) else places)]
        self._paths = [tuple(map(_compile, path)) for path in steps]
        self.is_nested = len(steps) > 1 or any("*" in step for path in steps for step in path)
        self.is_whole = [] in steps
        self.steps = None if self.is_nested else steps[0]

    def events(self, payload: object) -> Iterator[Found]:
        """Yield the events of a body in their order; none if their lists are empty or absent."""
        return _walk(payload, self._paths, None, ())

    def is_in(self, payload: object) -> bool:
        """Return whether a body has one of the lists, even an empty one."""
        return _has_list(payload, self._paths)

    def values(self, payload: object) -> list[Any]:
        """Return the events of a body, or the body itself if it has none of the lists."""
        if self.steps is not None:
            items = resolve(payload, self.steps)
            return items if type(items) is list else [payload]
        values = [found.value for found in self.events(payload)]
        return values if values or self.is_in(payload) else [payload]


def _compile(step: str) -> _Step:
    if step == "*" or "*" not in step:
        return step
    return re.compile(".*".join(map(re.escape, step.split("*"))), re.DOTALL)


def _fits(step: _Step, name: str) -> bool:
    return step in (name, "*") if isinstance(step, str) else step.fullmatch(name) is not None


def _walk(
    value: object, paths: list[_Path], parent: Parent | None, place: tuple[str | int, ...]
) -> Iterator[Found]:
    if type(value) is list:
        is_list_of_events = () in paths
        every = [path[1:] for path in paths if path and path[0] == "*"]
        indexed = [path for path in paths if path and path[0] != "*"]
        for index, element in enumerate(value):
            here = (*place, index)
            inner = every + [path[1:] for path in indexed if path[0] == str(index)] if indexed else every
            found = None
            for found in _walk(element, inner, parent, here) if inner else ():
                yield found
            if found is None and (is_list_of_events or every):
                yield Found(element, parent, here)
    elif type(value) is dict:
        enclosing = None
        for name, member in value.items():
            if inner := _below(paths, name, member):
                enclosing = enclosing or Enclosing(value, _without_events(value, paths), parent)
                yield from _walk(member, inner, Parent(enclosing, name), (*place, name))


def _below(paths: list[_Path], name: str, member: object) -> list[_Path]:
    """Return the rest of the paths to a member. A last step with ``*`` matches only lists of objects."""
    return [
        path[1:]
        for path in paths
        if path and _fits(path[0], name) and (path[0] == name or len(path) > 1 or _holds_objects(member))
    ]


def _holds_objects(value: object) -> bool:
    return type(value) is list and all(type(element) is dict for element in value)


def _has_list(value: object, paths: list[_Path]) -> bool:
    if type(value) is list:
        return any(not path or path[0] == "*" for path in paths) or any(
            _has_list(element, [path[1:] for path in paths if path[0] == str(index)])
            for index, element in enumerate(value)
        )
    if type(value) is dict:
        return any(_has_list(member, _below(paths, name, member)) for name, member in value.items())
    return False


def _without_events(value: Any, paths: list[_Path]) -> Any:
    if type(value) is not dict:
        return None
    return {
        name: _without_events(member, inner) if (inner := _below(paths, name, member)) else member
        for name, member in value.items()
    }
