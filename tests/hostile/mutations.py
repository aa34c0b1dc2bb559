"""Mutations of valid requests, and a fuzzer that sends them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hostile.wire import Address, read_replies

_INTERESTING = [
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b"%", b"\xff", b"-1", b"0", b"9" * 20, b"0\r\n\r\n",
    b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Host: x\r\n", b"Upgrade: h2c\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"HTTP/2.0", b"GET", b"POST /", b"?", b"#", b"{", b"[",
    b'"', b"\\u0000", b"\\ud800", b"1e400", b"sha256=", b"t=", b"v1=",
]  # fmt: skip

QUIET = 0.2
"""Seconds without an answer after which the sender leaves."""


def mutate(seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    """One of the seeds, bent in one to four ways."""
    data = numbers.choice(seeds)
    for _ in range(numbers.randint(1, 4)):
        data = numbers.choice(_WAYS)(data, seeds, numbers)
    return data


def split(data: bytes, numbers: random.Random) -> list[bytes]:
    """The same bytes in one to five pieces."""
    cuts = sorted(numbers.randrange(len(data) + 1) for _ in range(numbers.randrange(5)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if begin < end]


def _flip(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    at = numbers.randrange(len(data) or 1)
    return data[:at] + bytes(byte ^ 1 << numbers.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _insert(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    at = numbers.randrange(len(data) + 1)
    return data[:at] + numbers.choice(_INTERESTING) + data[at:]


def _overwrite(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    at, word = numbers.randrange(len(data) + 1), numbers.choice(_INTERESTING)
    return data[:at] + word + data[at + len(word) :]


def _delete(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    at = numbers.randrange(len(data) + 1)
    return data[:at] + data[at + numbers.randint(1, 30) :]


def _duplicate(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    at = numbers.randrange(len(data) + 1)
    end = at + numbers.randint(1, 200)
    return data[:end] + data[at:end] * numbers.randint(1, 3) + data[end:]


def _swap_lines(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    lines = data.split(b"\r\n")
    first, second = numbers.randrange(len(lines)), numbers.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\r\n".join(lines)


def _splice(data: bytes, seeds: Sequence[bytes], numbers: random.Random) -> bytes:
    other = numbers.choice(seeds)
    return data[: numbers.randrange(len(data) + 1)] + other[numbers.randrange(len(other)) :]


_WAYS: list[Callable[[bytes, Sequence[bytes], random.Random], bytes]] = [
    _flip,
    _insert,
    _overwrite,
    _delete,
    _duplicate,
    _swap_lines,
    _splice,
]


@dataclass
class Tally:
    """What came of many inputs.

    Attributes:
        answers: how many of each outcome were received.
        bugs: the inputs, by seed, that were answered with 500 or with what is no HTTP.
        inputs: how many were sent.
    """

    answers: Counter[str] = field(default_factory=Counter)
    bugs: dict[str, bytes] = field(default_factory=dict)
    inputs: int = 0

    def take(self, name: str, sent: bytes, received: bytes) -> None:
        """Note one connection."""
        self.inputs += 1
        try:
            replies, _ = read_replies(received)
            words = [reply.word for reply in replies]
        except ValueError:
            self.bugs[name] = sent
            return
        self.answers.update(words)
        if "internal" in words:
            self.bugs[name] = sent


async def fuzz(
    address: Address, make: Callable[[int], list[bytes]], count: int, connections: int = 128
) -> Tally:
    """Send ``count`` inputs, each generated from its number, over several connections at a time."""
    tally, numbers = Tally(), iter(range(count))

    async def work() -> None:
        for number in numbers:
            pieces = make(number)
            tally.take(str(number), b"".join(pieces), await _send(address, pieces))

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())
    return tally


async def _send(address: Address, pieces: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    received = bytearray()
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # so that each is a packet of its own
        while True:
            async with asyncio.timeout(QUIET):
                data = await reader.read(65_536)
            if not data:
                break
            received += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return bytes(received)
