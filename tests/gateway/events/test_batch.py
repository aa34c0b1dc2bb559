"""Deliveries of several events: none is lost or altered, and success means that all are safe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.errors import BodyTooLarge
from gateway.events import batch as batches
from gateway.events.batch import MAX_ITEMS, split
from gateway.receive.jobs import AT_A_TIME
from gateway.signatures import extractors as sources
from gateway.signatures.batches import Batch
from support.acme import Acme
from support.waiting import wait_until_async

WHOLE = Batch("body:")
LIST = {"batch": "body:", "event_id": "item:/id", "event_type": "item:/type"}

Build = Callable[..., Acme]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Gateways whose provider sends lists."""
    async with AsyncExitStack() as stack:
        made: list[Acme] = []

        def build(provider: dict[str, Any] | None = None, **settings: Any) -> Acme:
            made.append(Acme(tmp_path, provider={**LIST, **(provider or {})}, **settings))
            return made[-1]

        yield build
        for each in made:
            await stack.enter_async_context(each)


@pytest.fixture
def acme(build: Build) -> Acme:
    """One whose body is the list."""
    return build()


def items(*ids: object) -> bytes:
    """A list of events with these ids."""
    return orjson.dumps([{"id": event_id, "type": "push"} for event_id in ids])


def digest(content: bytes) -> str:
    """The id of what has none."""
    return sha256(content).hexdigest()


async def test_each_item_becomes_an_event_of_its_own(acme: Acme) -> None:
    """With its bytes as they came, its own id and type, and one answer with the id of the delivery."""
    first, second = b'{ "id":"a", "type":"push", "n":1.10 }', b'{"id":7,"type":"pull","t":"\\u00e9"}'
    answer = await acme.post(b" [ " + first + b" ,\n" + second + b"]\r\n", X_Delivery="d-1")

    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "id": "d-1"})
    assert [(each.message_id, each.routing_key) for each in acme.publisher.messages] == [
        ("a", "acme.push"),
        ("7", "acme.pull"),
    ]
    for message, data in zip(acme.publisher.messages, (first, second), strict=True):
        assert message.body.endswith(b',"data":' + data + b"}")
        assert json.loads(message.body)["deliveryid"] == "d-1"


async def test_events_travel_together(acme: Acme) -> None:
    """All are on their way to the broker before it has confirmed the first."""
    answer = await acme.post_together(items("a", "b", "c"), 3)
    assert answer.status_code == 202
    assert acme.events.index("confirm") > max(
        place for place, each in enumerate(acme.events) if each == "publish"
    )


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("body:/events", b'{"events":[{"id":"old"}],"events": [ {"id" :"a"} ] ,"x":1}'),
        ("body:/a~1b/0/c", b'{"a/b":[{"c":[{"id" :"a"}]},2]}'),
        ("body:/\\u", b'{"\\\\u":[{"id" :"a"}]}'),
    ],
)
async def test_the_list_may_be_anywhere(build: Build, place: str, body: bytes) -> None:
    """Also under a name that stands there twice, of which the last one counts."""
    acme = build({"batch": place, "event_type": None})
    assert (await acme.post(body)).status_code == 202
    assert acme.published == ["a"]
    assert acme.publisher.messages[0].body.endswith(b',"data":{"id" :"a"}}')


async def test_what_is_no_list_is_one_event(build: Build) -> None:
    """Senders of lists send single events, too."""
    acme = build({"batch": "body:/events"})
    for body in (b'{"id":"a","type":"push"}', b'{"id":"b","type":"push","events":{}}'):
        answer = await acme.post(body)
        assert answer.json() == {"status": "accepted", "id": json.loads(body)["id"]}
    assert acme.published == ["a", "b"]


async def test_a_list_in_a_field_of_a_form(build: Build) -> None:
    """The JSON in the field is the list."""
    acme = build({"content": {"application/x-www-form-urlencoded": "form"}, "form_json": "events"})
    body = b"events=%5B%7B%22id%22%3A+%22a%22%7D,%7B%22id%22%3A%22b%22%7D%5D&n=1"
    assert (await acme.post(body, "application/x-www-form-urlencoded")).status_code == 202
    assert acme.published == ["a", "b"]
    assert acme.publisher.messages[0].body.endswith(b',"data":{"id": "a"}}')


# What becomes of single ones


async def test_an_item_without_a_usable_id_gets_a_digest(acme: Acme) -> None:
    """Of its bytes, so that it is recognised again; the others keep theirs."""
    nameless = [b'{"type":"push"}', b'{"id":[1],"type":"push"}', b'{"id":{},"type":"push"}']
    body = b"[" + b",".join([*nameless, b'{"id":"a","type":"push"}']) + b"]"
    assert (await acme.post(body)).status_code == 202
    assert acme.published == [*map(digest, nameless), "a"]

    assert (await acme.post(body)).json()["status"] == "duplicate"
    assert len(acme.published) == 4


async def test_equal_items_are_one_event(acme: Acme) -> None:
    """In one delivery as in two."""
    assert (await acme.post(items("a", "b", "a"))).status_code == 202
    assert acme.published == ["a", "b"]
    assert acme.metric('webhook_events_total{outcome="duplicate",provider="acme"}') == 1


async def test_different_items_of_one_id_are_all_published(acme: Acme) -> None:
    """What a list gives one id to differs by it: the first has it, the others a digest."""
    one, other = b'{"id":"a","type":"push","n":1}', b'{"id":"a","type":"push","n":2}'
    body = b"[" + b",".join([one, other, other, one]) + b"]"
    assert (await acme.post(body)).status_code == 202
    assert acme.published == ["a", digest(b"a\0" + other)]
    assert (await acme.post(body)).json()["status"] == "duplicate"


async def test_an_item_that_is_no_event_is_quarantined_by_itself(tmp_path: Path, build: Build) -> None:
    """As is one against its schema, or without its type; the others go on."""
    (tmp_path / "own.json").write_text('{"properties":{"n":{"type":"integer"}}}')
    acme = build({"schema": "own.json"})
    body = b'[5,{"id":"a","type":"push","n":"x"},{"id":"b"},{"id":"c","type":"push","n":1}]'
    answer = await acme.post(body, X_Delivery="d")

    assert (answer.status_code, answer.json()) == (202, {"status": "quarantined", "id": "d"})
    assert [(each.message_id, each.exchange) for each in acme.publisher.messages] == [
        (digest(b"5"), "webhooks.quarantine"),
        ("a", "webhooks.quarantine"),
        ("b", "webhooks.quarantine"),
        ("c", "webhooks"),
    ]
    assert acme.publisher.messages[0].headers["violations"] == "/: the event is not an object"
    assert acme.publisher.messages[0].body.endswith(b',"data":5}')
    assert json.loads(acme.publisher.messages[3].body)["dataschema"].endswith("/own.json")


@pytest.mark.parametrize(
    "body", [b'[{"id":"a","type":"push"},null]', b'[{"id":"a","type":"push"},{"id":"b"}]']
)
async def test_a_delivery_is_refused_as_a_whole_where_that_is_wanted(build: Build, body: bytes) -> None:
    """Before anything is claimed."""
    acme = build({"on_invalid": "reject"})
    answer = await acme.post(body, X_Delivery="d")
    expected = {"status": "rejected", "reason": "schema_mismatch", "id": "d"}
    assert (answer.status_code, answer.json()) == (422, expected)
    assert acme.events == []


async def test_unwanted_items_are_left_out(build: Build) -> None:
    """The others are published; a delivery of nothing else is ignored."""
    acme = build({"events": ["pull"]})
    answer = await acme.post(b'[{"id":"a","type":"push"},{"id":"b","type":"pull"}]')
    assert answer.json()["status"] == "accepted"
    assert acme.published == ["b"]
    assert (await acme.post(items("c"))).json()["status"] == "ignored"
    assert acme.metric('webhook_events_total{outcome="ignored",provider="acme"}') == 2


async def test_an_empty_list_is_ignored(acme: Acme) -> None:
    """Senders try an address with it. Its id is a digest where the delivery has none."""
    answer = await acme.post(b"[ ]")
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored", "id": digest(b"[ ]")})
    assert acme.events == []


# Failures


async def test_a_partial_failure_is_no_success(acme: Acme) -> None:
    """What is confirmed is known as done, so that the repetition publishes the rest alone."""
    acme.publisher.refused = {"b"}
    answer = await acme.post_together(items("a", "b", "c"), 3, X_Delivery="d")

    expected = {"status": "unavailable", "reason": "broker_unavailable", "id": "d"}
    assert (answer.status_code, answer.json()) == (503, expected)
    assert answer.headers["retry-after"]
    assert acme.published == ["a", "c"]
    assert acme.claim("a") == acme.claim("c") == b"done"
    assert acme.claim("b") is None

    acme.publisher.refused = set()
    assert (await acme.post(items("a", "b", "c"), X_Delivery="d")).json()["status"] == "accepted"
    assert acme.published == ["a", "c", "b"]
    assert (await acme.post(items("a", "b", "c"))).json()["status"] == "duplicate"


async def test_the_answer_waits_for_the_slowest_event(acme: Acme) -> None:
    """An event whose confirm is still to come is not safe."""
    acme.publisher.gates["b"] = asyncio.Event()
    task = asyncio.create_task(acme.post(items("a", "b")))
    await wait_until_async(lambda: acme.claim("a") == b"done")
    await asyncio.wait({task}, timeout=0.1)
    assert not task.done()
    acme.publisher.gates["b"].set()
    assert (await task).status_code == 202


async def test_after_a_failure_no_more_are_begun(acme: Acme) -> None:
    """A broker that is away is not asked ten thousand times for one delivery."""
    ids = [str(number) for number in range(3 * AT_A_TIME)]
    acme.publisher.refused = set(ids)
    assert (await acme.post_together(items(*ids), AT_A_TIME)).status_code == 503
    assert acme.events.count("publish") == AT_A_TIME
    assert all(acme.claim(event_id) is None for event_id in ids)


async def test_a_bug_in_one_event_is_the_answer_for_all(acme: Acme) -> None:
    """500, and no claim stays behind."""
    acme.publisher.bug = RuntimeError("a bug")
    answer = await acme.post(items("a", "b"))
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert acme.claim("a") is None
    assert acme.claim("b") is None


async def test_an_item_that_ends_without_a_word_is_no_success(acme: Acme) -> None:
    """A cancellation from elsewhere must not look like an event that is safe, though the others are."""
    acme.publisher.bugs["b"] = asyncio.CancelledError()
    assert (await acme.post(items("a", "b"))).status_code == 500
    assert acme.claim("a") == b"done"
    assert acme.claim("b") is None


async def test_a_delivery_that_is_cancelled_gives_its_claims_back(acme: Acme) -> None:
    """All of them, before its task ends."""
    acme.publisher.gate.clear()
    task = asyncio.create_task(acme.post(items("a", "b")))
    await wait_until_async(lambda: acme.publisher.waiting == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert acme.claim("a") is None
    assert acme.claim("b") is None


async def test_without_claims_a_delivery_is_refused_where_that_is_wanted(build: Build) -> None:
    """And published unchecked where it is not."""
    acme = build(dedupe={"on_unavailable": "reject"})
    acme.claims.is_away = True
    assert (await acme.post(items("a", "b"))).json()["reason"] == "dedupe_unavailable"

    acme = build(dedupe={"on_unavailable": "accept"})
    acme.claims.is_away = True
    assert (await acme.post(items("a", "b"))).json()["status"] == "accepted"
    assert [json.loads(each.body)["dedupe"] for each in acme.publisher.messages] == ["unchecked"] * 2


# Bounds


async def test_few_events_of_a_delivery_are_under_way_at_a_time(acme: Acme) -> None:
    """However many there are; all are published in the end."""
    ids = [str(number) for number in range(5 * AT_A_TIME)]
    acme.publisher.gate.clear()
    task = asyncio.create_task(acme.post(items(*ids)))
    await wait_until_async(lambda: acme.publisher.waiting == AT_A_TIME)
    await asyncio.sleep(0)
    assert acme.publisher.waiting == acme.events.count("claim") == AT_A_TIME
    acme.publisher.gate.set()
    assert (await task).status_code == 202
    assert sorted(acme.published) == sorted(ids)


def test_there_is_a_bound_to_the_events_of_a_delivery() -> None:
    """413 beyond it: the delivery is too large."""
    values = [0] * (MAX_ITEMS + 1)
    assert len(split(values[1:], orjson.dumps(values[1:]), WHOLE) or []) == MAX_ITEMS
    with pytest.raises(BodyTooLarge):
        split(values, orjson.dumps(values), WHOLE)


async def test_too_many_events_are_refused(acme: Acme) -> None:
    """Before any of them is claimed."""
    answer = await acme.post(b"[" + b"0," * MAX_ITEMS + b"0]")
    assert (answer.status_code, answer.json()["reason"]) == (413, "body_too_large")
    assert acme.events == []


# What is told of it


async def test_a_delivery_is_one_request_and_one_line(build: Build) -> None:
    """With how many events had which outcome."""
    body = (
        b'[{"id":"a","type":"push"},{"id":"a","type":"push"},{"id":"c","type":"push"},{"id":"d","type":"x"}]'
    )
    with capture_logs() as logs:
        acme = build({"events": ["push"]})
        acme.publisher.refused = {"c"}
        await acme.post_together(body, 2, X_Delivery="d-1")
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["outcome"], line["event_id"], line["events"]) == ("broker_unavailable", "d-1", 4)
    outcomes = {"accepted": 1, "duplicate": 1, "broker_unavailable": 1, "ignored": 1}
    assert orjson.loads(orjson.dumps(line["outcomes"])) == outcomes  # as the log writes it
    assert acme.metric('webhook_requests_total{outcome="broker_unavailable",provider="acme"}') == 1
    assert acme.metric('webhook_events_total{outcome="accepted",provider="acme"}') == 1


# Bytes

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=9)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SPACE = st.text(" \t\r\n", max_size=3).map(str.encode)


def _step(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


@given(
    texts=st.lists(
        st.tuples(
            st.builds(
                lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
                JSON_VALUES,
                st.booleans(),
                st.none() | st.integers(0, 2),
            ).map(str.encode),
            SPACE,
            SPACE,
        ),
        max_size=6,
    ),
    names=st.lists(st.text(max_size=4).filter(lambda name: "*" not in name), max_size=2),
)
def test_the_items_are_the_senders_bytes(texts: list[tuple[bytes, bytes, bytes]], names: list[str]) -> None:
    """Put together again they are the list, whatever stands around them and however deep the list is."""
    body = b"[" + b",".join(before + text + after for text, before, after in texts) + b"]"
    for name in reversed(names):
        body = b'{"x":[1],' + json.dumps(name).encode() + b" : " + body + b"}\n"
    found = split(orjson.loads(body), body, Batch("body:" + "".join(map(_step, names))))
    assert found is not None
    assert [item.data for item in found] == [text for text, _, _ in texts]
    assert [item.payload for item in found] == [orjson.loads(text) for text, _, _ in texts]


# Lists within lists

NESTED: dict[str, Any] = {
    "batch": ["body:/entry/*/changes", "body:/entry/*/messaging"],
    "event_id": ["item:/id", "{parent:/id}:{item:/n}"],
    "event_type": ["{list:}.{item:/kind}", "list:"],
    "account": ["parent:/id", "item:/id"],
}
CONTEXT = sha256(sha256(orjson.dumps({"entry": None})).digest() + b"entry").digest()
"""What is around the list ``entry`` in a body that has nothing else."""


async def test_lists_within_a_list_are_opened(build: Build) -> None:
    """Each element of each is an event with the bytes, the type and the parent that are its own."""
    acme = build(NESTED)
    first, second, third = b'{ "id":"a", "kind":"x"}', b'{"n" : 1.50,"kind":"y"}', b'{"id":"c" }'
    body = (
        b'{"entry": [ {"id":"E1","changes":[' + first + b" , " + second + b'],"messaging":[' + third + b"]},"
        b'{"messaging":[{"id":"d"}],"id":"E2"}]}'
    )
    assert (await acme.post(body, X_Delivery="d-1")).json() == {"status": "accepted", "id": "d-1"}
    assert [(each.message_id, each.routing_key) for each in acme.publisher.messages] == [
        ("a", "acme.changes.x"),
        ("E1:1.5", "acme.changes.y"),
        ("c", "acme.messaging"),
        ("d", "acme.messaging"),
    ]
    events = [json.loads(each.body) for each in acme.publisher.messages]
    assert [event["account"] for event in events] == ["E1", "E1", "E1", "E2"]
    for message, data in zip(acme.publisher.messages, (first, second, third), strict=False):
        assert message.body.endswith(b',"data":' + data + b"}")


@pytest.mark.parametrize(
    "entry", [b'{"id":"E"}', b'{"id":"E","changes":[]}', b'{"id":"E","changes":{"n":1}}']
)
async def test_an_element_without_an_inner_list_is_an_event_itself(build: Build, entry: bytes) -> None:
    """Beside others that have one: nothing in the outer list is left out."""
    acme = build(NESTED)
    await acme.post(b'{"entry":[' + entry + b',{"changes":[{"id":"a"}]},' + b"7]}")
    assert acme.published == ["E", "a", digest(b"7" + CONTEXT)]
    assert acme.publisher.messages[0].routing_key == "acme.entry"
    assert acme.publisher.messages[0].body.endswith(b',"data":' + entry + b"}")


@pytest.mark.parametrize("body", [b'{"entry":[]}', b'{"entry":[],"messaging":7}'])
async def test_an_empty_outer_list_is_ignored(build: Build, body: bytes) -> None:
    """As an only list is."""
    acme = build(NESTED)
    assert (await acme.post(body)).json()["status"] == "ignored"
    assert acme.published == []


@pytest.mark.parametrize("body", [b'{"id":"a"}', b'{"id":"a","entry":{}}', b'{"id":"a","entry":"x"}'])
async def test_a_body_without_the_outer_list_is_one_event(build: Build, body: bytes) -> None:
    """Senders of lists send single events, too."""
    acme = build({**NESTED, "event_type": "text:single"})
    await acme.post(body)
    assert acme.published == ["a"]


async def test_equal_events_of_different_parents_are_different(build: Build) -> None:
    """Whether their ids are made up or given; those of one parent are one."""
    item = b'{"kind":"x"}'
    body = b'{"entry":[{"id":"E1","changes":[%b,%b]},{"id":"E2","changes":[%b]}]}' % (item, item, item)
    acme = build(NESTED)
    await acme.post(body)
    assert len(set(acme.published)) == 2
    assert (await acme.post(body)).json()["status"] == "duplicate"
    await acme.post(b'{"entry":[{"id":"E3","changes":[%b]}]}' % item)
    assert len(set(acme.published)) == 3

    named = build({**NESTED, "event_id": "item:/kind"})
    await named.post(body)
    assert len(set(named.published)) == 2
    assert named.published[0] == "x"
    assert (await named.post(body)).json()["status"] == "duplicate"


async def test_lists_are_found_by_what_their_names_have_in_common(build: Build) -> None:
    """The name is the type; a list of other things than objects is none of events."""
    acme = build({"batch": "body:/*_events", "event_type": ["list:", "member:"], "account": "body:/user"})
    body = b'{"user":"u","post_events":[{"id":1},{"id":2}],"like_events":[{"id":3}],"odd_events":[4],"rules":[{}]}'
    await acme.post(body)
    assert [(each.message_id, each.routing_key) for each in acme.publisher.messages] == [
        ("1", "acme.post_events"),
        ("2", "acme.post_events"),
        ("3", "acme.like_events"),
    ]
    assert {json.loads(each.body)["account"] for each in acme.publisher.messages} == {"u"}
    await acme.post(b'{"id":"r","user_event":{"revoked":true}}')
    assert (acme.published[-1], acme.publisher.messages[-1].routing_key) == ("r", "acme.user_event")


async def test_the_bound_holds_for_all_lists_together(build: Build) -> None:
    """However few events each of them has."""
    acme = build(NESTED)
    entry = b'{"changes":[1,2],"messaging":[3,4,5]}'
    answer = await acme.post(b'{"entry":[' + b",".join([entry] * (MAX_ITEMS // 5)) + b",6]}")
    assert (answer.status_code, answer.json()["reason"]) == (413, "body_too_large")
    assert acme.events == []


async def test_hidden_values_of_nested_events_are_not_read_by_their_neighbours(build: Build) -> None:
    """Neither through the body nor through the parent."""
    places = {
        "event_type": None,
        "subject": ["body:/entry/0/changes/0/secret", "parent:/changes/0/secret", "item:/secret"],
        "actor": "parent:/by",
        "redact": ["/secret"],
    }
    acme = build({**NESTED, **places})
    await acme.post(b'{"entry":[{"by":"ada","changes":[{"id":"a","secret":"s3"},{"id":"b","secret":"s4"}]}]}')
    events = [json.loads(each.body) for each in acme.publisher.messages]
    assert [(event["subject"], event["actor"]) for event in events] == [("***", "ada")] * 2
    assert not any(b"s3" in each.body or b"s4" in each.body for each in acme.publisher.messages)


@given(
    lists=st.lists(
        st.dictionaries(
            st.sampled_from(["changes", "messaging", "other"]), st.lists(JSON_VALUES, max_size=3), max_size=3
        ),
        max_size=4,
    ),
    indent=st.none() | st.integers(0, 2),
)
def test_the_nested_items_are_the_senders_bytes(
    lists: list[dict[str, list[Any]]], indent: int | None
) -> None:
    """Each stands at its path in the bytes as in the value, and all come in the order of the body."""
    payload = {"a": 1, "entry": lists}
    body = json.dumps(payload, indent=indent).encode()
    found = split(payload, body, Batch(NESTED["batch"]))
    assert found is not None
    expected: list[Any] = []
    for entry in lists:
        inner = [item for name, items in entry.items() if name != "other" for item in items]
        expected += inner or [entry]
    assert [item.payload for item in found] == expected
    assert [json.loads(item.data) for item in found] == expected
    assert all(item.data.strip() == item.data in body for item in found)


def test_each_level_is_taken_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the work grows with the bytes, not with the number of events or lists."""
    decoded: list[int] = []

    def counting(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def count(data: Any) -> Any:
            decoded.append(len(bytes(data)))
            return decode(data)

        return count

    for name in ("_decode_list", "_decode_object"):
        monkeypatch.setattr(batches, name, counting(getattr(batches, name)))
    payload = {"entry": [{"changes": [{"n": n} for n in range(30)], "messaging": [{}]} for _ in range(30)]}
    body = orjson.dumps(payload)
    assert len(split(payload, body, Batch(NESTED["batch"])) or []) == 30 * 31
    assert sum(decoded) < 5 * len(body)


def test_what_is_around_many_lists_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lists stand in one object."""
    sizes: list[int] = []

    def dumps(value: Any) -> bytes:
        sizes.append(len(value))
        return orjson.dumps(value)

    monkeypatch.setattr(sources, "orjson", SimpleNamespace(dumps=dumps))
    payload = {f"{number}_events": [{"n": number}] for number in range(300)}
    found = split(payload, json.dumps(payload).encode(), Batch("body:/*_events")) or []
    assert len({item.context for item in found}) == 300
    assert sizes == [300]
