"""Traces: one from the sender's request to what a handler does, with nothing private in it, and nothing when off."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.observability.tracing import tracing
from gateway.observability.tracing.spans import Spans
from gateway.worker import Dead, Event, Retry, Worker
from gateway.worker.runner import Runner
from support.acme import Acme
from support.agents import Place
from support.repository import ROOT
from support.waiting import wait_until_async

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
PRIVATE = "4242 4242 4242 4242"
ORDER = {"id": "evt_1", "type": "order.paid"}
FIELDS = {"event_id": "body:/id", "event_type": "body:/type"}


class Traced:
    """What was traced in a test.

    Attributes:
        provider: where spans go; the test's own ones, too.
        spans: makes those of the gateway and its workers.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = Spans(self.provider, "rabbitmq", "webhooks")

    def __iter__(self) -> Any:
        return iter(self._exporter.get_finished_spans())

    def __getitem__(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (span,) = (span for span in self if span.name == name)
        assert isinstance(span, ReadableSpan)
        return span


@pytest.fixture
def traced() -> Traced:
    """A place for spans."""
    return Traced()


@pytest.fixture
async def build(tmp_path: Path, traced: Traced) -> AsyncIterator[Callable[..., Acme]]:
    """A gateway that traces."""
    made: list[Acme] = []

    def build(**provider: Any) -> Acme:
        made.append(Acme(tmp_path, provider={**FIELDS, **provider}, spans=traced.spans))
        return made[-1]

    yield build
    for each in made:
        await each.client.aclose()


def body_of(**changes: Any) -> bytes:
    """An event of the sender."""
    return json.dumps({**ORDER, "card": PRIVATE, **changes}).encode()


def traceparent_of(message: Message) -> str:
    """The trace context in the envelope, which the header of the message repeats."""
    traceparent: str = json.loads(message.body)["traceparent"]
    assert message.headers["traceparent"] == traceparent
    return traceparent


def ids_of(span: ReadableSpan) -> tuple[str, str]:
    """The trace that a span belongs to, and its own id."""
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str | None:
    """The id of its parent."""
    return f"{span.parent.span_id:016x}" if span.parent else None


async def handle(place: Place, worker: Worker, spans: Spans, *messages: Message) -> None:
    """Let a worker handle messages, each once."""
    await place.queue_of(worker).check()
    runner = Runner(worker, place.queue_of(worker), None, spans=spans)
    task = asyncio.create_task(runner.run())
    async with place.publishing() as publisher:
        for message in messages:
            await publisher.publish(message)
    await wait_until_async(lambda: runner.counts.total() == len(messages))
    runner.end()
    await task


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
async def test_a_request_its_event_and_what_its_handler_does_are_one_trace(
    tmp_path: Path, build: Callable[..., Acme], traced: Traced, kind: str
) -> None:
    """The provider begins it; each span is the child of the one before it."""
    acme = build()
    worker = Worker("shipping", ["acme.#"])

    def ship() -> None:
        with traced.provider.get_tracer("agent").start_as_current_span("ship"):
            pass

    if kind == "coroutine":

        @worker.on("acme.order.paid")
        async def coroutine(event: Event) -> None:
            ship()
    else:

        @worker.on("acme.order.paid")
        def function(event: Event) -> None:
            ship()

    await acme.post(body_of(), traceparent=SAMPLED)
    (message,) = acme.publisher.messages
    await handle(Place(tmp_path / "var"), worker, traced.spans, message)

    request, attempt, own = traced["POST /webhooks/{provider}"], traced["process shipping"], traced["ship"]
    assert [ids_of(span)[0] for span in traced] == [TRACE] * 3
    assert [parent_of(span) for span in (request, attempt, own)] == [
        *(PARENT, ids_of(request)[1], ids_of(attempt)[1])
    ]
    assert traceparent_of(message) == "00-{}-{}-01".format(*ids_of(request))
    assert (request.kind, dict(request.attributes or {})) == (
        SpanKind.SERVER,
        {
            "http.request.method": "POST",
            "http.route": "/webhooks/{provider}",
            "http.response.status_code": 202,
            "url.path": "/webhooks/acme",
            "url.scheme": "http",
            "messaging.system": "rabbitmq",
            "messaging.destination.name": "webhooks:acme.order.paid",
            "messaging.message.id": "evt_1",
            "webhook.provider": "acme",
            "webhook.event_type": "order.paid",
            "webhook.outcome": "accepted",
        },
    )
    assert (attempt.kind, dict(attempt.attributes or {})) == (
        SpanKind.CONSUMER,
        {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "webhooks:acme.order.paid:shipping",
            "messaging.message.id": "evt_1",
            "webhook.provider": "acme",
            "webhook.event_type": "order.paid",
            "webhook.queue": "shipping",
            "webhook.attempts": 1,
            "webhook.outcome": "handled",
        },
    )
    assert [f"{link.context.span_id:016x}" for link in attempt.links] == [ids_of(request)[1]]
    assert all(span.status.status_code is StatusCode.UNSET for span in traced)
    assert (request.start_time or 0) < (request.end_time or 0) < (attempt.start_time or 0)


@pytest.mark.parametrize(
    ("sent", "parent", "is_sampled"),
    [
        (None, None, True),
        (SAMPLED, PARENT, True),
        (UNSAMPLED, None, False),
        (f"00-{'0' * 32}-{PARENT}-01", None, True),
        (f"00-{TRACE}-{'0' * 16}-01", None, True),
        (f"ff-{TRACE}-{PARENT}-01", None, True),
        (f"00-{PARENT}-{TRACE}-01", None, True),
        (f"{SAMPLED}-more", None, True),
        (f"  {SAMPLED[:-2]}", None, True),
        ("00-" + "g" * 32 + f"-{PARENT}-01", None, True),
    ],
)
async def test_a_trace_goes_on_if_the_sender_says_so_in_good_form(
    build: Callable[..., Acme], traced: Traced, sent: str | None, parent: str | None, is_sampled: bool
) -> None:
    """Otherwise it begins here. An unsampled trace makes no span, but goes on in the message."""
    acme = build()
    await acme.post(body_of(), **({"traceparent": sent} if sent else {}))
    (message,) = acme.publisher.messages
    version, trace, span, flags = traceparent_of(message).split("-")

    assert (version, flags[1] in "13") == ("00", is_sampled)
    assert (trace == TRACE) == (sent in {SAMPLED, UNSAMPLED})
    assert span not in {PARENT, "0" * 16}
    assert [(ids_of(each), parent_of(each)) for each in traced] == [((trace, span), parent)] * is_sampled


async def test_strangers_make_no_spans(build: Callable[..., Acme], traced: Traced) -> None:
    """Whatever they send, and whatever trace context they send with it."""
    acme = build()
    for headers in ({"X_Signature": "0" * 64}, {"X_Signature": ""}):
        answer = await acme.post(body_of(), traceparent=SAMPLED, **headers)
        assert answer.status_code == 401
    assert (await acme.client.post("/webhooks/nobody", headers={"traceparent": SAMPLED})).status_code == 404

    assert list(traced) == []


@pytest.mark.parametrize(
    ("case", "outcome", "status"),
    [
        ("repeated", "duplicate", 200),
        ("unwanted", "ignored", 200),
        ("no JSON", "malformed_json", 400),
        ("refused", "broker_unavailable", 503),
        ("bug", "internal", 500),
    ],
)
async def test_the_span_of_a_request_says_how_it_ended(
    build: Callable[..., Acme], traced: Traced, case: str, outcome: str, status: int
) -> None:
    """Only a fault of the gateway is an error, and only a published event has a destination."""
    acme = build(events=["order.*"])
    if case == "repeated":
        await acme.post(body_of(), traceparent=UNSAMPLED)
    acme.publisher.refused = {"evt_1"} if case == "refused" else set()
    acme.claims.bug = RuntimeError(PRIVATE) if case == "bug" else None
    body = {"no JSON": b"{" + PRIVATE.encode(), "unwanted": body_of(type="customer")}.get(case, body_of())
    answer = await acme.post(body)
    (span,) = traced
    attributes = dict(span.attributes)

    assert (answer.status_code, attributes["http.response.status_code"]) == (status, status)
    assert attributes["webhook.outcome"] == outcome
    assert attributes.get("error.type") == (outcome if status >= 500 else None)
    assert (span.status.status_code is StatusCode.ERROR) == (status >= 500)
    assert not attributes.keys() & {"messaging.system", "messaging.destination.name"}
    assert PRIVATE not in span.to_json()


async def test_a_list_is_one_span_and_all_its_events_carry_it(
    build: Callable[..., Acme], traced: Traced
) -> None:
    """However many there are: the length of a batch must not decide how many spans are made."""
    acme = build(batch="body:", event_id="item:/id", event_type="item:/type")
    items = [{**ORDER, "id": f"evt_{number}"} for number in range(150)]
    await acme.post(json.dumps(items).encode(), X_Delivery="d-1")
    (span,) = traced

    assert {traceparent_of(message) for message in acme.publisher.messages} == {
        "00-{}-{}-{:02x}".format(*ids_of(span), span.context.trace_flags)
    }
    assert span.attributes["messaging.batch.message_count"] == len(items) == len(acme.published)
    assert not span.attributes.keys() & {"messaging.message.id", "messaging.destination.name"}


@pytest.mark.parametrize(
    ("error", "outcome", "name"),
    [
        (ValueError(PRIVATE), "retried", "ValueError"),
        (Retry(after=30), "retried", "gateway.worker.errors.Retry"),
        (Dead(PRIVATE), "dead", "gateway.worker.errors.Dead"),
        (asyncio.CancelledError(PRIVATE), "retried", "asyncio.exceptions.CancelledError"),
    ],
)
async def test_an_attempt_that_failed_says_by_what_kind_of_exception(
    tmp_path: Path,
    build: Callable[..., Acme],
    traced: Traced,
    error: BaseException,
    outcome: str,
    name: str,
) -> None:
    """Its text could contain anything and is left out. An event that no function handles makes no attempt."""
    acme = build()
    worker = Worker("shipping", ["acme.#"])

    @worker.on("acme.order.paid")
    async def ship(event: Event) -> None:
        raise error

    for event_type in ("order.paid", "order.refunded"):
        await acme.post(body_of(id=event_type, type=event_type))
    await handle(Place(tmp_path / "var"), worker, traced.spans, *acme.publisher.messages)
    span = traced["process shipping"]

    assert span.attributes
    assert (span.attributes["webhook.outcome"], span.attributes["error.type"]) == (outcome, name)
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events
    assert PRIVATE not in span.to_json()


def test_every_attribute_is_documented() -> None:
    """And no attribute that does not exist."""
    page = (ROOT / "docs/reference/tracing.md").read_text("utf-8").partition("<!-- attributes -->")[2]
    table = page.partition("<!-- /attributes -->")[0]
    source = (ROOT / "gateway/observability/tracing/spans.py").read_text("utf-8")

    assert set(re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)`", table)) == set(
        re.findall(r'"((?:[a-z_]+\.)+[a-z_]+)"', source)
    )


_ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {**_ENDPOINT, "OTEL_SDK_DISABLED": "True"},
        {**_ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SERVICE_NAME": "webhooks"},
    ],
)
def test_nobody_is_traced_who_does_not_ask_for_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """By the variables of OpenTelemetry."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with tracing("rabbitmq", "webhooks") as spans:
        assert spans is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "install agent-webhook-gateway[tracing]"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc"),
    ],
)
def test_what_is_asked_for_and_cannot_be_is_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    """In one line, with what to do."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    monkeypatch.delitem(sys.modules, "gateway.observability.tracing.provider", raising=False)
    for name, value in {**_ENDPOINT, **variables}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(OperatorError) as caught, tracing("rabbitmq", "webhooks"):
        pass

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("gateway.worker", ("opentelemetry",)),
        # The client of Redis has a look at the metrics of OpenTelemetry where that is installed.
        (
            "gateway.cli.worker",
            ("gateway.observability.tracing.spans", "opentelemetry.exporter", "opentelemetry.sdk.trace"),
        ),
        (
            "gateway.cli.serve",
            ("gateway.observability.tracing.spans", "opentelemetry.exporter", "opentelemetry.sdk.trace"),
        ),
        (
            "gateway.cli.dev",
            ("gateway.observability.tracing.spans", "opentelemetry.exporter", "opentelemetry.sdk.trace"),
        ),
    ],
)
@pytest.mark.parametrize("is_installed", [True, False])
def test_without_traces_nothing_of_them_is_imported(
    imported: str, absent: tuple[str, ...], is_installed: bool
) -> None:
    """Nor needed."""
    source = f"""
import sys
if not {is_installed}:
    sys.modules["opentelemetry"] = None
import {imported}
if "cli" in {imported!r}:
    from gateway.observability.tracing import tracing
    with tracing("rabbitmq", "webhooks") as spans:
        assert spans is None
print([name for name in {absent} if sys.modules.get(name)])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
