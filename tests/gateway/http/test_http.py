"""The HTTP of the gateway, close up: its order, its deadlines, its limits and its end, over raw connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from gateway.errors import Overloaded
from gateway.http import connection as connection_module
from gateway.http import incoming as incoming_module
from gateway.http import reader
from gateway.http.connection import Connection
from gateway.http.incoming import HEAD_TIMEOUT, NO_HEAD, Incoming
from gateway.receive.context import RequestContext
from gateway.receive.jobs import Job
from gateway.receive.receiver import Receiver
from gateway.receive.responses import Response
from support.served import Caller, Serve, Served, chunked, webhook

LIVE = b"GET /livez HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
UNKNOWN = b"POST /webhooks/nobody HTTP/1.1"
CLOSE = b"Connection: close"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: h2c")
BRIEF = 0.3  # seconds, where a test waits for a deadline
BRIEF_KEEP_ALIVE = "300ms"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for module in (reader, connection_module, incoming_module):
        monkeypatch.setattr(module, "HEAD_TIMEOUT", BRIEF)
    for name in ("KEEP_ALIVE_GRACE", "_LINGER_TIMEOUT"):
        monkeypatch.setattr(connection_module, name, BRIEF)


async def busy(served: Served) -> Caller:
    """A connection with an event that waits for its confirm."""
    served.publisher.gate.clear()
    caller = await served.call()
    caller.send(webhook("1"))
    await served.until_publishing()
    return caller


async def end(served: Served) -> asyncio.Task[None]:
    """Begin to end the gateway, as a signal does; done when it knows."""
    ending = asyncio.create_task(served.stop())
    await served.until(lambda: served.listener.is_closing, "the gateway is ending")
    return ending


# The order


async def test_pipelined_requests_are_answered_in_their_order(serve: Serve) -> None:
    """Though the first one takes longest."""
    served = await serve()
    caller = await busy(served)
    caller.send(LIVE, webhook("2"), webhook("3", line=UNKNOWN))
    await served.until(lambda: len(served.connection.queue) == 3, "they wait")
    served.publisher.gate.set()

    replies = [await caller.reply() for _ in range(4)]
    assert [reply.word for reply in replies] == [
        (202, "accepted"),
        (200, "live"),
        (202, "accepted"),
        (404, "unknown_provider"),
    ]
    assert [reply.is_last for reply in replies] == [False, False, False, True]
    assert await caller.rest() == b""
    assert served.published == ["1", "2"]


async def test_nothing_is_read_while_requests_wait(serve: Serve) -> None:
    """A sender that does not wait for answers is held up by its own connection, and read again afterwards."""
    served = await serve()
    caller, other = await busy(served), await served.call()
    connection = _connection_of(served, "1")
    caller.send(webhook("2"))
    await served.until(lambda: len(connection.queue) == 1, "the second one waits")
    assert not connection.transport.is_reading()
    caller.send(webhook("3"))
    for _ in range(3):
        assert (await other.ask(LIVE)).status == 200
    assert len(connection.queue) == 1
    served.publisher.gate.set()

    assert [(await caller.reply()).word for _ in range(3)] == [(202, "accepted")] * 3
    assert connection.transport.is_reading()
    assert served.published == ["1", "2", "3"]


async def test_a_pipeline_is_bounded(serve: Serve) -> None:
    """A hundred wait behind one; the next is refused, and what is behind that is not looked at."""
    served = await serve()
    caller = await busy(served)
    caller.send(*(webhook(str(number)) for number in range(2, 106)))
    await served.until(lambda: served.connection.stopped_reading, "one too many came")
    served.publisher.gate.set()

    replies = [await caller.reply() for _ in range(102)]
    assert [reply.word for reply in replies] == [(202, "accepted")] * 101 + [(503, "overloaded")]
    assert [reply.is_last for reply in replies] == [False] * 101 + [True]
    assert await caller.rest() == b""
    assert served.outcomes == {"accepted": 101, "overloaded": 1}
    assert {line["provider"] for line in served.logs if line["event"] == "request"} == {"github"}


@pytest.mark.parametrize("is_behind", [False, True], ids=["first", "behind another"])
@pytest.mark.parametrize(
    ("last", "word"),
    [
        (webhook("2", line=UNKNOWN), (404, "unknown_provider")),
        (webhook("2", b"{}", b"Host: elsewhere"), (400, "malformed_request")),
        (webhook("2", b"{}", CLOSE), (202, "accepted")),
        (webhook("2", line=b"POST /webhooks/github HTTP/1.0"), (202, "accepted")),
        (webhook("2", b"{}", *UPGRADE), (202, "accepted")),
    ],
    ids=["unknown", "malformed", "close", "1.0", "upgrade"],
)
async def test_nothing_behind_the_last_request_is_looked_at(
    serve: Serve, is_behind: bool, last: bytes, word: tuple[int, str]
) -> None:
    """What is odd in its head may be odd in where it ends, and a sender that says close means it."""
    served = await serve()
    caller = await busy(served) if is_behind else await served.call()
    caller.send(last, webhook("3"))
    if is_behind:
        await served.until(lambda: served.connection.stopped_reading, "the last one came")
        served.publisher.gate.set()
        assert (await caller.reply()).word == (202, "accepted")
    reply = await caller.reply()

    assert (reply.word, reply.is_last) == (word, True)
    assert await caller.rest() == b""
    assert "3" not in served.published
    assert sum(served.outcomes.values()) == 1 + is_behind


async def test_a_request_that_is_refused_on_its_head_does_not_wait_for_its_body(serve: Serve) -> None:
    """Behind another one either."""
    served = await serve()
    caller = await busy(served)
    caller.send(webhook("2", b"x" * 1000, line=UNKNOWN)[:-999])
    await served.until(lambda: served.connection.stopped_reading, "it was refused")
    served.publisher.gate.set()

    assert (await caller.reply()).word == (202, "accepted")
    assert (await caller.reply()).word == (404, "unknown_provider")
    assert await caller.rest() == b""


async def test_one_segment_may_end_a_request_and_begin_another(serve: Serve) -> None:
    """However long it is, it is no long head."""
    served = await serve()
    caller = await served.call()
    first, second = webhook("1", b'{"zen":"%b"}' % (b"x" * 100_000)), webhook("2")
    caller.send(first[:20])
    await served.until(lambda: served.listener.connections and served.connection.is_in_head, "it began")
    caller.send(first[20:], second[:20])
    assert (await caller.reply()).word == (202, "accepted")
    caller.send(second[20:])

    assert (await caller.reply()).word == (202, "accepted")


# Senders that stop or leave


def _connection_of(served: Served, event_id: str) -> Connection:
    return next(
        connection
        for connection in served.connections
        if connection.busy and connection.busy.record and connection.busy.record.event_id == event_id
    )


async def clog(served: Served, requests: int) -> Caller:
    """A connection whose sender does not read the answers to so many requests."""
    caller = await served.call()
    assert (await caller.ask(LIVE)).status == 200
    own = served.connection.transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    caller.stop_reading()
    caller.send(webhook("1").replace(b"sha256=", b"sha256=x") * requests)
    await served.until(lambda: served.connection.is_unwritable, "the answers pile up")
    return caller


async def test_a_sender_that_does_not_read_answers_is_not_read_from(serve: Serve) -> None:
    """What piles up is what one read brought; when it reads again, everything goes on."""
    served = await serve()
    caller = await clog(served, 20_000)
    transport = served.connection.transport
    assert not transport.is_reading()
    assert transport.get_write_buffer_size() < 4_000_000
    assert sum(served.outcomes.values()) < 10_000
    caller.read_on()

    for _ in range(20_000):
        assert (await caller.reply()).status == 401
    assert (await caller.ask(webhook("2"))).word == (202, "accepted")


@pytest.mark.usefixtures("brief")
async def test_a_sender_that_never_reads_its_answers_is_dropped(serve: Serve) -> None:
    """Closing waits for what is to be written, and that could be for ever."""
    served = await serve(server={"keep_alive": BRIEF_KEEP_ALIVE})
    await clog(served, 20_000)

    await served.until_alone()


async def test_who_has_sent_all_may_close_its_half_and_gets_the_answer(serve: Serve) -> None:
    """As some senders do."""
    served = await serve()
    caller = await busy(served)
    caller.end()
    await served.until(lambda: served.connection.stopped_reading, "the end was seen")
    served.publisher.gate.set()
    reply = await caller.reply()

    assert (reply.word, reply.is_last) == ((202, "accepted"), True)
    assert await caller.rest() == b""


@pytest.mark.parametrize("leave", [Caller.end, Caller.leave, Caller.reset])
async def test_a_sender_that_leaves_in_the_middle_of_its_body_is_counted_once(
    serve: Serve, leave: Any
) -> None:
    """As disconnected; nobody is there to be answered."""
    served = await serve()
    caller = await served.call()
    caller.send(webhook()[:-1])
    await served.until(lambda: served.listener.buffered, "a part of the body is there")
    leave(caller)
    await served.until_alone()

    assert served.outcomes == {"client_disconnected": 1}
    assert served.published == []


async def test_an_event_whose_sender_leaves_before_the_answer_is_published(serve: Serve) -> None:
    """The body was there, so the event is; the next attempt is told that it is a duplicate."""
    served = await serve()
    caller = await busy(served)
    caller.reset()
    await served.until_alone()
    served.publisher.gate.set()
    await served.until(lambda: served.published, "it was published")

    assert (await (await served.call()).ask(webhook("1"))).word == (200, "duplicate")
    assert served.outcomes == {"accepted": 1, "duplicate": 1}


# Deadlines


async def test_a_slow_publish_is_answered_at_the_deadline_and_goes_on(serve: Serve) -> None:
    """One outcome; its body is counted as long as it is held; the next attempt is a duplicate."""
    served = await serve(server={"deadline": "300ms"})
    caller = await busy(served)
    reply = await caller.reply()
    assert (reply.word, reply.is_last) == ((503, "overloaded"), True)
    assert await caller.rest() == b""
    assert served.listener.buffered > 0
    assert served.listener.in_flight == 1
    assert served.outcomes == {"overloaded": 1}
    served.publisher.gate.set()
    await served.until(lambda: served.claims.value("1") == b"done", "the event is done")

    late = [line for line in served.logs if line["event"] == "finished late"]
    assert [(line["outcome"], line["event_id"]) for line in late] == [("accepted", "1")]
    assert (await (await served.call()).ask(webhook("1"))).word == (200, "duplicate")
    assert served.outcomes == {"overloaded": 1, "duplicate": 1}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    ("sent", "status", "outcomes"),
    [
        (b"", None, {}),
        (b"\r\n\r\n", None, {}),
        (b"POST /webh", 408, {"request_timeout": 1}),
        (webhook()[:60], 408, {"request_timeout": 1}),
        (webhook()[:-1], 408, {"request_timeout": 1}),
        (webhook("1", b"{}", framing=b"Transfer-Encoding: chunked") + b"1\r\n", 408, {"request_timeout": 1}),
    ],
    ids=["nothing", "blank lines", "line", "head", "body", "chunk"],
)
async def test_what_does_not_arrive_in_time_is_not_waited_for(
    serve: Serve, sent: bytes, status: int | None, outcomes: dict[str, int]
) -> None:
    """A request that has begun is told so; a connection on which nothing was asked is closed."""
    served = await serve(server={"deadline": "600ms"})
    caller = await served.call()
    caller.send(sent)
    if status:
        assert (await caller.reply()).status == status

    assert await caller.rest() == b""
    assert served.outcomes == outcomes


@pytest.mark.usefixtures("brief")
async def test_a_connection_is_not_kept_open_for_ever(serve: Serve) -> None:
    """Once it is idle for long enough it is closed, without a word."""
    served = await serve(server={"keep_alive": BRIEF_KEEP_ALIVE})
    caller = await served.call()
    assert not (await caller.ask(webhook())).is_last

    assert await caller.rest() == b""
    assert served.outcomes == {"accepted": 1}


@pytest.mark.usefixtures("brief")
async def test_the_application_has_a_deadline_on_a_connection_that_is_kept_open(serve: Serve) -> None:
    """Not the time that an idle connection has, which is far longer."""
    released = asyncio.Event()

    async def hang(*_: Any) -> None:
        await released.wait()

    served = await serve(server={"keep_alive": "90s"})
    caller = await served.call()
    await caller.ask(LIVE)
    served.listener.app = hang
    caller.send(LIVE)

    assert await caller.rest() == b""
    released.set()


async def test_a_connection_is_open_for_longer_than_it_says(serve: Serve) -> None:
    """A sender that goes by the time that it is told never sends into a connection that ends."""
    served = await serve(server={"keep_alive": "90s"})
    caller = await served.call()
    reply = await caller.ask(webhook())
    due_in = served.connection.due_at - asyncio.get_running_loop().time()

    assert reply.fields["keep-alive"] == "timeout=90"
    assert 90 < due_in <= 91


async def test_by_default_a_connection_is_open_for_longer_than_with_a_balancer(serve: Serve) -> None:
    """AWS's and nginx's end theirs after 60 s; the two listeners are alike."""
    served = await serve()
    caller = await served.call()
    await caller.ask(webhook())

    assert served.connection.due_at - asyncio.get_running_loop().time() > 70
    assert [listener.limits.keep_alive for listener in served.listeners] == [75, 75]


@pytest.mark.parametrize("end", [Connection.expire, Connection.shutdown], ids=["idle", "end of the process"])
async def test_a_request_that_arrives_as_its_connection_ends_is_answered(serve: Serve, end: Any) -> None:
    """It is in the socket, though the event loop has not read it: closing now would reset it."""
    served = await serve()
    caller = await served.call()
    await caller.ask(webhook("1"))
    connection = served.connection
    caller.push(webhook("2"))
    end(connection)

    assert (await caller.reply()).word in {(202, "accepted"), (503, "shutting_down")}


async def test_a_bug_while_one_connection_expires_spares_the_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their deadlines hold, and it is logged."""
    served = await serve(server={"deadline": "300ms"})
    callers = [await served.call() for _ in range(2)]
    for caller in callers:
        caller.send(webhook()[:-1])
    await served.until(lambda: served.listener.buffered, "the bodies began")
    expire = Connection.expire
    broken: list[Connection] = []

    def fail_once(connection: Connection) -> None:
        if not broken:
            broken.append(connection)
            raise RuntimeError("a bug")
        expire(connection)

    monkeypatch.setattr(Connection, "expire", fail_once)
    rests = [await caller.rest() for caller in callers]

    assert sorted(rest[:12] for rest in rests) == [b"", b"HTTP/1.1 408"]
    assert [line["event"] for line in served.logs].count("internal error") == 1


# The protocol


async def test_who_asks_whether_to_go_on_is_told_so(serve: Serve) -> None:
    """Unless its head is refused, or it speaks HTTP/1.0 and would take that for the answer."""
    served = await serve()
    caller = await served.call()
    request = webhook("1", b"{}", b"Expect: 100-continue")
    caller.send(request[:-2])
    assert await caller.interim() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await caller.ask(request[-2:])).word == (202, "accepted")
    caller.send(webhook("2", b"{}", b"Expect: 100-continue", line=UNKNOWN)[:-2])
    assert (await caller.reply()).word == (404, "unknown_provider")

    old = await served.call()
    request = webhook("3", b"{}", b"Expect: 100-continue", line=b"POST /webhooks/github HTTP/1.0")
    old.send(request[:-1])
    await served.until(lambda: served.listener.buffered, "its body began")
    assert (await old.ask(request[-1:])).word == (202, "accepted")


@pytest.mark.parametrize("framing", [None, b"Transfer-Encoding: chunked"], ids=["length", "chunked"])
@pytest.mark.parametrize("cuts", [(), (-40,), (-40, -20), (-70, -3)], ids=str)
async def test_an_upgrade_is_declined_and_the_body_read(
    serve: Serve, framing: bytes | None, cuts: tuple[int, ...]
) -> None:
    """Wherever its segments end; the answer is the last one."""
    served = await serve()
    body = b'{"zen":"It is not fully shipped until it is fast."}'
    request = webhook("1", body, *UPGRADE, framing=framing)
    if framing:
        request += chunked(body, 20) + b"\r\n"
    caller = await served.call()
    edges = (0, *(len(request) + cut for cut in cuts), len(request))
    for start, stop in pairwise(edges):
        caller.send(request[start:stop])
        await _until_read(served)
    reply = await caller.reply()

    assert (reply.word, reply.is_last) == ((202, "accepted"), True)
    assert await caller.rest() == b""
    assert served.publisher.messages[0].body.endswith(body + b"}")


async def _until_read(served: Served) -> None:
    """Another request's round trip, in which the gateway reads what was written before."""
    for _ in range(2):
        other = await served.call()
        assert (await other.ask(LIVE)).status == 200
        other.leave()


@pytest.mark.parametrize(
    ("version", "fields", "stays"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: keep-alive",), True),
        (b"1.1", (CLOSE,), False),
        (b"1.1", (b"Connection: Close",), False),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: keep-alive",), False),
    ],
    ids=str,
)
async def test_a_connection_stays_open_as_its_sender_wants(
    serve: Serve, version: bytes, fields: tuple[bytes, ...], stays: bool
) -> None:
    """HTTP/1.0 has one request a connection here."""
    served = await serve()
    caller = await served.call()
    line = b"POST /webhooks/github HTTP/" + version
    reply = await caller.ask(webhook("1", b"{}", *fields, line=line))

    assert reply.word == (202, "accepted")
    assert reply.is_last is not stays
    if stays:
        assert (await caller.ask(webhook("2"))).word == (202, "accepted")
    else:
        assert await caller.rest() == b""


async def test_the_answer_to_head_has_no_body(serve: Serve) -> None:
    """But says how long it would be; the connection serves on."""
    served = await serve()
    caller = await served.call()
    caller.send(LIVE.replace(b"GET", b"HEAD"))
    reply = await caller.reply(to_head=True)
    assert reply.status == 200
    assert int(reply.fields["content-length"]) > 0
    assert (await caller.ask(LIVE)).word == (200, "live")
    caller.send(b"HEAD /webhooks/github HTTP/1.1\r\nHost: gateway.test\r\n\r\n")

    assert (await caller.reply(to_head=True)).status == 405
    assert await caller.rest() == b""


async def test_a_body_may_come_in_small_chunks_but_not_in_endless_trailers(serve: Serve) -> None:
    """The parser keeps a trailer until it ends."""
    served = await serve()
    body = b'{"zen":"%b"}' % (b"x" * 2_000)
    request = webhook("1", body, framing=b"Transfer-Encoding: chunked") + chunked(body, 1)
    caller = await served.call()
    assert (await caller.ask(request, b"X-Trailer: a\r\n\r\n")).word == (202, "accepted")
    caller.send(request, b"X-Trailer: ")
    for _ in range(200):
        caller.send(b"a" * 10_000)

    assert (await caller.reply()).word == (431, "headers_too_large")
    assert served.outcomes == {"accepted": 1, "headers_too_large": 1}


@pytest.mark.usefixtures("brief")
async def test_a_sender_can_read_why_it_is_refused_while_it_still_sends(serve: Serve) -> None:
    """A reset would overtake the answer; but nobody is read from for ever."""
    served = await serve()
    caller = await served.call()
    head = b"POST /webhooks/nobody HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 100000000\r\n\r\n"
    caller.send(head, b"x" * 1_000_000)
    reply = await caller.reply()
    assert (reply.word, reply.is_last) == ((404, "unknown_provider"), True)

    def is_gone() -> bool:
        caller.send(b"x" * 1000)
        return not served.listener.connections

    await served.until(is_gone, "the connection is gone though its sender goes on")
    assert served.outcomes == {"unknown_provider": 1}


# Limits


async def test_connections_are_limited(serve: Serve) -> None:
    """Where all have a request under way, one too many is told so, and one far too many is dropped."""
    served = await serve(server={"max_connections": 2})
    served.publisher.gate.clear()
    kept = [await served.call() for _ in range(2)]
    for number, caller in enumerate(kept):
        caller.send(webhook(str(number)))
    await served.until_publishing(2)
    told = [await served.call() for _ in range(2)]
    for caller in told:
        reply = await caller.reply()
        assert (reply.word, reply.is_last) == ((503, "overloaded"), True)
        assert reply.fields["retry-after"] == "5"
    served.publisher.gate.set()

    assert [(await caller.reply()).word for caller in kept] == [(202, "accepted")] * 2
    assert served.outcomes == {"overloaded": 2, "accepted": 2}


async def test_of_a_crowd_those_go_that_have_asked_nothing(serve: Serve) -> None:
    """The one that has waited longest first, be it idle, silent or in the middle of a head; never a request."""
    served = await serve(server={"max_connections": 4})
    served.publisher.gate.clear()
    asking, idle, silent, half = [await served.call() for _ in range(4)]
    asking.send(webhook("1"))
    await served.until_publishing()
    assert (await idle.ask(LIVE)).status == 200
    for connection in served.connections:
        connection.since -= 1.0 if connection.since == connection.due_at - HEAD_TIMEOUT else 0.5
    half.send(webhook("2")[:40])
    await served.until(lambda: any(each.is_in_head for each in served.connections), "half a head")
    newcomers = []
    for each, farewell in ((silent, b""), (idle, b""), (half, b"HTTP/1.1 503")):
        newcomers.append(await served.call())
        newcomers[-1].send(webhook(f"new-{len(newcomers)}"))
        await served.until_publishing(1 + len(newcomers))
        assert (await each.rest())[:12] == farewell
    served.publisher.gate.set()

    assert [(await each.reply()).word for each in (asking, *newcomers)] == [(202, "accepted")] * 4
    assert served.outcomes == {"accepted": 4, "overloaded": 1}


async def test_an_idle_connection_whose_next_request_has_arrived_does_not_go(serve: Serve) -> None:
    """The one behind it goes instead."""
    served = await serve(server={"max_connections": 2})
    first = await served.call()
    assert (await first.ask(LIVE)).status == 200
    served.connection.since -= 1.0
    second = await served.call()
    assert (await second.ask(LIVE)).status == 200
    first.push(webhook("1"))
    assert served.listener.make_room(asyncio.get_running_loop().time())

    assert (await first.reply()).word == (202, "accepted")
    assert await second.rest() == b""


async def test_half_heads_of_a_crowd_keep_nobody_out(serve: Serve) -> None:
    """Ten for each event, from one address, and many more than there may be connections."""
    served = await serve(server={"max_connections": 20})
    words = []
    for number in range(40):
        for crowding in [await served.call() for _ in range(10)]:
            crowding.send(webhook()[:60])
        words.append((await (await served.call()).ask(webhook(str(number)))).word)

    assert words == [(202, "accepted")] * 40
    assert len(served.listener.connections) <= 20


async def test_bodies_that_take_long_make_room_at_last(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that has only just begun does not."""
    served = await serve(server={"max_connections": 2})
    for caller in [await served.call() for _ in range(2)]:
        caller.send(webhook()[:-1])
    connections = served.connections
    await served.until(lambda: [each for each in connections if each.incoming] == connections, "they began")
    assert (await (await served.call()).reply()).word == (503, "overloaded")
    monkeypatch.setattr(connection_module, "_SLOW_BODY", 0.0)
    await served.until(lambda: len(served.listener.connections) == 2, "the refused one is gone")

    assert (await (await served.call()).ask(webhook("1"))).word == (202, "accepted")
    assert served.outcomes == {"overloaded": 2, "accepted": 1}
    assert len(served.listener.connections) == 2


async def test_one_client_may_have_fewer_connections(serve: Serve) -> None:
    """Unless it is a proxy, which brings many clients."""
    served = await serve(server={"max_connections_per_client": 2, "max_connections": 2})
    kept = [await served.call() for _ in range(2)]
    assert [(await caller.ask(LIVE)).status for caller in kept] == [200, 200]
    beyond = await served.call()
    assert (await beyond.reply()).word == (503, "overloaded")
    beyond.leave()
    assert [(await caller.ask(LIVE)).status for caller in kept] == [200, 200]
    kept[0].leave()
    await served.until(lambda: len(served.listener.connections) == 1, "there is room")
    assert (await (await served.call()).ask(webhook())).word == (202, "accepted")

    proxied = await serve(server={"max_connections_per_client": 2, "trusted_proxies": ["127.0.0.0/8"]})
    callers = [await proxied.call() for _ in range(5)]
    assert [(await caller.ask(LIVE)).status for caller in callers] == [200] * 5


async def test_events_in_flight_are_limited(serve: Serve) -> None:
    """However many come at once; afterwards there is room again."""
    served = await serve(server={"max_in_flight": 2})
    served.publisher.gate.clear()
    callers = [await served.call() for _ in range(8)]
    for number, caller in enumerate(callers):
        caller.send(webhook(str(number)))
    await served.until(lambda: served.outcomes["overloaded"] == 6, "six are refused")
    assert served.publisher.waiting == 2
    assert served.listener.in_flight == 2
    served.publisher.gate.set()
    replies = [await caller.reply() for caller in callers]

    assert sorted(reply.word for reply in replies) == [(202, "accepted")] * 2 + [(503, "overloaded")] * 6
    assert not any(reply.is_last for reply in replies)
    assert (await callers[0].ask(webhook("again"))).word == (202, "accepted")


async def test_requests_that_nobody_has_proven_take_no_room_from_events(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that wait for a key have a number of their own."""
    served = await serve(server={"max_in_flight": 8})
    gate = asyncio.Event()
    examine = Receiver.examine

    class WaitForKey(Job):
        width = 0

        async def run(self) -> Response:
            await gate.wait()
            raise Overloaded("no key")

    def need_key(receiver: Receiver, context: RequestContext, body: bytes) -> Job | None:
        return WaitForKey() if b"key" in body else examine(receiver, context, body)

    monkeypatch.setattr(Receiver, "examine", need_key)
    strangers = [await served.call() for _ in range(20)]
    for stranger in strangers:
        stranger.send(webhook("x", b'{"key":"1"}'))
    await served.until(lambda: served.outcomes["overloaded"] == 18, "most are refused")
    assert served.listener.unproven == 2

    assert (await (await served.call()).ask(webhook("1"))).word == (202, "accepted")
    gate.set()
    assert [(await stranger.reply()).status for stranger in strangers] == [503] * 20
    assert served.listener.unproven == 0


async def test_bytes_of_bodies_are_limited(serve: Serve) -> None:
    """Those that wait and those that are published count together; what is refused makes room at once."""
    served = await serve(server={"max_buffered": "10KiB"})
    served.publisher.gate.clear()
    body = b'{"zen":"%b"}' % (b"x" * 6_000)
    first, second, third = [await served.call() for _ in range(3)]
    first.send(webhook("1", body))
    await served.until_publishing()
    held = served.listener.buffered
    assert len(body) < held < len(body) + 500

    reply = await second.ask(webhook("2", body))
    assert reply.word == (503, "overloaded")
    assert served.listener.buffered == held
    third.send(webhook("3", body[:3000])[:-1])
    await served.until(lambda: served.listener.buffered > held, "a smaller one is taken")
    served.publisher.gate.set()
    assert (await first.reply()).word == (202, "accepted")
    assert 2999 < served.listener.buffered < 2999 + 500


@pytest.fixture
def traced() -> Iterator[None]:
    """Allocations are counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("size", [80, 4_000])
async def test_memory_is_counted_as_it_is(serve: Serve, size: int) -> None:
    """Whatever the chunks that bodies come in, and whatever the fields of heads."""
    served = await serve()
    head = webhook("1", framing=b"Transfer-Encoding: chunked")
    bodies = [head + chunked(b"x" * 400_000, size)[:-5] for _ in range(10)]
    heads = [webhook(framing=b"a:b\r\n" * 8_000)[:-6] for _ in range(10)]
    callers = [await served.call() for _ in range(20)]
    counted = served.listener.buffered
    before, _ = tracemalloc.get_traced_memory()
    for caller, sent in zip(callers, bodies + heads, strict=True):
        caller.send(sent)
        await caller.drained()
    await served.until(lambda: served.listener.buffered >= 4_400_000, "all is there")
    _, peak = tracemalloc.get_traced_memory()

    assert peak - before < 1.25 * (served.listener.buffered - counted)


async def test_chunks_that_cost_more_than_they_bring_are_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some thousand of them, however many a segment has, so that others have their turn."""
    served = await serve()
    parts: list[bytes] = []
    add = Incoming.add

    def count(incoming: Incoming, part: bytes) -> None:
        parts.append(part)
        add(incoming, part)

    monkeypatch.setattr(Incoming, "add", count)
    caller = await served.call()
    caller.send(webhook("1", framing=b"Transfer-Encoding: chunked"), chunked(b"x" * 1_000_000, 2))

    assert (await caller.reply()).word == (431, "headers_too_large")
    assert len(parts) < 30_000


@pytest.mark.usefixtures("traced")
def test_a_body_in_parts_is_given_away_without_a_copy() -> None:
    """Or a large one would be in memory twice, and keep others waiting."""
    incoming = Incoming(NO_HEAD, None, 0.0, stays_open=True)
    part = b"x" * 64 * 1024
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(160):
        incoming.add(part)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    body = incoming.take_body()
    _, peak = tracemalloc.get_traced_memory()

    assert body == part * 160
    assert held - before < 1.2 * len(body)
    assert peak <= held + 10_000


@pytest.mark.parametrize("parts", [[], [b"a"], [b"a", b"b"], [b"", b"a", b"", b"bc", b""]], ids=len)
def test_a_body_is_its_parts(parts: list[bytes]) -> None:
    """However many there are."""
    incoming = Incoming(NO_HEAD, None, 0.0, stays_open=True)
    for part in parts:
        incoming.add(part)

    assert incoming.size == len(b"".join(parts))
    assert incoming.take_body() == b"".join(parts)
    assert incoming.forget() == len(b"".join(parts))
    assert incoming.forget() == 0


# The end


async def test_connections_that_are_idle_end_with_the_gateway(serve: Serve) -> None:
    """At once, without a word."""
    served = await serve()
    idle, used = await served.call(), await served.call()
    await used.ask(webhook())
    ending = await end(served)

    assert [await idle.rest(), await used.rest()] == [b"", b""]
    await ending


async def test_what_is_under_way_is_finished_and_what_is_new_is_refused(serve: Serve) -> None:
    """The last answer says that it is the last."""
    served = await serve()
    caller, alone = await busy(served), await served.call()
    alone.send(webhook("2"))
    await served.until_publishing(2)
    ending = await end(served)
    caller.send(webhook("3"))
    await served.until(lambda: served.outcomes["shutting_down"], "the new one is refused")
    served.publisher.gate.set()

    replies = [await alone.reply(), await caller.reply(), await caller.reply()]
    assert [(*reply.word, reply.is_last) for reply in replies] == [
        (202, "accepted", True),
        (202, "accepted", False),
        (503, "shutting_down", True),
    ]
    assert [await alone.rest(), await caller.rest()] == [b"", b""]
    await ending
    assert served.published == ["1", "2"]


async def test_a_body_that_has_begun_may_be_finished_or_ends_by_its_deadline(serve: Serve) -> None:
    """The gateway ends all the same."""
    served = await serve(server={"deadline": "1s"})
    finished, stuck = await served.call(), await served.call()
    request = webhook("1")
    for caller in (finished, stuck):
        caller.send(request[:-1])
    await served.until(lambda: served.listener.buffered > 2 * 28 + 200, "both bodies began")
    ending = await end(served)
    replies = [await finished.ask(request[-1:]), await stuck.reply()]

    assert [(*reply.word, reply.is_last) for reply in replies] == [
        (202, "accepted", True),
        (408, "request_timeout", True),
    ]
    await asyncio.wait_for(ending, 10)


# Bugs


async def test_a_bug_of_a_collaborator_costs_one_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the publisher, or of the application for health; the connection serves on."""
    served = await serve()
    caller = await served.call()
    served.publisher.bug = RuntimeError("a bug")
    reply = await caller.ask(webhook())
    assert (reply.word, reply.is_last) == ((500, "internal"), False)
    served.publisher.bug = None
    assert (await caller.ask(webhook())).word == (202, "accepted")

    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as context:
        context.setattr(served.listener, "app", fail)
        assert (await caller.ask(LIVE)).status == 500
    assert (await caller.ask(LIVE)).status == 200
    assert [line["event"] for line in served.logs].count("internal error") == 2


@pytest.mark.parametrize("method", ["open", "examine"])
async def test_a_bug_in_the_protocol_is_no_fault_of_the_sender(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """500 and a line with its traceback, not 400; the connection ends, the next one serves."""
    served = await serve()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as context:
        context.setattr(Receiver, method, fail)
        caller = await served.call()
        reply = await caller.ask(webhook())
        assert (reply.word, reply.is_last) == ((500, "internal"), True)
        assert await caller.rest() == b""

    assert [line["log_level"] for line in served.logs if line["event"] == "internal error"] == ["error"]
    assert served.outcomes == {"internal": 1}
    assert (await (await served.call()).ask(webhook())).word == (202, "accepted")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed but by its last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "sent", [webhook(), webhook("1", b"{}", *UPGRADE), webhook()[:-1], b"\x00", b""], ids=range(5)
)
async def test_a_connection_that_is_over_is_gone_from_memory(serve: Serve, sent: bytes) -> None:
    """Without the help of the collector, which runs rarely here."""
    served = await serve()
    caller = await served.call()
    await served.until(lambda: served.listener.connections, "it is there")
    connection = weakref.ref(served.connection)
    caller.send(sent)
    await _until_read(served)
    caller.leave()
    await served.until_alone()

    await served.until(lambda: connection() is None, "nothing refers to it")
