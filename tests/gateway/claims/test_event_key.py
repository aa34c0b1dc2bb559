"""What the events of each adapter are known by: the same at every attempt, and no two events alike."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter, BoundAdapter
from gateway.adapters.spec import AdapterSpec
from gateway.claims.event_key import EventKey, EventKeys, Part, without
from gateway.devtools.samples import load_sample, sample_names
from gateway.devtools.simulator import SignedRequest, Simulator
from gateway.events.body import Reader
from gateway.signatures import request as internals
from gateway.signatures.extractors import header_name, places_of, pointer_steps
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from support.deliveries import NAMES, NOW, URL, delivered, parameters_of, secrets_of

MADE_WHEN_SIGNED = {"gitee", "linear", "mailgun", "salesforce_outbound", "wix"}
"""Adapters whose members that differ between attempts are made when they are signed, or stand in no JSON."""

SENT_AS_IT_WAS = {"pusher"}
"""Adapters whose attempts are signed at the moment of the event."""

WITH_IDS = [name for name in NAMES if registry.load(name).spec.event_id]
WITHIN = [name for name in NAMES if registry.load(name).spec.unique_within]


def made(
    name: str,
    now: float,
    event_type: str | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> SignedRequest:
    """One attempt at an event, as its sender makes it; the same one for the same changes and seed."""
    adapter = registry.load(name)
    simulator = Simulator(
        adapter,
        secrets_of(name).sender,
        URL,
        load_sample(adapter, event_type),
        parameters=parameters_of(adapter),
        seed=seed,
        changes=changes,
    )
    return simulator.make(now, is_fresh=bool(changes))


def keys_of(name: str, request: SignedRequest, now: float) -> list[EventKey]:
    """What the events in a request are known by."""
    bound = delivered(name).bind()
    address = urlsplit(request.url)
    fields = [(field.lower().encode(), value.encode("latin-1")) for field, value in request.headers.items()]
    raw = RawRequest(
        body=request.body,
        headers=Headers(fields),
        path=address.path,
        query=address.query.encode(),
        url=request.url,
    )
    verified = bound.verify(raw, now)
    content = Reader(bound.spec).read(verified.headers, verified.body)
    keys = EventKeys(bound)
    if content.items is None:
        return [keys.key_of(bound.identify(verified, content.payload), verified, content.payload, now)]
    return [
        keys.key_of(
            bound.identify(verified, content.payload, item, parent),
            verified,
            item,
            now,
            Part(data, place, context),
        )
        for place, (item, data, parent, context) in enumerate(content.items)
    ]


def known_by(key: EventKey) -> tuple[str, str]:
    """What makes a repetition a repetition."""
    return key.text, key.content


def is_meant(spec: AdapterSpec) -> bool:
    """Whether equal events of its sample are different ones."""
    return not spec.event_id and spec.equal_events is not None and bool(spec.equal_events.meant)


def _nested(pointer: str, value: object) -> dict[str, Any]:
    steps = pointer.split("/")[1:]
    tree: Any = value
    for step in reversed(steps):
        tree = {step: tree}
    return dict(tree)


@pytest.mark.parametrize("name", [name for name in NAMES if not is_meant(registry.load(name).spec)])
def test_a_second_attempt_is_the_same_event(name: str) -> None:
    """Two minutes later, with the moment, the signature and the nonce of that attempt."""
    moments = (NOW, NOW if name in SENT_AS_IT_WAS else NOW + 120)
    first, second = (keys_of(name, made(name, now), now) for now in moments)
    assert list(map(known_by, first)) == list(map(known_by, second))
    if registry.load(name).spec.equal_events is None:
        assert [key.event_id for key in first] == [key.event_id for key in second]


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if registry.load(name).spec.attempt_members and name not in MADE_WHEN_SIGNED],
)
def test_what_differs_between_attempts_is_in_no_key(name: str) -> None:
    """Counters of attempts and the like."""
    for pointer in registry.load(name).spec.attempt_members:
        changes = [_nested(pointer, number) for number in ("1", "2")]
        first, second = (keys_of(name, made(name, NOW, None, each), NOW) for each in changes)
        assert list(map(known_by, first)) == list(map(known_by, second))


@pytest.mark.parametrize("name", [name for name in NAMES if len(list(sample_names(registry.load(name)))) > 1])
def test_no_two_samples_share_a_key(name: str) -> None:
    """Though they may be of one object, and have one id."""
    keys = [
        known_by(key)[0]
        for seed, event_type in enumerate(sample_names(registry.load(name)))
        for key in keys_of(name, made(name, NOW, event_type, seed=seed), NOW)
    ]
    assert len(set(keys)) == len(keys)


def _put(payload: Any, steps: list[str], value: object) -> None:
    for step, following in pairwise(steps):
        inner: Any = [{}] if following == "0" else {}
        payload = payload[int(step)] if isinstance(payload, list) else payload.setdefault(step, inner)
    payload[int(steps[-1]) if isinstance(payload, list) else steps[-1]] = value


def key_with(bound: BoundAdapter, values: Mapping[str, str]) -> EventKey:
    """The key of an event that has nothing but these values at these places."""
    headers, query, payload, item = [], {}, {"": ""}, {"": ""}
    for place, value in values.items():
        if header_name(place):
            headers.append((header_name(place) or b"", value.encode()))
        elif place.startswith("query:"):
            query[place.partition(":")[2]] = value
        else:
            is_item = place.startswith("item:") and bound.spec.batch
            _put(item if is_item else payload, pointer_steps(place), value)
    raw = RawRequest(
        body=json.dumps(payload).encode(), headers=Headers(headers), query=urlencode(query).encode()
    )
    verified = VerifiedRequest(raw, 0, proof=internals.PROOF)
    if not bound.spec.batch:
        return EventKeys(bound).key_of(bound.identify(verified, payload), verified, payload, NOW)
    identity = bound.identify(verified, payload, item)
    return EventKeys(bound).key_of(identity, verified, item, NOW, Part(json.dumps(item).encode(), 0))


def bare(name: str) -> BoundAdapter:
    """An adapter that takes every event for a genuine one of no test."""
    adapter = registry.load(name)
    spec = adapter.spec.model_copy(update={"test_events": {}, "attempt_members": []})
    return Adapter(name, spec, adapter.family).bind([secrets_of(name).receiver], parameters_of(adapter))


def _ids(spec: AdapterSpec) -> list[str]:
    return [spec.event_id] if isinstance(spec.event_id, str) else list(spec.event_id or [])


@pytest.mark.parametrize("name", WITH_IDS)
def test_each_place_of_an_id_changes_the_key(name: str) -> None:
    """Each by itself, where it is the first that there is."""
    bound = bare(name)
    for source in _ids(bound.spec):
        base = dict.fromkeys(places_of(source), "x")
        for place in base:
            first, other = key_with(bound, base), key_with(bound, {**base, place: "y"})
            assert first.text != other.text, place
            assert first.event_id != other.event_id, place


@pytest.mark.parametrize("name", WITHIN)
def test_each_place_that_an_id_is_unique_within_changes_the_key(name: str) -> None:
    """Its value does, and whether it is there; the id stays, and is no longer enough."""
    bound = bare(name)
    ids = dict.fromkeys(places_of(_ids(bound.spec)[0]) if bound.spec.event_id else [], "x")
    keys = [key_with(bound, ids)]
    keys += [
        key_with(bound, ids | dict.fromkeys(places_of(source), value))
        for source in bound.spec.unique_within
        for value in ("a", "b", "a1:b")
    ]
    assert len({key.text for key in keys}) == len(keys)
    if bound.spec.event_id:
        assert {key.event_id for key in keys} == {keys[0].event_id}
        assert [key.is_id_enough for key in keys] == [True] + [False] * (len(keys) - 1)


def generic(**description: Any) -> BoundAdapter:
    """A sender of one's own."""
    spec = AdapterSpec.model_validate({"signature": {"header": "X-Signature"}, **description})
    return Adapter("hmac", spec).bind(["a secret of sixteen letters"])


def key_of(
    bound: BoundAdapter, payload: dict[str, Any], now: float = NOW, *, retention: float | None = None
) -> EventKey:
    """The key of one event of a sender of one's own."""
    raw = RawRequest(body=json.dumps(payload).encode(), headers=Headers([]))
    verified = VerifiedRequest(raw, 0, proof=internals.PROOF)
    return EventKeys(bound, retention).key_of(bound.identify(verified, payload), verified, payload, now)


def test_an_event_without_an_id_is_known_by_its_digest_for_a_window() -> None:
    """Within it, repetitions are the same event; an equal one after it is another event, with another id."""
    bound = generic(event_type="body:/type", equal_events={"window": "1h"})
    keys = [key_of(bound, {"type": "sold_out"}, now) for now in (0.0, 1800.0, 3601.0, 9000.0)]
    assert len({key.text for key in keys}) == 1
    assert {key.retention for key in keys} == {3600.0}
    assert keys[0].event_id == keys[1].event_id
    assert len({key.event_id for key in keys}) == 3


def test_equal_events_that_are_meant_are_each_published() -> None:
    """Under ids of their own, with a mark for the window; the others are not."""
    bound = generic(event_type="body:/type", equal_events={"window": "1h", "meant": ["*.changed"]})
    first, second = (key_of(bound, {"type": "file.changed"}) for _ in range(2))
    assert first.text != second.text
    assert first.mark == second.mark != ""
    assert first.retention == 3600.0
    deleted = [key_of(bound, {"type": "file.deleted"}) for _ in range(2)]
    assert deleted[0] == deleted[1]
    assert deleted[0].mark == ""


def test_an_event_with_an_id_is_known_for_the_retention() -> None:
    """A window is for those that have none."""
    bound = generic(
        event_id="body:/id", event_type="body:/type", equal_events={"window": "1h", "meant": ["#"]}
    )
    key = key_of(bound, {"id": 7, "type": "x"}, retention=86_400.0)
    assert key == EventKey("7", "7", "", "", 86_400.0)


def test_equal_events_of_two_lists_are_two() -> None:
    """What has to be told of their lists is part of what they are known by."""
    bound = generic(event_type="item:/type", batch="body:/lists")
    verified = VerifiedRequest(RawRequest(body=b"{}", headers=Headers([])), 0, proof=internals.PROOF)
    item = {"type": "changed"}
    first, second, again = (
        EventKeys(bound).key_of(
            bound.identify(verified, {}, item), verified, item, NOW, Part(b'{"type":"changed"}', 0, context)
        )
        for context in (b"a", b"b", b"a")
    )
    assert first == again
    assert first.text != second.text


def test_test_events_of_one_id_are_different_events() -> None:
    """With the id that they have, which is not enough to name them."""
    bound = delivered("stripe").bind()
    first, second = (key_of(bound, {"id": "evt_00000000000000", "type": "charge.failed"}) for _ in range(2))
    assert first.event_id == second.event_id == "evt_00000000000000"
    assert first.text != second.text
    assert not first.is_id_enough
    assert first.mark == second.mark


@pytest.mark.parametrize(
    ("pointers", "expected"),
    [
        ([["a"]], {"b": {"c": [{"d": 1, "e": 2}, 3], "f": None}}),
        ([["b", "c", "*", "d"], ["b", "f"]], {"a": 1, "b": {"c": [{"e": 2}, 3]}}),
        ([["b", "c", "*"]], {"a": 1, "b": {"c": [], "f": None}}),
        ([["b", "*"]], {"a": 1, "b": {}}),
    ],
)
def test_members_are_left_out_wherever_they_stand(pointers: list[list[str]], expected: object) -> None:
    """And nothing else; the value itself stays as it is."""
    value = {"a": 1, "b": {"c": [{"d": 1, "e": 2}, 3], "f": None}}
    before, rest = copy.deepcopy(value), value
    for steps in pointers:
        rest = without(rest, steps)  # type: ignore[assignment]
    assert rest == expected
    assert value == before


@pytest.mark.parametrize("steps", [["x"], ["a", "x"], ["b", "c", "*", "x"], ["*", "x"], ["b", "c", "0"]])
def test_a_value_without_such_members_is_itself(steps: list[str]) -> None:
    """So that its digest is that of the bytes that came."""
    value = {"a": 1, "b": {"c": [{"d": 1, "e": 2}, 3], "f": None}}
    assert without(value, steps) is value
