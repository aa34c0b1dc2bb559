"""What an adapter reads from an event is compiled; held against a plain interpretation of the same description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.bundled import bundled
from gateway.adapters.identity import Identity, clean_attribute, clean_event_id, clean_event_type, clean_time
from gateway.devtools.samples import sample_names
from gateway.events.body import Reader
from gateway.signatures import request as internals
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from support.deliveries import NAMES, delivered, parameters_of, secrets_of
from support.plain_reading import Event, as_text, of_type, summary


def verified(request: RawRequest) -> VerifiedRequest:
    """A request whose sender need not be proven here."""
    return VerifiedRequest(request, 0, proof=internals.PROOF)


def plain_identity(adapter: Adapter, event: Event) -> Identity:
    """The identity of an event, read as the description says, one field after the other."""
    spec = adapter.spec

    def read(sources: Any) -> Any:
        return event.value(sources) if sources else None

    word = clean_event_type(read(spec.event_type)) if spec.event_type else "unknown"
    action = read(spec.event_action)
    event_type = f"{word}.{action}" if word and action else word or "unknown"
    ids = [spec.event_id] if isinstance(spec.event_id, str) else spec.event_id or []
    within = [as_text(read(place)) for place in spec.unique_within]
    identity = Identity(
        next((found for place in ids if (found := clean_event_id(read(place)))), None),
        event_type,
        bool(word),
        clean_attribute(read(spec.delivery_id)),
        clean_attribute(read(spec.source)),
        clean_time(read(of_type(spec.time, event_type))),
        clean_attribute(read(of_type(spec.subject, event_type))),
        clean_attribute(read(spec.account)),
        clean_attribute(read(spec.actor)),
        within="".join(f"{len(each)}:{each}" if each else "-" for each in within) if any(within) else "",
        is_test=any(as_text(read(place)) == value for place, value in spec.test_events.items()),
    )
    known = {name: getattr(identity, name) for name in ("actor", "subject", "account")}
    known |= {"type": event_type, "action": event_type.rpartition(".")[2] if "." in event_type else None}
    identity.summary = summary(spec.summary, event, known) if spec.summary else None
    return identity


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_is_read_as_it_is_described(name: str) -> None:
    """Each event of each bundled sample, with every attribute."""
    adapter = registry.load(name)
    bound = adapter.bind([secrets_of(name).receiver], parameters_of(adapter))
    reader = Reader(adapter.spec, is_body_signed=adapter.spec.signature.is_body_bound)
    for event_type in sample_names(adapter):
        request = verified(delivered(name, event_type).raw())
        content = reader.read(request.headers, request.body)
        if content.items is None:
            event = Event(request.headers, request.query, content.payload, content.payload)
            assert bound.identify(request, content.payload) == plain_identity(adapter, event)
        for item in content.items or ():
            event = Event(request.headers, request.query, content.payload, item.payload, item.parent)
            found = bound.identify(request, content.payload, item.payload, item.parent)
            assert found == plain_identity(adapter, event)


def examples(name: str) -> Iterator[tuple[str, Any]]:
    """The examples in the schemas of an adapter, by event type."""
    for file in bundled("schemas").joinpath(name).iterdir():
        for example in json.loads(file.read_text("utf-8")).get("examples", ()):
            yield file.name.removesuffix(".json"), example


@pytest.mark.parametrize("name", ["github", "stripe"])
def test_every_example_is_read_as_it_is_described(name: str) -> None:
    """With one member after the other left out: the templates differ in what they need."""
    adapter = registry.load(name)
    bound = adapter.bind(["a secret of some length"])
    for event_type, example in examples(name):
        fields = [(b"x-github-event", event_type.encode()), (b"x-github-delivery", b"72d3162e")]
        request = verified(RawRequest(body=b"", headers=Headers(fields)))
        for absent in ("", *example):
            payload = {member: value for member, value in example.items() if member != absent}
            expected = plain_identity(adapter, Event(request.headers, b"", payload, payload))
            assert bound.identify(request, payload) == expected
