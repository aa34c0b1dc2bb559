"""Writes an entry of the journal for each request, and keeps the last refused ones in memory.

Of a request that nobody has proven an entry has only numbers, the provider that its path names and words of ours: who
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
from gateway.journal.entry import MAX_DETAIL, Entry, Kind, cut
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
        writer, verified = self._writer, record.verified
        if not writer.is_running and outcome not in _EXPLAINED:
            return
        if verified is None:
            self._note_unproven(record, outcome, status, ms)
            return
        event_id, share = record.event_id or "", self._sample
        if share < 1 and outcome in _SAMPLED and not is_sampled(event_id, share):
            return
        provider, slot, signed_at = record.provider or "", verified.secret_slot, verified.signed_at
        keys, identity, traceparent = self.fingerprints.get(provider), record.identity, record.traceparent
        entry_id = writer.next_id()
        writer.write(
            Entry(  # by position, which takes a third of the time
                entry_id,
                Kind.RECEIVED,
                outcome,
                SPOOLED if record.is_spooled else "",
                provider,
                record.event_type or "",
                event_id,
                (identity.subject or "") if identity else "",
                (identity.account or "") if identity else "",
                None,
                "",
                writer.gateway,
                "",
                slot,
                keys[slot] if keys and slot < len(keys) else "",
                status or None,
                ms,
                record.size,
                None,
                time.time() - signed_at - ms / 1000 if signed_at is not None else None,
                self._shown(record.client),
                (identity.summary or "") if identity else "",
                _detail_of(record) if record.cause or record.notes is not None else "",
                traceparent[_TRACE] if traceparent else "",
            )
        )
        if record.notes is not None:
            self._note_events(record, entry_id)
        if outcome in _EXPLAINED and self._is_within_limit(record.provider):
            self._capture(record, entry_id, outcome, "")

    def _note_unproven(self, record: RequestRecord, outcome: str, status: int, ms: float) -> None:
        """Record a refused request, or a handshake that nobody had to sign."""
        writer = self._writer
        if not self._is_within_limit(record.provider):
            writer.drop("refused")
            return
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
                    note.event_id,
                    identity.subject or "",
                    identity.account or "",
                    request,
                    gateway=writer.gateway,
                    summary=identity.summary or "",
                    detail=cut(note.violations, MAX_DETAIL),
                )
            )
        if (missing := sum((record.tally or {}).values()) - len(notes)) > 0:
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


def _nothing(_: str) -> str:
    return ""


def _detail_of(record: RequestRecord) -> str:
    """Return the cause of the outcome, and for a list how many events had which one."""
    parts = [f"{record.events} events"] if record.notes is not None else []
    parts += [f"{number} {outcome}" for outcome, number in (record.tally or {}).items()]
    return cut(", ".join([*parts, record.cause] if record.cause else parts), MAX_DETAIL)
