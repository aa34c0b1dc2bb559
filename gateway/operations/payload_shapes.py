"""The shape of a payload: its keys, and of each value the type and the length, which say nothing of a person."""

from __future__ import annotations

from typing import Any

MAX_KEYS = 500
"""Members of an object that are shown."""

MAX_DEPTH = 32
"""Levels that are shown: no provider nests deeper, and a shape is for people."""

ENVELOPE = frozenset(
    (
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "provider", "adapter",
        "eventtype", "deliveryid", "receivedat", "secretslot", "dedupe", "dedupekey", "replaysuspected", "account", "actor",
        "summary", "redacted", "replayed", "released", "backfilled", "traceparent",
    )
)  # fmt: skip
"""Attributes of a CloudEvent that the journal and the log show anyway."""


def shape_of_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return a CloudEvent whose attributes are whole, and whose data is reduced to its shape."""
    return {name: value if name in ENVELOPE else shape_of(value) for name, value in event.items()}


def shape_of(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return the shape of a JSON value: objects keep their keys, lists the shape of their first element."""
    match value:
        case dict():
            if not depth:
                return f"<object, {len(value):,} members>"
            shape = {key: shape_of(each, depth - 1) for key, each in list(value.items())[:MAX_KEYS]}
            return shape if len(value) <= MAX_KEYS else {**shape, "…": f"<{len(value) - MAX_KEYS:,} more>"}
        case list():
            if not depth or not value:
                return f"<list, {len(value):,} elements>"
            rest = [f"<{len(value) - 1:,} more>"] if len(value) > 1 else []
            return [shape_of(value[0], depth - 1), *rest]
        case str():
            return f"<string, {len(value):,}>"
        case bool():
            return "<boolean>"
        case None:
            return None
    return "<number>"
