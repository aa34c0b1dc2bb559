"""Columns of rows as PostgreSQL's binary arrays.

Ours and not psycopg's lists, which are texts that are quoted by a regular expression, item by item: 13 instead of 64
microseconds of this program for each delivery that is accepted and recorded, and a seventh less of the server
(2026-11-30).

Source: array_recv() in https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from typing_extensions import override

_NULL = struct.pack(">i", -1)
_BIGINT, _DOUBLE = struct.Struct(">iq"), struct.Struct(">id")
_HEADER = struct.Struct(">iiIii")
"""Dimensions, whether there are nulls, the type of the items, the number of items, and the number of the first."""

_size = struct.Struct(">i").pack


class PackedArray(bytes):
    """An array as it goes over the wire. Its type is that of the cast beside its parameter."""

    __slots__ = ()


class _PackedArrayDumper(Dumper):
    format = Format.BINARY

    @override
    def dump(self, obj: PackedArray) -> bytes:
        return obj


def _packed_text(value: str) -> bytes:
    text = value.encode()
    return _size(len(text)) + text


def _packed_bytes(value: bytes) -> bytes:
    return _size(len(value)) + value


def _packed_real(value: float) -> bytes:
    return _DOUBLE.pack(8, value)


def _packed_integer(value: int) -> bytes:
    return _BIGINT.pack(8, value)


# The numbers of types, https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
_PACKERS: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "text": (25, _packed_text),
    "bytea": (17, _packed_bytes),
    "double precision": (701, _packed_real),
    "bigint": (20, _packed_integer),
}


def pack(kind: str, values: Sequence[Any]) -> PackedArray:
    """Return an array of values, of which each may be None.

    Args:
        kind: The type of the items: `text`, `bytea`, `double precision` or `bigint`.
        values: The items.
    """
    number, packed = _PACKERS[kind]
    items = [_NULL if value is None else packed(value) for value in values]
    header = _HEADER.pack(1, None in values, number, len(values), 1)
    return PackedArray(header + b"".join(items))


def pack_texts(values: Iterable[str]) -> PackedArray:
    """Return an array of texts."""
    return pack("text", list(values))


psycopg.adapters.register_dumper(PackedArray, _PackedArrayDumper)
