"""What operators ask as plain values, for programs: JSON lines of commands, and exports."""

from __future__ import annotations

import time
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from gateway.journal.entry import Entry
from gateway.journal.entry_ids import format_entry_id

_IDS = ("id", "request")


def iso(at: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, with milliseconds."""
    milliseconds = round(at * 1000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{whole}.{milliseconds % 1000:03d}Z"


def plain(value: Any) -> Any:
    """Return a value as JSON has it.

    Moments, whose names end with `at`, are RFC 3339; ids of entries are text; an entry has no empty fields.
    """
    if isinstance(value, Entry):
        found = {name: each for name, each in msgspec.structs.asdict(value).items() if each not in {None, ""}}
        ids = {name: format_entry_id(found[name]) for name in _IDS if name in found}
        return {"at": iso(value.at), **found, **ids}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _member(each.name, getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def _member(name: str, value: Any) -> Any:
    is_moment = name == "at" or name.endswith("_at")
    return iso(value) if is_moment and isinstance(value, float | int) else plain(value)
