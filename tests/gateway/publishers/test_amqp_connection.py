"""The publishing connection, frame by frame, in whatever pieces the bytes come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import body as amqp_body
from pamqp import commands, frame, header, heartbeat
from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import ConfirmOverdue, PublishUnavailable
from gateway.publishers.amqp_connection import PublishConnection
from gateway.publishers.renewal import Renewal

SETTLED = "confirmed"
OPEN = "open"


class Clock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_gone = False

    @override
    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing to limit."""

    @override
    def close(self) -> None:
        self.is_gone = True

    @override
    def abort(self) -> None:
        self.is_gone = True


def message(number: int | str = 1, body: bytes = b"{}") -> Message:
    """Return a message that its number identifies."""
    return Message("webhooks", "github.push", f"id-{number}", "com.github.push", {"provider": "github"}, body)


def opened(
    timeout: float = 5.0, clock: Callable[[], float] | None = None, renewal: Renewal | None = None
) -> tuple[PublishConnection, FakeTransport]:
    """Return a connection as it is once its channel is open."""
    connection = PublishConnection(timeout, clock=clock, renewal=renewal)
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport


def state_of(confirm: asyncio.Future[None]) -> str:
    """Return the state of a publish in a word."""
    if not confirm.done():
        return OPEN
    return CANCELLED if confirm.cancelled() else str(confirm.exception() or SETTLED)


def ack(tag: int, *, multiple: bool = False) -> bytes:
    """Return the broker's confirm."""
    return frame.marshal(commands.Basic.Ack(tag, multiple), 1)


def nack(tag: int, *, multiple: bool = False) -> bytes:
    """Return the broker's refusal."""
    return frame.marshal(commands.Basic.Nack(tag, multiple), 1)


def returned(number: int | str, body: bytes = b"{}") -> bytes:
    """Return the frames of a returned message."""
    properties = commands.Basic.Properties(message_id=f"id-{number}")
    return b"".join(
        (
            frame.marshal(commands.Basic.Return(312, "NO_ROUTE", "webhooks", "github.push"), 1),
            frame.marshal(header.ContentHeader(0, len(body), properties), 1),
            frame.marshal(amqp_body.ContentBody(body), 1) if body else b"",
        )
    )


HEARTBEAT = frame.marshal(heartbeat.Heartbeat(), 0)
REFUSED = "refused by the broker (nack)"
CANCELLED = "cancelled"
RETURNED = "returned by the broker: NO_ROUTE"


async def outcome(count: int, pieces: Iterable[bytes]) -> list[str]:
    """Return the states of ``count`` publishes after the broker's bytes came in these pieces."""
    connection, _ = opened()
    confirms = [connection.publish(message(number)) for number in range(1, count + 1)]
    for piece in pieces:
        connection.data_received(piece)
    return [*map(state_of, confirms), connection.blocked, str(connection.unconfirmed)]


def byte_by_byte(data: bytes) -> list[bytes]:
    """The smallest pieces there are."""
    return [data[position : position + 1] for position in range(len(data))]


def whole(data: bytes) -> list[bytes]:
    """The largest piece there is."""
    return [data]


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize(
    ("received", "expected"),
    [
        pytest.param(ack(1), [SETTLED, OPEN, OPEN, OPEN, "", "3"], id="one ack"),
        pytest.param(ack(3, multiple=True), [SETTLED, SETTLED, SETTLED, OPEN, "", "1"], id="multiple"),
        pytest.param(ack(4) + ack(2), [OPEN, SETTLED, OPEN, SETTLED, "", "2"], id="out of order"),
        pytest.param(
            ack(2) + ack(4, multiple=True),
            [SETTLED, SETTLED, SETTLED, SETTLED, "", "0"],
            id="ack, then multiple",
        ),
        pytest.param(nack(2), [OPEN, REFUSED, OPEN, OPEN, "", "3"], id="one nack"),
        pytest.param(
            ack(1) + nack(3, multiple=True), [SETTLED, REFUSED, REFUSED, OPEN, "", "1"], id="nack multiple"
        ),
        pytest.param(
            ack(3) + nack(4, multiple=True) + HEARTBEAT,
            [REFUSED, REFUSED, SETTLED, REFUSED, "", "0"],
            id="a late nack takes nothing back",
        ),
        pytest.param(
            returned(2) + ack(4, multiple=True), [SETTLED, RETURNED, SETTLED, SETTLED, "", "0"], id="returned"
        ),
        pytest.param(
            returned(1, b"x" * 300) + HEARTBEAT + returned(3, b"") + ack(1) + ack(3),
            [RETURNED, OPEN, RETURNED, OPEN, "", "2"],
            id="returned with and without a body",
        ),
        pytest.param(ack(1) + ack(1) + ack(9), [SETTLED, OPEN, OPEN, OPEN, "", "3"], id="unknown tags"),
        pytest.param(ack(0x0102, multiple=True), [SETTLED] * 4 + ["", "0"], id="a tag beyond one byte"),
        pytest.param(
            frame.marshal(commands.Connection.Blocked("low on memory"), 0),
            [OPEN, OPEN, OPEN, OPEN, "the broker takes no messages: low on memory", "4"],
            id="blocked",
        ),
        pytest.param(
            frame.marshal(commands.Connection.Blocked("low on disk"), 0)
            + frame.marshal(commands.Connection.Unblocked(), 0)
            + ack(1),
            [SETTLED, OPEN, OPEN, OPEN, "", "3"],
            id="unblocked",
        ),
    ],
)
async def test_answers_of_the_broker_settle_the_right_publishes(
    received: bytes, expected: list[str], cut: Callable[[bytes], list[bytes]]
) -> None:
    """By delivery tag, ``multiple`` included, in whatever pieces they come."""
    assert expected == await outcome(4, cut(received))


ANSWERS = st.one_of(
    st.builds(ack, st.integers(1, 12), multiple=st.booleans()),
    st.builds(nack, st.integers(1, 12), multiple=st.booleans()),
    st.builds(returned, st.integers(1, 10), st.binary(max_size=40)),
    st.just(HEARTBEAT),
    st.just(frame.marshal(commands.Connection.Blocked("low on memory"), 0)),
    st.just(frame.marshal(commands.Connection.Unblocked(), 0)),
)


@given(answers=st.lists(ANSWERS, max_size=12), data=st.data())
@settings(max_examples=80, deadline=None)
def test_no_split_of_the_bytes_changes_what_they_mean(answers: list[bytes], data: st.DataObject) -> None:
    """TCP has no messages; a frame may come in any number of pieces, or many frames in one."""
    received = b"".join(answers)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(received)), max_size=8)))
    pieces = [received[start:end] for start, end in zip([0, *cuts], [*cuts, len(received)], strict=True)]

    expected = asyncio.run(outcome(10, answers))
    assert expected == asyncio.run(outcome(10, pieces))
    assert expected == asyncio.run(outcome(10, byte_by_byte(received)))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.booleans()), max_size=20))
@settings(max_examples=80, deadline=None)
def test_the_first_answer_to_a_publish_counts(answers: list[tuple[bool, int, bool]]) -> None:
    """Against a model that asks of every publish: which was the first answer that covers its tag?"""
    expected = [
        next(
            (
                SETTLED if is_ack else REFUSED
                for is_ack, tag, multiple in answers
                if tag == number or (multiple and tag > number)
            ),
            OPEN,
        )
        for number in range(1, 11)
    ]
    received = b"".join(
        (ack if is_ack else nack)(tag, multiple=multiple) for is_ack, tag, multiple in answers
    )

    assert expected == asyncio.run(outcome(10, [received]))[:10]


def frames_of(data: bytes) -> list[Any]:
    """What a reference implementation reads in ``data``."""
    frames = []
    while data:
        size, _, value = frame.unmarshal(data)
        frames.append(value)
        data = data[size:]
    return frames


async def written_for(messages: Sequence[Message]) -> bytes:
    """The bytes that leave for these events, published in one turn of the loop."""
    connection, transport = opened()
    for each in messages:
        connection.publish(each)
    await asyncio.sleep(0)
    return transport.written


async def test_publishes_of_one_turn_leave_in_one_piece_and_in_order() -> None:
    """Whole, one after the other: frames of two events never mix."""
    events = [message(number, body=b"%d" % number * 3) for number in range(5)]
    frames = frames_of(await written_for(events))

    assert [head.properties.message_id for head in frames[1::3]] == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert [event.body for event in events] == [part.value for part in frames[2::3]]


@pytest.mark.parametrize("text", ["x" * 256, "\ud800", "ä" * 128], ids=["long", "surrogate", "long in UTF-8"])
@pytest.mark.parametrize("field", ["message_id", "type", "routing_key", "exchange"])
async def test_an_event_that_cannot_be_encoded_leaves_the_counting_right(field: str, text: str) -> None:
    """The broker counts what it gets: the confirm of the next event must not be taken for another one's."""
    connection, transport = opened()
    poisoned = message("poisoned")
    setattr(poisoned, field, text)
    with pytest.raises(ValueError, match=r"range\(0, 256\)|surrogates not allowed"):
        connection.publish(poisoned)
    confirm = connection.publish(message("sound"))
    await asyncio.sleep(0)
    connection.data_received(ack(1))

    assert state_of(confirm) == SETTLED
    assert connection.unconfirmed == 0
    assert [type(each).__name__ for each in frames_of(transport.written)] == [
        "Publish",
        "ContentHeader",
        "ContentBody",
    ]


async def test_a_cancelled_publish_takes_nothing_from_the_others() -> None:
    """Its confirm comes all the same and is nobody's."""
    connection, _ = opened()
    confirms = [connection.publish(message(number)) for number in range(1, 4)]
    confirms[1].cancel()
    connection.data_received(ack(1) + nack(2) + ack(3))

    assert [state_of(confirms[0]), state_of(confirms[2])] == [SETTLED, SETTLED]
    assert connection.unconfirmed == 0


async def test_a_refusal_ends_a_connection_to_a_cluster_once_nothing_is_under_way() -> None:
    """Another connection may find the new leader of the queue. What was sent has its answer; no more is sent."""
    connection, transport = opened(renewal=Renewal(Clock()))
    confirms = [connection.publish(message(number)) for number in range(1, 4)]
    connection.data_received(nack(2))

    later = connection.publish(message(4))
    assert "another connection" in connection.unavailable_reason
    assert not connection.is_accepting
    assert not connection.lost.done()

    connection.data_received(ack(1) + ack(3))

    assert [state_of(each) for each in confirms] == [SETTLED, REFUSED, SETTLED]
    assert "another connection" in state_of(later)
    assert connection.lost.done()
    assert transport.is_gone


async def test_a_refusal_soon_after_a_renewal_ends_nothing() -> None:
    """The queue may be full, which no connection changes."""
    renewal = Renewal(Clock())
    assert renewal.is_due()
    connection, _ = opened(renewal=renewal)
    confirm = connection.publish(message())
    connection.data_received(nack(1))

    assert state_of(confirm) == REFUSED
    assert not connection.unavailable_reason


@pytest.mark.parametrize(
    ("received", "cause"),
    [
        (frame.marshal(commands.Channel.Close(404, "NOT_FOUND - no exchange", 60, 40), 1), "404 NOT_FOUND"),
        (
            frame.marshal(commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0),
            "320 CONNECTION_FORCED",
        ),
        (b"AMQP\x00\x00\x09\x01", "AMQP 0-9-1"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "AMQP 0-9-1"),
    ],
    ids=["channel", "connection", "another version", "another protocol"],
)
async def test_the_end_of_the_connection_fails_all_that_wait(received: bytes, cause: str) -> None:
    """None of it as a success; later publishes fail at once."""
    connection, transport = opened()
    confirms = [connection.publish(message(number)) for number in range(3)]
    connection.data_received(received)

    assert transport.is_gone
    assert all(state_of(confirm).startswith("connection lost before the confirm") for confirm in confirms)
    assert cause in str(connection.lost.exception())
    with pytest.raises(PublishUnavailable):
        await connection.publish(message("late"))


async def test_three_confirms_overdue_hold_messages_back_until_one_comes_in_time() -> None:
    """Refused at once, but for one message after a while; an answer that comes too late lets that one go now."""
    clock = Clock()
    connection, transport = opened(clock=clock)
    overdue = [connection.publish(message(number)) for number in range(1, 4)]
    overdue[2].cancel()  # its sender has gone; the broker's silence is the same
    connection.check_timeouts()
    assert not connection.unavailable_reason
    clock.now += 5
    connection.check_timeouts()
    assert [state_of(confirm) for confirm in overdue[:2]] == ["not confirmed within 5 s"] * 2
    assert "has confirmed nothing within 5 s" in state_of(connection.publish(message("refused")))

    connection.data_received(ack(1))
    probe, beside = connection.publish(message("probe")), connection.publish(message("beside"))
    assert state_of(probe) == OPEN
    assert "has confirmed nothing" in state_of(beside)
    connection.data_received(ack(4))
    assert (state_of(probe), connection.unavailable_reason) == (SETTLED, "")
    confirm = connection.publish(message("after"))
    connection.data_received(ack(5))
    assert state_of(confirm) == SETTLED
    assert b"refused" not in transport.written


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        pytest.param(ack(1), [SETTLED, OPEN], id="one ack"),
        pytest.param(ack(2, multiple=True), [SETTLED, SETTLED], id="multiple"),
        pytest.param(nack(1), [CANCELLED, OPEN], id="nack"),
        pytest.param(returned(1) + ack(1), [CANCELLED, OPEN], id="an ack after the return confirms nothing"),
        pytest.param(b"\xff" * 8, [CANCELLED, CANCELLED], id="the connection ends"),
    ],
)
async def test_a_confirm_that_comes_too_late_is_reported(received: bytes, expected: list[str]) -> None:
    """The spool then deletes the event instead of publishing it again, or learns that its confirm never comes."""
    clock = Clock()
    connection, _ = opened(clock=clock)
    confirms = [connection.publish(message(number)) for number in (1, 2)]
    clock.now += 5
    connection.check_timeouts()
    errors = [confirm.exception() for confirm in confirms]
    assert [type(error) for error in errors] == [ConfirmOverdue] * 2

    connection.data_received(received)

    assert [state_of(error.late) for error in errors if isinstance(error, ConfirmOverdue)] == expected


async def test_a_broker_that_has_fallen_silent_is_in_trouble_before_its_confirms_are_overdue() -> None:
    """Events are better off on disk than waiting with those; any confirm says that it works again."""
    clock = Clock()
    connection, _ = opened(timeout=40.0, clock=clock)
    connection.publish(message(1))
    clock.now += 9
    connection.publish(message(2))
    clock.now += 2
    connection.data_received(ack(2))
    connection.check_timeouts()
    assert not str(
        connection.unavailable_reason
    )  # the first waits for 11 s, but the broker has just confirmed
    clock.now += 11
    connection.check_timeouts()
    assert str(connection.unavailable_reason) == "the broker has confirmed nothing for 10 s"
    assert connection.is_accepting
    connection.publish(message(3))

    connection.data_received(ack(3))

    assert not connection.unavailable_reason


async def test_a_confirm_that_never_comes_ends_the_connection() -> None:
    """Its event would be kept back for ever; but an alarm may take as long as it takes."""
    clock = Clock()
    connection, _ = opened(clock=clock)
    connection.publish(message(1))
    for _ in range(61):
        clock.now += 1
        connection.data_received(HEARTBEAT)
    connection.blocked = "low on memory"
    connection.check_timeouts()
    assert not connection.lost.done()
    connection.blocked = ""
    connection.check_timeouts()
    assert "was not confirmed for 60 s" in str(connection.lost.exception())


async def test_a_broker_that_is_not_heard_ends_the_connection() -> None:
    """After two intervals of heartbeats; ours go out meanwhile."""
    clock = Clock()
    connection, transport = opened(clock=clock)
    clock.now += 20
    connection.check_timeouts()
    assert transport.written == HEARTBEAT
    assert not connection.lost.done()
    clock.now += 1
    connection.check_timeouts()
    assert "nothing heard from the broker for 20 s" in str(connection.lost.exception())


async def test_an_event_that_cannot_be_encoded_is_no_probe() -> None:
    """It never reaches the broker; if it counted as the probe, there would never be another."""
    clock = Clock()
    connection, _ = opened(clock=clock)
    for number in range(1, 4):
        connection.publish(message(number))
    clock.now += 5
    connection.check_timeouts()
    connection.data_received(ack(1))
    with pytest.raises(ValueError, match="range"):
        connection.publish(message("x" * 300))

    assert state_of(connection.publish(message("probe"))) == OPEN


async def test_messages_that_wait_for_their_confirm_are_bounded() -> None:
    """A slow broker is no reason to fill the memory: what is too much is refused at once, until some are confirmed."""
    connection, _ = opened()
    confirms = [connection.publish(message(number)) for number in range(4097)]
    assert [state_of(confirm) for confirm in confirms[-2:]] == [OPEN, "4096 messages wait for their confirm"]
    connection.data_received(ack(1))
    assert state_of(connection.publish(message("one more"))) == OPEN


async def test_a_connection_that_takes_no_more_bytes_takes_no_more_events() -> None:
    """Memory is bounded when the broker does not read."""
    connection, transport = opened()
    connection.pause_writing()
    with pytest.raises(PublishUnavailable):
        await connection.publish(message("refused"))
    connection.resume_writing()
    confirm = connection.publish(message("sent"))
    await asyncio.sleep(0)
    connection.data_received(ack(1))

    assert state_of(confirm) == SETTLED
    assert b"refused" not in transport.written


async def test_a_call_that_the_broker_refuses_raises_its_reason() -> None:
    """As when a queue is declared in another way."""
    connection, _ = opened()
    call = asyncio.ensure_future(connection.call(commands.Queue.Declare(queue="q")))
    await asyncio.sleep(0)
    connection.data_received(frame.marshal(commands.Channel.Close(406, "PRECONDITION_FAILED", 50, 10), 1))

    with pytest.raises(ConnectionError, match="406 PRECONDITION_FAILED"):
        await call


async def test_a_call_gets_its_reply_past_everything_else() -> None:
    """Confirms and heartbeats in between are not taken for it."""
    connection, _ = opened()
    confirm = connection.publish(message())
    call = asyncio.ensure_future(connection.call(commands.Queue.Declare(queue="q")))
    await asyncio.sleep(0)
    reply = frame.marshal(commands.Queue.DeclareOk("q", 0, 0), 1)
    connection.data_received(HEARTBEAT + ack(1) + reply)

    assert cast("commands.Queue.DeclareOk", await call).queue == "q"
    assert state_of(confirm) == SETTLED
