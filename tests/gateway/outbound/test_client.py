"""How requests to endpoints end: every kind of receiver has its word, and costs no more than it may."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from gateway.outbound.client import MAX_EXCERPT, OutboundRequest, Result
from gateway.outbound.connector import Limits
from gateway.outbound.outcomes import Outcome
from support import receivers
from support.hostile_hosts import hostile_urls
from support.outbound import loopback_rules, request_to, sending
from support.ports import free_port
from support.receivers import Behaviour, Receiver, drip_body, flood, reset_in_body, respond, respond_gzip
from support.waiting import wait_until

SHORT = 0.5
"""Seconds for a request that is never answered."""

BRIEF = Limits(body=0.1)

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]

CASES: list[tuple[Behaviour, Outcome, int | None]] = [
    *[(respond(status), Outcome.DELIVERED, status) for status in (200, 201, 202, 204, 206)],
    *[(respond(status), Outcome.REDIRECT, status) for status in (300, 301, 302, 303, 304, 307, 308)],
    *[(respond(status), Outcome.STATUS, status) for status in (400, 401, 404, 410, 429, 500, 503)],
    (receivers.reset_on_first_bytes, Outcome.RESET, None),
    (receivers.reset_on_request, Outcome.RESET, None),
    (receivers.close_on_request, Outcome.RESET, None),
    (receivers.reset_in_head, Outcome.RESET, None),
    (receivers.half_head, Outcome.RESET, None),
    (reset_in_body(200), Outcome.DELIVERED, 200),
    (reset_in_body(500), Outcome.STATUS, 500),
    (receivers.close_after_head, Outcome.DELIVERED, 200),
    (drip_body(200), Outcome.DELIVERED, 200),
    (drip_body(503), Outcome.STATUS, 503),
    (flood(200), Outcome.DELIVERED, 200),
    (flood(500), Outcome.STATUS, 500),
    (receivers.large_head, Outcome.PROTOCOL, None),
    (receivers.large_field, Outcome.PROTOCOL, None),
    (receivers.large_reason, Outcome.PROTOCOL, None),
    (receivers.continue_forever, Outcome.PROTOCOL, None),
    (receivers.http_0_9, Outcome.PROTOCOL, None),
    (receivers.http_1_0, Outcome.DELIVERED, 200),
    (receivers.switch_protocols, Outcome.PROTOCOL, 101),
    (receivers.respond_and_close, Outcome.DELIVERED, 200),
    (receivers.answer_twice, Outcome.DELIVERED, 200),
    (respond_gzip(200, b"text"), Outcome.DELIVERED, 200),
]
SILENT = [receivers.hang, receivers.hang_at_once, receivers.drip_head, receivers.continue_slowly]


@pytest.mark.parametrize("new_loop", LOOPS, ids=lambda make: make.__module__.partition(".")[0])
@pytest.mark.parametrize(
    ("behaviour", "outcome", "status"), CASES, ids=lambda each: getattr(each, "name", None)
)
def test_every_receiver_has_its_outcome(
    behaviour: Behaviour,
    outcome: Outcome,
    status: int | None,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """On both event loops; twice, because a kept connection must not change it."""

    async def send(receiver: Receiver) -> list[Result]:
        async with sending(loopback_rules(receiver.port), limits=BRIEF) as client:
            return [await client.send(request_to(receiver.url)) for _ in range(2)]

    with Receiver(behaviour) as receiver, asyncio.Runner(loop_factory=new_loop) as runner:
        results = runner.run(send(receiver))

    for result in results:
        assert (result.outcome, result.status) == (outcome, status), result
        assert len(result.excerpt) <= MAX_EXCERPT
        assert result.address == "127.0.0.1"
        assert "head" in result.phases


@pytest.mark.parametrize("behaviour", SILENT, ids=lambda each: each.name)
async def test_a_receiver_without_a_whole_head_has_a_timeout(behaviour: Behaviour) -> None:
    """Also one that goes on sending without coming to an end."""
    with Receiver(behaviour) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            result = await client.send(request_to(receiver.url, SHORT))

    assert (result.outcome, result.status) == (Outcome.TIMEOUT_HEAD, None)


async def test_a_connection_that_ends_at_once_is_a_failure() -> None:
    """It depends on the moment whether there was a connection before."""
    with Receiver(receivers.reset_at_once) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            result = await client.send(request_to(receiver.url))

    assert result.outcome in {Outcome.CONNECT, Outcome.RESET}


async def test_nothing_listens() -> None:
    """There is no address of a connection."""
    port = free_port()
    async with sending(loopback_rules(port)) as client:
        result = await client.send(request_to(f"http://127.0.0.1:{port}/"))

    assert (result.outcome, result.address) == (Outcome.CONNECT, "")
    assert list(result.phases) == ["connect"]


@pytest.mark.parametrize(
    ("limits", "timeout"), [(Limits(connect=0.2), 30.0), (Limits(), 0.2)], ids=["phase", "deadline"]
)
async def test_nobody_takes_the_connection(limits: Limits, timeout: float) -> None:
    """The limit of the phase ends the attempt, and so does the deadline for everything."""
    with receivers.full_backlog() as port:
        async with sending(loopback_rules(port), limits=limits) as client:
            result = await client.send(request_to(f"http://127.0.0.1:{port}/", timeout))

    assert result.outcome == Outcome.TIMEOUT_CONNECT


async def test_the_request_is_what_its_maker_says() -> None:
    """With `Host` and `Content-Length`, and with nothing else: no Accept-Encoding, no cookie, no Expect."""
    answer = respond(200, fields={"Set-Cookie": "a=b; Path=/"})
    with Receiver(answer) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            for _ in range(2):
                await client.send(request_to(receiver.url, body=b"\x00\xff body"))

    for request in receiver.requests:
        assert request.headers == {
            "host": f"127.0.0.1:{receiver.port}",
            "content-length": "7",
            "content-type": "application/json",
            "webhook-id": "msg_1",
        }
        assert (request.method, request.target) == ("POST", "/hook?token=t%2F1")
        assert request.body == b"\x00\xff body"


async def test_another_method_and_no_body() -> None:
    """As the handshake of CloudEvents has it; the fields that grant it come back."""
    fields = {"WebHook-Allowed-Origin": "gateway.example", "WebHook-Allowed-Rate": "120", "X-Other": "1"}
    with Receiver(respond(200, fields=fields)) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            result = await client.send(
                OutboundRequest(
                    receiver.url, {"webhook-request-origin": "gateway.example"}, b"", method="OPTIONS"
                )
            )

    assert receiver.requests[0].method == "OPTIONS"
    assert result.headers == {"webhook-allowed-origin": "gateway.example", "webhook-allowed-rate": "120"}


async def test_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy nor a password for the host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with Receiver() as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            result = await client.send(request_to(receiver.url))

    assert result.outcome == Outcome.DELIVERED
    assert "authorization" not in receiver.requests[0].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    """Wherever it leads: to another receiver, and to hosts that no endpoint may have."""
    with Receiver() as other, Receiver() as receiver:
        async with sending(loopback_rules(receiver.port, other.port)) as client:
            for url in [other.url, *filter(_can_be_a_field, hostile_urls())]:
                receiver.behave(receivers.redirect(status, url))
                result = await client.send(request_to(receiver.url))

                assert (result.outcome, result.status) == (Outcome.REDIRECT, status)

    assert not other.requests
    assert len(receiver.requests) == 1 + len(list(filter(_can_be_a_field, hostile_urls())))


def _can_be_a_field(url: str) -> bool:
    return url.isascii() and url.isprintable()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://10.0.0.1/", "https://localhost/", "x"])
async def test_a_refused_url_is_not_connected_to(url: str) -> None:
    """It has no phases at all."""
    async with sending(loopback_rules()) as client:
        result = await client.send(request_to(url))

    assert (result.outcome, result.phases, result.address) == (Outcome.ADDRESS_REFUSED, {}, "")
    assert result.detail


async def test_rules_of_one_endpoint_replace_the_general_ones() -> None:
    """Even if a connection is kept that other rules have allowed."""
    with Receiver() as receiver:
        lax = loopback_rules(receiver.port)
        strict = type(lax)(allow_http=True, ports=lax.ports)
        async with sending(lax) as client:
            first = await client.send(request_to(receiver.url))
            second = await client.send(request_to(receiver.url), strict)

    assert (first.outcome, second.outcome) == (Outcome.DELIVERED, Outcome.ADDRESS_REFUSED)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "behaviour", [flood(200), flood(500), receivers.large_head, receivers.continue_forever]
)
async def test_a_flood_is_not_kept_in_memory(behaviour: Behaviour) -> None:
    """A gigabyte is cut off long before its end, and what was read is given back."""
    with Receiver(behaviour) as receiver:
        async with sending(loopback_rules(receiver.port), limits=BRIEF) as client:
            await client.send(request_to(receiver.url))
            tracemalloc.start()
            try:
                await client.send(request_to(receiver.url))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        wait_until(lambda: receiver.open_connections == 0, message="the client ended its connections")

    # One piece of input at a time is parsed, which is a thousand objects if it consists of interim responses.
    assert peak < 16 * 1024 * 1024
    assert all(conversation.sent < 64 * 1024 * 1024 for conversation in receiver.conversations)


async def test_a_body_is_an_excerpt_as_it_came() -> None:
    """Not unpacked, and cut."""
    with Receiver(respond_gzip(500, b"text")) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            packed = await client.send(request_to(receiver.url))
            receiver.behave(respond(500, b"e" * 5000))
            cut = await client.send(request_to(receiver.url))

    assert packed.excerpt.startswith(b"\x1f\x8b")
    assert cut.excerpt == b"e" * MAX_EXCERPT
    assert len(receiver.conversations) == 1  # both were read to their ends


async def test_what_the_receiver_asks_for_comes_back() -> None:
    """The fields that decide about the next attempt, and no others."""
    fields = {"Retry-After": "120", "Webhook-Delivery": "disable", "Server": "x", "Set-Cookie": "a=b"}
    with Receiver(respond(503, fields=fields)) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            result = await client.send(request_to(receiver.url))

    assert result.headers == {"retry-after": "120", "webhook-delivery": "disable"}


async def test_a_cancelled_request_ends_its_connection() -> None:
    """Nothing goes on in the background."""
    with Receiver(receivers.hang) as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            task = asyncio.create_task(client.send(request_to(receiver.url)))
            await asyncio.to_thread(receiver.wait_for, 1)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await asyncio.to_thread(wait_until, lambda: receiver.open_connections == 0)

    assert task.cancelled()


async def test_phases_are_measured() -> None:
    """A kept connection has only the last of them."""
    with Receiver() as receiver:
        async with sending(loopback_rules(receiver.port)) as client:
            results = [await client.send(request_to(receiver.url)) for _ in range(2)]

    assert [list(result.phases) for result in results] == [["connect", "head"], ["head"]]
    for result in results:
        assert 0 < sum(result.phases.values()) <= result.ms
