"""Writes an entry of the journal for each request, and keeps the last refused ones in memory.

Of a request that nobody has proven an entry has nothing but numbers, the provider that its path names and words of ours: who
sends it could choose everything else. There are at most ten such entries a second for each provider; the metrics count
all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import Literal

from gateway.errors import MalformedJson, Outcome, SchemaMismatch, UnsupportedMediaType
from gateway.journal.capture import MAX_BODY, CapturedRequest, CaptureWriter
from gateway.journal.entry import EPOCH_MS, MAX_DETAIL, SEQUENCE_BITS, Entry, Kind, cut
from gateway.journal.sampling import is_sampled
from gateway.journal.writer import JournalWriter
from gateway.receive.addresses import parse_address
from gateway.receive.context import RequestContext, RequestRecord
from gateway.receive.token_bucket import TokenBucket
from gateway.signatures.rejections import MalformedRequest, SignatureRejected
from gateway.signatures.units import EventRate

SPOOLED = "spooled"
"""The reason of an event that was accepted into the spool."""

_REFUSALS = EventRate(50, 5.0)
"""Entries about requests to one provider that nobody has proven: ten a second, in bursts of 50."""

_MAX_NETWORKS = 4096
"""Addresses whose networks are remembered."""

_PREFIXES = {4: 24, 6: 48}
"""The length of a network's prefix by the version of IP."""

_TRACE = slice(3, 35)
"""The trace id in a traceparent."""

_SAMPLED = frozenset((Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.IGNORED))
"""The outcomes of which `journal.sample` keeps a share."""

_EXPLAINED = frozenset(
    kind.reason
    for kind in (SignatureRejected, MalformedRequest, MalformedJson, SchemaMismatch, UnsupportedMediaType)
)
"""The outcomes of requests that are kept for `gateway explain`."""

Addresses = Literal["network", "full", "none"]
"""How a client's address is kept: its network, in full, or not at all."""


class RequestRecorder:
    """Records requests.

    Args:
        writer: Writes the journal.
        captures: Keeps refused requests; None to keep none.
        addresses: How clients' addresses are kept.
        sample: The share of accepted events that get an entry.

    Attributes:
        fingerprints: The fingerprints of the secrets of each provider.
    """

    def __init__(
        self,
        writer: JournalWriter,
        captures: CaptureWriter | None,
        addresses: Addresses = "network",
        sample: float = 1.0,
    ) -> None:
        self._writer = writer
        self._captures = captures
        shown: dict[Addresses, Callable[[str], str]] = {"network": network_of, "full": str, "none": _nothing}
        self._shown = shown[addresses]
        self._sample = sample
        self._limits: dict[str | None, TokenBucket] = {}
        self.fingerprints: Mapping[str, Sequence[str]] = {}

    def note(self, record: RequestRecord, outcome: str, status: int, ms: float) -> None:
        """Record a request that was answered, or whose client has left.

        Args:
            record: The request.
            outcome: Its outcome.
            status: The status of the answer; 0 if there is none.
            ms: How long it took, in milliseconds.
        """
        if not self._writer.is_running and outcome not in _EXPLAINED:
            return
        if record.verified is None or record.provider is None:
            if self._is_within_limit(record.provider):
                self._note_unproven(record, outcome, status, ms)
            else:
                self._writer.drop("refused")
            return
        is_kept = self._sample >= 1 or outcome not in _SAMPLED
        if not (is_kept or is_sampled(record.event_id or "", self._sample)):
            return
        entry_id = self._write_proven(record, outcome, status, ms)
        if record.notes is not None:
            self._note_events(record, entry_id)
        if outcome in _EXPLAINED and self._is_within_limit(record.provider):
            self._capture(record, entry_id, outcome, "")

    def _write_proven(self, record: RequestRecord, outcome: str, status: int, ms: float) -> int:
        writer, verified, identity = self._writer, record.verified, record.identity
        assert verified is not None  # noqa: S101 -- the caller has looked
        assert record.provider is not None  # noqa: S101 -- as above
        entry_id = writer.next_id()
        slot = verified.secret_slot
        keys = self.fingerprints.get(record.provider, ())
        signed_at = verified.signed_at
        traceparent = record.traceparent
        detail = record.cause or ""
        if record.notes is not None:
            detail = _detail_of(record)
        writer.write(
            Entry(
                entry_id,
                Kind.RECEIVED,
                outcome,
                SPOOLED if record.is_spooled else "",
                record.provider,
                record.event_type or "",
                cut(record.event_id or ""),
                cut(identity.subject or "") if identity else "",
                cut(identity.account or "") if identity else "",
                gateway=writer.gateway,
                slot=slot,
                key=keys[slot] if slot < len(keys) else "",
                status=status or None,
                ms=ms,
                size=record.size,
                age=None if signed_at is None else _age_of(signed_at, entry_id, ms),
                client=self._shown(record.client),
                summary=(identity.summary or "") if identity else "",
                detail=cut(detail, MAX_DETAIL) if detail else "",
                trace=traceparent[_TRACE] if traceparent else "",
            )
        )
        return entry_id

    def _note_unproven(self, record: RequestRecord, outcome: str, status: int, ms: float) -> None:
        writer = self._writer
        entry_id = writer.next_id()
        fault = (record.cause or "") if outcome == SignatureRejected.reason else ""
        writer.write(
            Entry(
                entry_id,
                Kind.RECEIVED,
                outcome,
                fault,
                record.provider or "",
                gateway=writer.gateway,
                status=status or None,
                ms=ms,
                size=record.size,
                client=self._shown(record.client),
            )
        )
        if outcome in _EXPLAINED:
            self._capture(record, entry_id, outcome, fault)

    def _note_events(self, record: RequestRecord, request: int) -> None:
        """Write an entry for each event of a list, which names the entry of its request."""
        writer, notes = self._writer, record.notes or ()
        for note in notes:
            identity = note.identity
            writer.write(
                Entry(
                    writer.next_id(),
                    Kind.RECEIVED,
                    note.outcome,
                    SPOOLED if note.is_spooled else "",
                    record.provider or "",
                    note.event_type,
                    cut(note.event_id),
                    cut(identity.subject or ""),
                    cut(identity.account or ""),
                    request,
                    gateway=writer.gateway,
                    summary=identity.summary or "",
                    detail=cut(note.violations, MAX_DETAIL),
                )
            )
        if (missing := (record.events or 0) - len(notes)) > 0:
            writer.drop("list", missing)

    def _is_within_limit(self, provider: str | None) -> bool:
        limit = self._limits.get(provider)
        if limit is None:  # of a configured provider: there are few
            limit = self._limits[provider] = TokenBucket(_REFUSALS, time.monotonic)
        if limit.is_empty():
            return False
        limit.take()
        return True

    def _capture(self, record: RequestRecord, entry_id: int, outcome: str, reason: str) -> None:
        if self._captures is None or not isinstance(record, RequestContext):
            return
        request, mask = record.request, record.route.mask
        body, size = request.body, record.size or 0
        self._captures.put(
            CapturedRequest(
                entry_id,
                time.time(),
                record.route.name,
                outcome,
                reason,
                self._shown(record.client),
                request.method,
                request.path,
                mask.query(request.query),
                request.url.partition("?")[0],
                mask.headers(request.headers),
                size,
                body if mask.keeps_body and size <= MAX_BODY else None,
            )
        )


@lru_cache(_MAX_NETWORKS)
def network_of(client: str) -> str:
    """Return the network of an address: /24 of IPv4, /48 of IPv6; empty for what is no address."""
    address = parse_address(client)
    if address is None:
        return ""
    return str(ip_network((address, _PREFIXES[address.version]), strict=False))


def _age_of(signed_at: float, entry_id: int, ms: float) -> float:
    """Return the seconds from the signed timestamp to the receipt, in tenths."""
    received_ms = (entry_id >> SEQUENCE_BITS) + EPOCH_MS - ms
    return int(received_ms / 100 - signed_at * 10) / 10


def _nothing(_: str) -> str:
    return ""


def _detail_of(record: RequestRecord) -> str:
    """Return how many events of a list had which outcome."""
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in (record.tally or {}).items())
    cause = f"; {record.cause}" if record.cause else ""
    return f"{record.events} events: {outcomes or 'none'}{cause}"
