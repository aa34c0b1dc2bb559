"""A receiver of deliveries as cheap as Python allows: a process that answers 200, or hangs, and says what arrived.

At each line of its standard input it prints one: for `count` how many requests came, for `hanging` how many wait for an answer,
and else, as JSON, for how many seconds each of them had been on its way, and counts anew.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from array import array
from typing import Any, ClassVar

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SENT_AT = re.compile(rb'"sent_at": ?(\d+\.\d+)')
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Connection(asyncio.Protocol):
    hanging: ClassVar[set[_Connection]] = set()
    """Those that wait for an answer which never comes."""

    def __init__(self, delays: array[float]) -> None:
        self._delays = delays
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # of uvloop, which is no subclass of asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self.hanging.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            if head.startswith(b"POST /hang"):
                self.hanging.add(self)
                continue  # for ever
            if found := _SENT_AT.search(body):
                self._delays.append(time.time() - float(found[1]))
            self._transport.write(_ANSWER)


async def _serve(port: int) -> None:
    delays: array[float] = array("d")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(delays), "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    while text := await asyncio.to_thread(sys.stdin.readline):
        if text.strip() == "count":
            print(len(delays), flush=True)
        elif text.strip() == "hanging":
            print(len(_Connection.hanging), flush=True)
        else:
            print(json.dumps(sorted(delays)), flush=True)
            del delays[:]
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
