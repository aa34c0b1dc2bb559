"""The last refused requests, in memory alone, for `gateway explain`.

An operator who configures a provider wants to see what arrived. Nobody has proven these requests, so they are never written to
disk: they are kept in memory that the processes share with the console, and are gone when the gateway ends.

What a credential is and what a proof is differs by scheme. A token, a password or a cookie is worth as much as the secret
itself and is masked. A signature (an HMAC, or one by a private key) is kept, because without it nothing can be explained:
it proves one content, which was refused, and somebody who repeats it gets no further than the sender did. A JSON Web
Token keeps its header and its claims, and loses its signature, unless it covers the body.

Each process has a region of its own, divided into blocks. The first block says in which blocks records begin; a record
takes a run of blocks, and begins with its length and a checksum. A reader in another process, which takes no lock,
skips what is being written. Nothing touches blocks that hold no record, because the system gives memory by the page.

The module has slightly more than 200 lines because both sides of the memory stand here.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator
from struct import Struct

import msgspec

from gateway.observability.shared_memory import allocate, attach

REGION_SIZE = 8 * 1024**2
"""Bytes of the memory of one process. The system gives it pages only once they are used."""

MAX_RECORDS = 20
"""Requests of one provider that are kept."""

MAX_BODY = 64 * 1024
"""Bytes of a body that is kept; a larger one is left out, and the record says how large it was."""

_BLOCK = 4096
_BLOCKS = REGION_SIZE // _BLOCK
_HEADER = Struct("<II")


class CapturedRequest(msgspec.Struct, array_like=True, frozen=True):
    """A request that was refused.

    Attributes:
        entry: The id of its entry in the journal.
        at: When it was refused, in Unix seconds.
        provider: The provider's key in the configuration.
        outcome: Its outcome, such as ``invalid_signature``.
        reason: The precise fault, such as ``signature_mismatch``; empty if the outcome says it all.
        client: The client's address as `journal.addresses` says.
        method: The method.
        path: The path, as it was sent.
        query: The query, as it was sent, with its secrets masked.
        url: The address that the signature may cover, as far as it is known.
        headers: The header fields, with their secrets masked.
        size: Bytes of the body.
        body: The body; None if it is larger than :data:`MAX_BODY`.
    """

    entry: int
    at: float
    provider: str
    outcome: str
    reason: str
    client: str
    method: str
    path: str
    query: bytes
    url: str
    headers: list[tuple[bytes, bytes]]
    size: int
    body: bytes | None


class CaptureRing:
    """The memory of all processes.

    Make it before the processes are forked, and open it by its descriptor in a program that inherits that.

    Args:
        descriptor: The descriptor of a ring that exists; None to make one.
        slots: The number of processes, for one that is made.

    Attributes:
        descriptor: The descriptor of the memory, for programs that inherit it.
    """

    def __init__(self, descriptor: int | None = None, slots: int = 1) -> None:
        self.descriptor = allocate(self, "refused", slots * REGION_SIZE) if descriptor is None else descriptor
        memory = attach(self.descriptor, os.fstat(self.descriptor).st_size)
        self._regions = [memory[start : start + REGION_SIZE] for start in range(0, len(memory), REGION_SIZE)]

    def writer(self, slot: int = 0) -> CaptureWriter:
        """Return what writes to the region of a process; it goes on where one that died has ended."""
        return CaptureWriter(self._regions[slot])

    def records(self) -> list[CapturedRequest]:
        """Return the requests that are kept, the newest first: of each provider the last twenty."""
        found = [record for region in self._regions for _, _, record in _records_in(region)]
        found.sort(key=lambda record: record.entry, reverse=True)
        kept: list[CapturedRequest] = []
        numbers: dict[str, int] = defaultdict(int)
        for record in found:
            numbers[record.provider] += 1
            if numbers[record.provider] <= MAX_RECORDS:
                kept.append(record)
        return kept


class CaptureWriter:
    """Keeps the refused requests of one process.

    A provider's new request takes the place of its oldest. If there is no room, the provider with the most goes first, so
    that a flood at one provider leaves those of the others alone.

    Args:
        region: The memory of the process.
    """

    def __init__(self, region: memoryview) -> None:
        self._region = region
        self._encode = msgspec.msgpack.Encoder().encode
        self._is_used = bytearray(_BLOCKS)
        self._is_used[0] = 1
        self._runs: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
        for first, count, record in sorted(_records_in(region), key=lambda found: found[2].entry):
            self._keep(record.provider, first, count)

    def put(self, request: CapturedRequest) -> None:
        """Keep a request."""
        content = self._encode(request)
        count = -(-(_HEADER.size + len(content)) // _BLOCK)
        if count >= _BLOCKS:
            return
        while len(self._runs[request.provider]) >= MAX_RECORDS:
            self._forget(request.provider)
        while (first := self._is_used.find(bytes(count))) < 0:
            self._forget(max(self._runs, key=lambda provider: len(self._runs[provider])))
        start = first * _BLOCK
        end = start + _HEADER.size
        self._region[end : end + len(content)] = content
        self._region[start:end] = _HEADER.pack(len(content), zlib.crc32(content))
        self._region[first] = 1
        self._keep(request.provider, first, count)

    def _keep(self, provider: str, first: int, count: int) -> None:
        self._is_used[first : first + count] = b"\1" * count
        self._runs[provider].append((first, count))

    def _forget(self, provider: str) -> None:
        first, count = self._runs[provider].popleft()
        if not self._runs[provider]:
            del self._runs[provider]
        self._region[first] = 0
        self._is_used[first : first + count] = bytes(count)


def _records_in(region: memoryview) -> Iterator[tuple[int, int, CapturedRequest]]:
    """Yield the first block, the number of blocks and the content of each whole record."""
    decode = msgspec.msgpack.Decoder(CapturedRequest).decode
    for first, is_first in enumerate(bytes(region[:_BLOCKS])):
        if not is_first:
            continue
        start = first * _BLOCK + _HEADER.size
        length, checksum = _HEADER.unpack_from(region, first * _BLOCK)
        content = bytes(region[start : start + length])
        if len(content) == length and zlib.crc32(content) == checksum:
            yield first, -(-(_HEADER.size + length) // _BLOCK), decode(content)
