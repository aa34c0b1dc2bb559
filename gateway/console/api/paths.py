"""Paths of the API, matched as they were sent: an id may contain a slash, which is `%2F` in an address.

Starlette's routes match the decoded path, where such an id is two segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote_to_bytes

from starlette.types import Scope

from gateway.console.api.operation import Operation
from gateway.console.problems import Problem

PREFIX = "/api/v1"

_MAX_SEGMENT = 2048
"""Characters of a segment. The longest id of an event that anybody has seen had 300."""


def segments_of(scope: Scope) -> list[str]:
    """Return the decoded segments of the path behind the prefix.

    Raises:
        Problem: The path is not one of the API, or is not UTF-8.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    prefix, *rest = raw.partition(b"?")[0].split(PREFIX.encode() + b"/", 1)
    if prefix or not rest:
        raise Problem("not_found", f"the API begins with {PREFIX}/")
    segments = []
    for segment in rest[0].split(b"/"):
        try:
            text = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            raise Problem("malformed_request", "the path is not UTF-8") from None
        if "\0" in text or len(text) > _MAX_SEGMENT:
            raise Problem(
                "malformed_request", f"a segment of a path has at most {_MAX_SEGMENT} characters, and no NUL"
            )
        segments.append(text)
    return segments


class Paths:
    """All operations by path and method.

    Args:
        operations: The operations.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._methods: dict[tuple[str, ...], dict[str, Operation]] = {}
        for operation in operations:
            self._methods.setdefault(operation.segments, {})[operation.method] = operation

    def find(self, segments: Sequence[str]) -> tuple[Mapping[str, Operation], dict[str, str]]:
        """Return the operations of a path by method, and the values of its names; exact segments go first.

        Raises:
            Problem: There is no such path.
        """
        found: tuple[Mapping[str, Operation], dict[str, str]] | None = None
        for pattern, methods in self._methods.items():
            if (values := _match(pattern, segments)) is not None and (
                found is None or len(values) < len(found[1])
            ):
                found = methods, values
        if found is None:
            raise Problem("not_found", f"{PREFIX}/openapi.json lists all paths")
        return found


def _match(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    values = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not segment:
                return None
            values[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return values
