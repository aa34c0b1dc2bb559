"""Kept connections: used again, not for too long, and replaced when the receiver has closed them."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from gateway.outbound import connector
from gateway.outbound.outcomes import Outcome
from support import receivers
from support.outbound import loopback_rules, request_to, sending
from support.receivers import Behaviour, Conversation, Receiver, respond


async def test_one_connection_serves_many_requests() -> None:
    """One after another."""
    with Receiver() as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            for _ in range(5):
                assert (await client.send(request_to(receiver.url))).earlier is None

    assert [request.connection for request in receiver.requests] == [1] * 5


async def test_requests_side_by_side_have_connections_of_their_own() -> None:
    """A connection carries one request at a time."""
    with Receiver(receivers.hang) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            tasks = [asyncio.create_task(client.send(request_to(receiver.url))) for _ in range(20)]
            await asyncio.to_thread(receiver.wait_for, 20)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    assert {request.connection for request in receiver.requests} == set(range(1, 21))


async def test_a_connection_that_the_receiver_closed_costs_no_attempt() -> None:
    """The request is sent once more on a new one; the first try is told."""
    with Receiver(respond(200), receivers.close_on_request, respond(200)) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            await client.send(request_to(receiver.url))
            result = await client.send(request_to(receiver.url))

    assert result.outcome == Outcome.DELIVERED
    assert result.earlier is not None
    assert (result.earlier.outcome, result.earlier.address) == (Outcome.RESET, "127.0.0.1")
    assert result.earlier.status is None
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


async def test_there_is_one_more_try_and_no_third() -> None:
    """A receiver that always closes has failed."""
    with Receiver(respond(200), receivers.close_on_request) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            await client.send(request_to(receiver.url))
            result = await client.send(request_to(receiver.url))

    assert result.outcome == Outcome.RESET
    assert result.earlier is not None
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("behaviour", [receivers.half_head, receivers.reset_in_head])
async def test_a_byte_of_a_response_forbids_another_try(behaviour: Behaviour) -> None:
    """The receiver has begun to handle the request then."""
    with Receiver(respond(200), behaviour) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            await client.send(request_to(receiver.url))
            result = await client.send(request_to(receiver.url))

    assert (result.outcome, result.earlier) == (Outcome.RESET, None)
    assert len(receiver.requests) == 2


async def test_a_new_connection_that_is_closed_has_no_second_try() -> None:
    """That is an attempt like any other."""
    with Receiver(receivers.close_on_request) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            result = await client.send(request_to(receiver.url))

    assert (result.outcome, result.earlier) == (Outcome.RESET, None)
    assert len(receiver.requests) == 1


async def test_the_second_try_does_not_use_another_kept_connection() -> None:
    """All of them may have been closed at once, such as by a restart of the receiver."""
    gate = Behaviour("gate", _answer_third, keeps=True)
    with Receiver(gate, gate, receivers.close_on_request, respond(200)) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            first = asyncio.create_task(client.send(request_to(receiver.url)))
            await asyncio.to_thread(receiver.wait_for, 1)
            second = asyncio.create_task(client.send(request_to(receiver.url)))
            await asyncio.gather(first, second)
            result = await client.send(request_to(receiver.url))

    assert result.outcome == Outcome.DELIVERED
    assert len({request.connection for request in receiver.requests[:2]}) == 2
    assert receiver.requests[-1].connection == 3


async def _answer_third(conversation: Conversation) -> None:
    """Answer after a moment, so that two requests are under way together."""
    await asyncio.sleep(0.3)
    await conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def test_an_old_connection_is_not_used_again() -> None:
    """A name that moves is followed within a minute."""
    with Receiver() as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            await client.send(request_to(receiver.url))
            with patch.object(connector, "_MAX_AGE", -1.0):
                await client.send(request_to(receiver.url))
            await client.send(request_to(receiver.url))

    assert [request.connection for request in receiver.requests] == [1, 2, 2]


async def test_a_response_that_was_not_read_to_its_end_costs_the_connection() -> None:
    """The next request must not get the rest of it."""
    with Receiver(respond(200, b"x" * 10_000_000)) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            results = [await client.send(request_to(receiver.url)) for _ in range(2)]

    assert [result.outcome for result in results] == [Outcome.DELIVERED] * 2
    assert [request.connection for request in receiver.requests] == [1, 2]


async def test_a_response_before_its_request_is_not_taken() -> None:
    """What a receiver sends beyond its response ends the connection."""
    with Receiver(receivers.answer_twice, respond(500)) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            results = [await client.send(request_to(receiver.url)) for _ in range(2)]

    assert [result.status for result in results] == [200, 500]


async def test_requests_after_the_end_are_interrupted() -> None:
    """They do not count as attempts."""
    with Receiver() as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            pass
        result = await client.send(request_to(receiver.url))

    assert result.outcome == Outcome.INTERRUPTED
