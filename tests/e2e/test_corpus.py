"""Every real delivery through a real gateway: proven, recognised, and published as it came."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jsonschema
import pytest

from gateway.transport.topic_patterns import key_segment
from support.answers import answer_to
from support.corpus import Delivery, Expected, Wire, deliveries, expected, settings, sign
from support.gateway_process import GatewayProcess, Secrets, Section
from support.inbox import Arrival, Inbox
from support.redis_server import RedisServer

KEPT = Path(__file__).resolve().parent.parent / "corpus"
"""A few of them that are part of the repository."""


@dataclass(frozen=True)
class Exchange:
    """What was sent, answered and published.

    Attributes:
        delivery: what was sent.
        provider: to whose address.
        answer: what was answered.
        events: what was to come out, each with what did.
    """

    delivery: Delivery
    provider: str
    answer: httpx.Response
    events: list[tuple[Expected, list[Arrival]]]


@pytest.fixture(scope="module", params=["all", "kept"])
def exchanges(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
    module_rabbitmq_url: str,
) -> Iterator[list[Exchange]]:
    """All deliveries of a collection, sent over one connection to one gateway."""
    root = KEPT if request.param == "kept" else request.getfixturevalue("corpus")
    sent = list(_signed(deliveries(root)))
    redis_server.ensure_running()
    redis_server.flush()
    providers: Section = {provider: settings(delivery) for provider, delivery, _, _ in sent}
    process = GatewayProcess(
        tmp_path_factory.mktemp(request.param),
        Secrets(),
        redis_url=redis_server.url,
        rabbitmq_url=module_rabbitmq_url,
        overrides={"providers": providers},
    )
    with process:
        inbox = Inbox(module_rabbitmq_url)
        inbox.take_all()
        with httpx.Client(base_url=process.url, trust_env=False, timeout=10) as client:
            answers = [
                client.post(f"/webhooks/{provider}?{wire.query}", headers=wire.headers, content=wire.body)
                for provider, _, wire, _ in sent
            ]
        arrivals: dict[tuple[str, str | None], list[Arrival]] = {}
        for arrival in inbox.take_all():
            arrivals.setdefault((arrival.headers["provider"], arrival.message_id), []).append(arrival)
        yield [
            Exchange(
                delivery,
                provider,
                answer,
                [(event, arrivals.get((provider, event.id), [])) for event in events],
            )
            for (provider, delivery, _, events), answer in zip(sent, answers, strict=True)
        ]


def _signed(found: Iterable[Delivery]) -> Iterator[tuple[str, Delivery, Wire, list[Expected]]]:
    """Sign each delivery. Deliveries that share an id get providers of their own."""
    seen: Counter[tuple[str, str]] = Counter()
    for delivery in found:
        wire = sign(delivery, time.time())
        events = expected(delivery, wire)
        ids = [(delivery.provider, event.id) for event in events]
        number = max((seen[each] for each in ids), default=0)
        seen.update(ids)
        yield f"{delivery.provider}-{number}" if number else delivery.provider, delivery, wire, events


def _faults(
    exchanges: list[Exchange], fault: Callable[[Exchange, Expected, Arrival], object]
) -> dict[str, object]:
    """What is wrong with which delivery, of all that came out."""
    return {
        exchange.delivery.name: found
        for exchange in exchanges
        for event, arrivals in exchange.events
        for arrival in arrivals
        if (found := fault(exchange, event, arrival))
    }


def test_every_delivery_is_answered_as_its_sender_wants(exchanges: list[Exchange]) -> None:
    """With the status that it counts and the id of the event, or its own word; a handshake with what was asked for."""

    def fault(exchange: Exchange) -> str | None:
        delivery, answer = exchange.delivery, exchange.answer
        code, body = answer_to(delivery.adapter.name, "accepted")
        if delivery.is_handshake:
            is_right = answer.status_code == 200 and answer.json()["plainToken"] in delivery.body.decode()
        elif body is not None:
            is_right = (answer.status_code, answer.text) == (code, body)
        else:
            is_right = answer.status_code == code and answer.json()["status"] == "accepted"
        return None if is_right else f"{answer.status_code} {answer.text}"

    assert exchanges
    assert {each.delivery.name: fault(each) for each in exchanges if fault(each)} == {}


def test_every_event_comes_out_once_under_its_id(exchanges: list[Exchange]) -> None:
    """The id is the sender's own, or the digest where it gives none."""
    numbers = {each.delivery.name: [len(found) for _, found in each.events] for each in exchanges}
    assert {name: counts for name, counts in numbers.items() if set(counts) - {1}} == {}
    assert all(each.events for each in exchanges if not each.delivery.is_handshake)


def test_every_event_has_its_type_and_its_routing_key(exchanges: list[Exchange]) -> None:
    """The sender's own word, with the action where it tells one."""

    def fault(exchange: Exchange, _: Expected, arrival: Arrival) -> object:
        told = str(arrival.event["eventtype"])
        is_right = told == (exchange.delivery.event_type or told) and told != "unknown"
        is_nameless = exchange.delivery.adapter.name == "hmac"
        is_routed = arrival.routing_key == f"{exchange.provider}.{key_segment(told)}"
        return None if (is_right or is_nameless) and is_routed else (told, arrival.routing_key)

    assert _faults(exchanges, fault) == {}


def test_every_event_passes_a_schema(exchanges: list[Exchange]) -> None:
    """Of its type or of its sender; only what nobody has described has none."""

    def fault(exchange: Exchange, _: Expected, arrival: Arrival) -> object:
        schema = str(arrival.event.get("dataschema", ""))
        name = exchange.delivery.adapter.family
        return (
            None
            if name == "hmac" or schema.startswith(f"urn:webhook-gateway:schema:{name}:")
            else arrival.event
        )

    assert _faults(exchanges, fault) == {}


def test_every_event_is_the_bytes_that_came(exchanges: list[Exchange]) -> None:
    """Of JSON every byte, unless a secret is masked in it; of a form each of its fields."""

    def fault(exchange: Exchange, event: Expected, arrival: Arrival) -> object:
        masked = {pointer.removeprefix("/") for pointer in exchange.delivery.adapter.spec.redact}
        if event.data is not None and masked:  # a secret of the receiver, which no consumer shall see
            came, went = json.loads(event.data), json.loads(arrival.data)
            assert arrival.event["redacted"] is True
            return {
                name: (came[name], went.get(name))
                for name in came.keys() - masked
                if came[name] != went[name]
            }
        if event.data is not None:
            return None if arrival.data == event.data else (arrival.data[:200], event.data[:200])
        signature = {"bt_signature", "bt_payload", "p_signature", "signature", "timestamp", "token"}
        fields = {
            name: value for name, value in (exchange.delivery.fields or {}).items() if name not in signature
        }
        data = json.loads(arrival.data)
        return {name: (value, data.get(name)) for name, value in fields.items() if data.get(name) != value}

    assert _faults(exchanges, fault) == {}


def test_every_event_is_a_cloudevent(exchanges: list[Exchange], conformance: Path) -> None:
    """By the schema of the specification."""
    schema = json.loads((conformance / "cloudevents" / "cloudevents.schema.json").read_bytes())
    check = jsonschema.validators.validator_for(schema)(schema)

    def fault(_: Exchange, __: Expected, arrival: Arrival) -> object:
        return [error.message for error in check.iter_errors(arrival.event)]

    assert _faults(exchanges, fault) == {}
