"""Slow senders, and senders that hold idle connections, take nothing from the others."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from typing import Any

import pytest

from hostile.signed import acme
from hostile.target import Target
from hostile.wire import Exchange, converse
from support.waiting import PATIENCE

MAX_CONNECTIONS = 200


@pytest.fixture(scope="module")
def overrides() -> Mapping[str, Any]:
    """A short deadline and few connections."""
    return {"server": {"deadline": "2s", "max_connections": MAX_CONNECTIONS}}


def _drip(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]
        time.sleep(0.2)  # the slowness is the input


def _slow_inputs(target: Target) -> dict[str, tuple[Callable[[], Iterable[bytes]], str]]:
    """What each slow sender sends, and the answers that it gets before its connection is closed."""
    wire, chunked = acme(target.secrets), acme(target.secrets).chunked()
    return {
        "1: nothing": (list, ""),
        "2: a head, byte by byte": (lambda: _drip(bytes(wire)), "408 request_timeout"),
        "2: half a head": (lambda: [wire.head[:50]], "408 request_timeout"),
        "2: half a head after an event": (
            lambda: [bytes(acme(target.secrets)) + wire.head[:50]],
            "202 accepted, 408 request_timeout",
        ),
        "28: HTTP 0.9": (lambda: [b"GET /webhooks/acme\r\n"], "408 request_timeout"),
        "3: no body": (lambda: [wire.head], "408 request_timeout"),
        "3: half a body": (lambda: [bytes(wire)[:-9]], "408 request_timeout"),
        "3: half of the chunks": (lambda: [bytes(chunked)[:-9]], "408 request_timeout"),
        "4: a body, byte by byte": (lambda: chain([wire.head], _drip(wire.body)), "408 request_timeout"),
        "4: chunks, byte by byte": (
            lambda: chain([chunked.head], _drip(chunked.body)),
            "408 request_timeout",
        ),
    }


def test_slow_senders_are_cut_off(target: Target) -> None:
    """Inputs 1 to 4: the head has its deadline, the body has its own, and both are kept."""
    inputs = _slow_inputs(target)

    def send(name: str) -> Exchange:
        pieces, _ = inputs[name]
        return converse(target.address, pieces(), until_closed=True, timeout=PATIENCE)

    with target.watching() as watch, ThreadPoolExecutor(len(inputs)) as pool:
        exchanges = dict(zip(inputs, pool.map(send, inputs), strict=True))
        for exchange in exchanges.values():
            watch.note(exchange)

    assert {name: exchange.answer for name, exchange in exchanges.items()} == {
        name: answer for name, (_, answer) in inputs.items()
    }
    assert all(exchange.is_closed for exchange in exchanges.values())


def test_idle_connections_are_bounded_and_end(target: Target) -> None:
    """Input 5: events pass beside idle connections; beyond the limit the oldest ones end for the new, then all do."""
    with ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(target.address, timeout=PATIENCE))

        idle = [connect() for _ in range(MAX_CONNECTIONS - 10)]
        beside = converse(target.address, bytes(acme(target.secrets)))
        idle += [connect() for _ in range(MAX_CONNECTIONS)]
        beyond = converse(target.address, bytes(acme(target.secrets)))
        ends = [connection.recv(1000) for connection in idle]

    assert beside.answer == "202 accepted"
    assert beyond.answer == "202 accepted"
    assert ends == [b""] * len(idle)
    target.expect_well()


def test_half_heads_keep_no_event_out(target: Target) -> None:
    """Input 2, from a crowd: there are always more of them than there may be connections."""
    answers = []
    crowd: deque[socket.socket] = deque()
    for _ in range(30):
        for _ in range(MAX_CONNECTIONS // 5):
            crowd.append(socket.create_connection(target.address, timeout=PATIENCE))
            crowd[-1].sendall(acme(target.secrets).head[:50])
        while len(crowd) > 2 * MAX_CONNECTIONS:
            crowd.popleft().close()  # the gateway has done so long before
        answers.append(converse(target.address, bytes(acme(target.secrets))).answer)
    for each in crowd:
        each.close()

    assert answers == ["202 accepted"] * 30
