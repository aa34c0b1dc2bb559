"""Entries as rows of SQLite: words that repeat are numbers of a table, empty texts are NULL, times are tenths."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway.journal.entry import Entry, Kind

WORD_FIELDS = ("kind", "outcome", "reason", "provider", "type", "queue", "gateway", "actor", "key", "client")
"""The fields whose texts repeat. A row has the number of the word, 0 for an empty one."""

COLUMNS = (
    "id", "seq", *WORD_FIELDS, "event_id", "subject", "account", "request", "slot", "status", "ms", "size", "attempt",
    "age", "summary", "detail", "trace",
)  # fmt: skip
"""The columns of an entry. ``seq`` counts the entries in the order of their arrival, from 1."""

TABLES = f"""
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, {", ".join(f"{field} INTEGER NOT NULL" for field in WORD_FIELDS)},
    event_id TEXT, subject TEXT, account TEXT, request INTEGER, slot INTEGER, status INTEGER, ms INTEGER, size INTEGER,
    attempt INTEGER, age INTEGER, summary TEXT, detail TEXT, trace BLOB
);
CREATE TABLE IF NOT EXISTS words (id INTEGER PRIMARY KEY, field INTEGER NOT NULL, word TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (file TEXT PRIMARY KEY, inode TEXT NOT NULL, offset INTEGER NOT NULL);
"""
"""What the open segment and a sealed one have both."""

SELECTED = ", ".join(COLUMNS)
READ = SELECTED.replace(" client,", " (SELECT word FROM words WHERE words.id = client),")
"""The columns of an entry that is read. Words of clients are not kept in memory: in a flood each has its own."""

INSERT = f"INSERT INTO entries ({SELECTED}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 -- our constants

_TRACE_DIGITS = 32
"""Hexadecimal digits of a trace id, kept as 16 bytes."""

_CLIENT = WORD_FIELDS.index("client")

Row = tuple[Any, ...]


class WordNumbers(dict[str, int]):
    """The numbers of the words of one field. A word without a number gets the next one, and is noted as new."""

    def __init__(self, owner: Words) -> None:
        super().__init__({"": 0})
        self._owner = owner

    def __missing__(self, word: str) -> int:
        self[word] = number = self._owner.add(self, word)
        return number


class Words:
    """The words of a segment that is written to.

    Attributes:
        numbers: The numbers of the words of each field.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.numbers = {field: WordNumbers(self) for field in WORD_FIELDS}
        self._new: list[tuple[int, int, str]] = []
        self._last = 0
        for number, field, word in connection.execute("SELECT id, field, word FROM words"):
            self.numbers[WORD_FIELDS[field]][word] = number
            self._last = max(self._last, number)

    def add(self, numbers: WordNumbers, word: str) -> int:
        """Note a new word of a field, and return its number."""
        field = next(index for index, name in enumerate(WORD_FIELDS) if self.numbers[name] is numbers)
        self._last += 1
        self._new.append((self._last, field, word))
        return self._last

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the new words, in the transaction of the rows that have their numbers."""
        connection.executemany("INSERT INTO words VALUES (?, ?, ?)", self._new)
        self._new.clear()

    def rows(self, entries: Iterable[Entry], seq: int) -> Iterator[Row]:
        """Yield the rows of entries, the first of which is the ``seq``-th to arrive."""
        kind, outcome, reason, provider, type_, queue, gateway, actor, key, client = self.numbers.values()
        for number, entry in enumerate(entries, seq):
            ms, age, trace = entry.ms, entry.age, entry.trace
            yield (
                entry.id,
                number,
                kind[entry.kind],
                outcome[entry.outcome],
                reason[entry.reason],
                provider[entry.provider],
                type_[entry.type],
                queue[entry.queue],
                gateway[entry.gateway],
                actor[entry.actor],
                key[entry.key],
                client[entry.client],
                entry.event_id or None,
                entry.subject or None,
                entry.account or None,
                entry.request,
                entry.slot,
                entry.status,
                None if ms is None else round(ms * 10),
                entry.size,
                entry.attempt,
                None if age is None else round(age * 10),
                entry.summary or None,
                entry.detail or None,
                trace_value(trace) if trace else None,
            )


class KnownWords:
    """The words of a segment that is read, but those of clients.

    Attributes:
        texts: The word of each number.
        numbers: The numbers of the words of each field.
    """

    def __init__(self) -> None:
        self.texts: dict[int, str] = {0: ""}
        self.numbers: dict[str, dict[str, int]] = {field: {} for field in WORD_FIELDS}
        self._last = 0

    def read(self, connection: sqlite3.Connection) -> None:
        """Read the words that are new."""
        (last,) = connection.execute("SELECT max(id) FROM words").fetchone()
        for number, field, word in connection.execute(
            "SELECT id, field, word FROM words WHERE id > ? AND field <> ?", (self._last, _CLIENT)
        ):
            self.texts[number] = word
            self.numbers[WORD_FIELDS[field]][word] = number
        self._last = last or 0


def client_numbers(connection: sqlite3.Connection, is_wanted: Callable[[str], bool]) -> set[int]:
    """Return the numbers of the clients that are wanted."""
    rows = connection.execute("SELECT id, word FROM words WHERE field = ?", (_CLIENT,))
    return {number for number, word in rows if is_wanted(word)}


def trace_value(trace: str) -> bytes | str:
    """Return a trace id as it is kept: 16 bytes if it is one of W3C, else the text."""
    if len(trace) == _TRACE_DIGITS:
        try:
            value = bytes.fromhex(trace)
        except ValueError:
            return trace
        if value.hex() == trace:  # capital letters and blanks would not come back
            return value
    return trace


def entry_of(row: Row, words: dict[int, str]) -> Entry:
    """Return the entry of a row of :data:`READ`; ``words`` has the word of each number but those of clients."""
    (id_, _, kind, outcome, reason, provider, type_, queue, gateway, actor, key, client) = row[:12]
    (event_id, subject, account, request, slot, status, ms, size, attempt, age, summary, detail, trace) = row[
        12:
    ]
    return Entry(
        id_,
        Kind(words[kind]),
        words[outcome],
        words[reason],
        words[provider],
        words[type_],
        event_id or "",
        subject or "",
        account or "",
        request,
        words[queue],
        words[gateway],
        words[actor],
        slot,
        words[key],
        status,
        None if ms is None else ms / 10,
        size,
        attempt,
        None if age is None else age / 10,
        client or "",
        summary or "",
        detail or "",
        trace.hex() if isinstance(trace, bytes) else trace or "",
    )
