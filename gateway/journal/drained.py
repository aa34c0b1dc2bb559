"""The entry of an event that left the spool."""

from __future__ import annotations

from gateway.events.message import Message
from gateway.journal.entry import MAX_TEXT, Entry, Kind, cut
from gateway.journal.sampling import is_sampled
from gateway.journal.writer import JournalWriter


class DrainRecorder:
    """Records events that the broker has confirmed after they had waited in the spool.

    Args:
        writer: Writes the journal.
        sample: The share of events that get an entry.
    """

    def __init__(self, writer: JournalWriter, sample: float = 1.0) -> None:
        self._writer = writer
        self._sample = sample

    def note(self, message: Message, waited: float) -> None:
        """Record that a message was confirmed after it had waited so many seconds."""
        if not self._writer.is_running or not is_sampled(message.message_id, self._sample):
            return
        provider = message.headers.get("provider", "")
        self._writer.write(
            Entry(
                self._writer.next_id(),
                Kind.PUBLISHED,
                "published",
                "",
                provider,
                message.routing_key.removeprefix(f"{provider}."),
                cut(message.message_id, MAX_TEXT),
                gateway=self._writer.gateway,
                ms=int(waited * 1000),
                size=len(message.body),
                trace=message.headers.get("traceparent", "")[3:35],
            )
        )
