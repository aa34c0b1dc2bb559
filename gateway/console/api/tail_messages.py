"""The messages of live tails and their cursors.

A cursor is a position in the journal, and how many matching entries behind it have been told already: the journal gives
positions for what is read at a time, and that may be several messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.console.api.cursors import make_cursor, open_cursor
from gateway.console.api.encoding import EntryView, view_of
from gateway.console.security.signer import Signer
from gateway.journal.entry import Entry

LIST_NAME = "/tail"
"""What the cursors are for, and the path of the operation."""

_TOLD_BITS = 20
"""Bits of a cursor for the entries that have been told behind its position; one reading has fewer."""


class TailMessage(msgspec.Struct):
    """The data of an `entries` message.

    Attributes:
        entries: The newest entries since the message before, oldest first; at most 50.
        more: How many more there were.
        is_gap: Whether entries before these were left out, because the cursor was too old.
    """

    entries: list[EntryView]
    more: int
    is_gap: bool


Rows = dict[int, msgspec.Raw]
"""The JSON of entries by their id, made once for all messages that have them."""


class Place(NamedTuple):
    """Where a tail goes on.

    Attributes:
        position: A position in the journal.
        told: How many matching entries behind it have been told.
    """

    position: int
    told: int = 0

    def cursor(self, signer: Signer, query: str) -> str:
        """Return the cursor of this place for a query."""
        return make_cursor(signer, LIST_NAME, self.position << _TOLD_BITS | self.told, query)

    @classmethod
    def parse(cls, signer: Signer, query: str, cursor: str) -> Place:
        """Return the place of a cursor.

        Raises:
            Problem: It is none, or one of another query.
        """
        number = open_cursor(signer, LIST_NAME, cursor, query)
        return cls(number >> _TOLD_BITS, number & (1 << _TOLD_BITS) - 1)


class Batch:
    """What one message says.

    Args:
        entries: The entries, oldest first.
        more: How many there were before them that are not shown.
        place: Where to go on behind them.
        query: The query that the cursor is for.
        signer: Signs the cursor.
        rows: The JSON of entries that was made already.
        is_gap: Whether entries before them were skipped, whose number is not known.

    Attributes:
        entries: As above.
        more: As above.
        place: As above.
        is_gap: As above.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        more: int,
        place: Place,
        query: str,
        signer: Signer,
        rows: Rows,
        *,
        is_gap: bool = False,
    ) -> None:
        self.entries = entries
        self.more = more
        self.place = place
        self.is_gap = is_gap
        self._query = query
        self._signer = signer
        self._rows = rows
        self._encoded: bytes | None = None

    def encoded(self) -> bytes:
        """Return the message; it is made once for all tails that share it."""
        if self._encoded is None:
            data = {
                "entries": [self._row(each) for each in self.entries],
                "more": self.more,
                "is_gap": self.is_gap,
            }
            cursor = self.place.cursor(self._signer, self._query).encode()
            self._encoded = b"id: %b\nevent: entries\ndata: %b\n\n" % (cursor, msgspec.json.encode(data))
        return self._encoded

    def _row(self, entry: Entry) -> msgspec.Raw:
        row = self._rows.get(entry.id)
        if row is None:
            row = self._rows[entry.id] = msgspec.Raw(msgspec.json.encode(view_of(entry)))
        return row

    def without(self, ids: set[int]) -> Batch:
        """Return the batch without some entries."""
        kept = [entry for entry in self.entries if entry.id not in ids]
        return Batch(kept, self.more, self.place, self._query, self._signer, self._rows, is_gap=self.is_gap)
