"""Payloads as objects of a type: pydantic models, dataclasses, TypedDicts, msgspec structs."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from gateway.worker.errors import Dead

T = TypeVar("T")

_CACHED_TYPES = 256
"""Types whose validators are kept. Building one may take milliseconds, and a worker uses a handful."""

_SHOWN_PROBLEMS = 3
"""Problems that a reason names."""

_USERS_ERRORS = frozenset(("value_error", "assertion_error"))
"""Kinds of errors whose text a validator of the user wrote, perhaps with a value of the payload in it."""


def convert(data: object, kind: type[T]) -> T:
    """Return ``data``, parsed JSON, as an object of ``kind``.

    Raises:
        Dead: The data does not match; the reason names the places, but quotes no values.
    """
    msgspec: Any = sys.modules.get("msgspec")  # a struct exists only where it is loaded
    if msgspec is not None and isinstance(cast("object", kind), type) and issubclass(kind, msgspec.Struct):
        try:
            converted: T = msgspec.convert(data, kind)
        except msgspec.ValidationError as error:
            raise Dead(f"the data does not match {kind.__name__}: {error}") from None
        return converted
    try:
        return cast("T", _adapter(cast("Hashable", kind)).validate_python(data))
    except ValidationError as error:
        raise Dead(f"the data does not match {getattr(kind, '__name__', kind)}: {_describe(error)}") from None


@lru_cache(_CACHED_TYPES)
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", kind))


def _describe(error: ValidationError) -> str:
    """Describe the first problems: where, and what is expected there."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    described = [
        f"{'.'.join(map(str, problem['loc'])) or 'data'}: "
        + ("not accepted by its validator" if problem["type"] in _USERS_ERRORS else problem["msg"])
        for problem in problems[:_SHOWN_PROBLEMS]
    ]
    if more := len(problems) - len(described):
        described.append(f"and {more} more")
    return "; ".join(described)
