"""The gateway answers bent HTTP as it must, and serves on."""

from __future__ import annotations

import socket

import pytest

from hostile.inputs_http import INPUTS
from hostile.signed import acme
from hostile.target import Input, Target
from hostile.wire import Wire, converse
from support.waiting import PATIENCE


@pytest.mark.parametrize("hostile", INPUTS, ids=str)
def test_bent_http_gets_its_answer(target: Target, hostile: Input) -> None:
    """Each input gets its answer, and the gateway is as well as before."""
    target.expect(hostile)


def test_what_follows_a_body_is_the_next_request(target: Target) -> None:
    """Input 9: bytes beyond the declared length never become part of the event."""
    first, second = acme(target.secrets), acme(target.secrets)
    with target.watching() as watch:
        exchange = converse(target.address, bytes(first) + bytes(second), replies=2)
        watch.note(exchange)

    assert exchange.answer == "202 accepted, 202 accepted"


def test_what_follows_a_body_and_is_no_request_ends_the_connection(target: Target) -> None:
    """Input 9: the event counts, the rest is malformed, and nobody guesses where the next request begins."""
    with target.watching() as watch:
        exchange = converse(
            target.address, bytes(acme(target.secrets)) + b'{"id":1}\r\n\r\n', until_closed=True
        )
        watch.note(exchange)

    assert exchange.answer == "202 accepted, 400 malformed_request"
    assert exchange.is_closed


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    """Input 33: a hundred in one write get their hundred answers, each its own."""
    wires: list[Wire] = []
    for number in range(100):
        wire = acme(target.secrets)
        wires.append(wire.but("X-Acme-Signature", "sha256=00") if number % 3 == 1 else wire)
    with target.watching() as watch:
        exchange = converse(target.address, b"".join(map(bytes, wires)), replies=100)
        watch.note(exchange)

    expected = ["invalid_signature" if number % 3 == 1 else "accepted" for number in range(100)]
    assert [reply.word for reply in exchange.replies] == expected


def test_an_event_may_come_byte_by_byte(target: Target) -> None:
    """Where the network cuts makes no difference."""
    for wire in (acme(target.secrets), acme(target.secrets).chunked()):
        whole = bytes(wire)
        with target.watching() as watch:
            exchange = converse(target.address, [whole[at : at + 1] for at in range(len(whole))])
            watch.note(exchange)

        assert exchange.answer == "202 accepted"


def test_a_body_is_invited_only_once_it_is_welcome(target: Target) -> None:
    """Input 32: 100 Continue precedes the answer to an event that was not refused by its head."""
    wire = acme(target.secrets).plus("Expect", "100-continue")
    with target.watching() as watch, socket.create_connection(target.address, timeout=PATIENCE) as connection:
        connection.sendall(wire.head)
        invitation = connection.recv(1000)
        connection.sendall(wire.body)
        answer = connection.recv(1000)
        watch.expected["accepted"] += 1

    assert invitation == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 202 ")


def test_the_refusal_of_a_method_names_the_one_that_is_allowed(target: Target) -> None:
    """Input 30: 405 comes with Allow, also to HEAD, whose answer has no body."""
    with target.watching() as watch:
        exchanges = [
            converse(target.address, acme(target.secrets).asking(f"{method} /webhooks/acme HTTP/1.1").head)
            for method in ("GET", "HEAD")
        ]
        watch.expected["method_not_allowed"] += 2

    assert [(exchange.replies[0].status, exchange.replies[0].fields[b"allow"]) for exchange in exchanges] == [
        (405, b"POST")
    ] * 2
