"""Arrays arrive in PostgreSQL as they were packed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from gateway.outbound.store.postgres.arrays import pack, pack_texts


@pytest.fixture
def connection(postgres_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database."""
    with psycopg.connect(postgres_url) as connection:
        yield connection


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["", "a,b", 'a"b\\c', "NULL", "{}", None, "Prüfer – 12 €"]),
        ("text", [None, None]),
        ("bytea", [b"", bytes(range(256)), None]),
        ("double precision", [0, 1.5, -1e300, None, 1795251502.123456]),
        ("bigint", [0, -1, 2**62, None]),
        ("bigint", []),
    ],
)
def test_an_array_comes_back(connection: psycopg.Connection, kind: str, values: list[Any]) -> None:
    """With all its items, also where there are none."""
    found = connection.execute(f"SELECT %s::{kind}[]", (pack(kind, values),)).fetchone()
    assert found == (values,)


def test_texts_are_compared_with_a_column(connection: psycopg.Connection) -> None:
    """As a parameter of ANY."""
    query = "SELECT word FROM (VALUES ('a'), ('b'), ('c')) AS words (word) WHERE word = ANY(%s::text[])"
    assert connection.execute(query, (pack_texts(iter(["c", "a", "x"])),)).fetchall() == [("a",), ("c",)]
