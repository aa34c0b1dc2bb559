"""Traces as a collector sees them, and a program that does not depend on there being one."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.worker import Worker
from support import senders
from support.agents import Place
from support.collector import Collector
from support.gateway_process import GatewayProcess, Program, Secrets
from support.ports import free_port
from support.receivers import Receiver, respond
from support.senders import post
from support.waiting import wait_until

EVENTS = 40
WORKER = Worker("agent", ["acme.#"])
_AGENT = """
from gateway.worker import Event, Worker
from opentelemetry import trace
{setup}
worker = Worker("agent", ["acme.#"], guard="off")
tracer = trace.get_tracer("agent")

@worker.on("#")
def handle(event: Event) -> None:
    with tracer.start_as_current_span("act"):
        pass
"""
_OWN_PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + chr(10))))
trace.set_tracer_provider(provider)
"""


def agent(gateway: GatewayProcess, variables: dict[str, str], setup: str = "") -> Program:
    """A worker for the events of the gateway, whose function makes a span of its own."""
    (gateway.directory / "agent.py").write_text(_AGENT.format(setup=setup), "utf-8")
    return Program(
        gateway.directory,
        *("worker", "agent:worker", "--config", str(gateway.config)),
        extra=gateway.variables | variables,
    )


def traced(gateway: GatewayProcess, **variables: str) -> GatewayProcess:
    """The gateway with further variables."""
    gateway.environment.update(variables)
    return gateway


def test_each_event_is_one_trace_from_its_request_to_what_its_handler_does(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> None:
    """Through two processes of the gateway, RabbitMQ and a thread; and all spans come before the end."""
    with Collector() as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        gateway = GatewayProcess(
            tmp_path,
            fresh_secrets,
            redis_url=redis_url,
            rabbitmq_url=rabbitmq_url,
            overrides={"server": {"processes": 2}},
        )
        deliveries = [senders.acme(fresh_secrets.acme, senders.order()) for _ in range(EVENTS)]
        own = agent(gateway, variables | {"OTEL_SERVICE_NAME": "agents"})
        with traced(gateway, **variables), own:
            own.wait_for("worker started")
            wait_until(lambda: gateway.run("worker", "agent:worker", "--check").returncode == 0)
            for delivery in deliveries:
                assert post(gateway.url, delivery).status_code == 202
            wait_until(lambda: own.stdout.count('"outcome":"handled"') == EVENTS)
            assert (own.stop(), gateway.stop()) == (0, 0)

    kinds = ["POST /webhooks/{provider}", "act", "process agent"]
    assert Counter(span.name for span in collector.spans) == dict.fromkeys(kinds, EVENTS)
    assert {(span.name, span.service) for span in collector.spans} == {
        *((kinds[0], "webhook-gateway"), (kinds[1], "agents"), (kinds[2], "agents"))
    }
    traces: dict[str, dict[str, str]] = {}
    for span in collector.spans:
        traces.setdefault(span.trace_id, {})[span.name] = span.span_id
    assert len(traces) == EVENTS
    for span in collector.spans:
        ids = traces[span.trace_id]
        assert span.parent_id == {kinds[0]: "", kinds[1]: ids[kinds[2]], kinds[2]: ids[kinds[0]]}[span.name]
    events = {delivery.event_id for delivery in deliveries}
    for kind in (kinds[0], kinds[2]):
        of_kind = [span for span in collector.spans if span.name == kind]
        assert {span.attributes["messaging.message.id"] for span in of_kind} == events
    fresh_secrets.expect_absent(*(span.text for span in collector.spans))


@pytest.mark.parametrize("format_", ["json", "original"])
def test_the_trace_goes_on_to_the_receiver_of_an_endpoint(
    tmp_path: Path, fresh_secrets: Secrets, format_: str
) -> None:
    """A span of the receiver is a child of the request's, at every attempt."""
    with Collector() as collector, Receiver(respond(503), respond(200)) as receiver:
        endpoint = {
            "url": receiver.url,
            "events": ["stripe.#"],
            "format": format_,
            "secrets": ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
            "allow_private": True,
        }
        overrides: dict[str, Any] = {"endpoints": {"billing": endpoint}, "outbound": {"allow_http": True}}
        gateway = GatewayProcess(tmp_path, fresh_secrets, overrides=overrides)
        with traced(gateway, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url):
            gateway.wait_for('"exchange":"webhooks"')
            event = senders.stripe(fresh_secrets.stripe, senders.stripe_event())
            assert post(gateway.url, event).status_code in (200, 202)
            requests = receiver.wait_for(2)
            assert gateway.stop() == 0

    (span,) = collector.spans
    assert {each.headers["traceparent"][:-2] for each in requests} == {f"00-{span.trace_id}-{span.span_id}-"}


async def test_the_provider_of_a_workers_own_module_is_used(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """Without a variable."""
    gateway = GatewayProcess(tmp_path, fresh_secrets)
    with gateway, agent(gateway, {}, _OWN_PROVIDER) as own:
        own.wait_for("worker started")
        await Place(tmp_path / "var").queue_of(WORKER).check()
        assert post(gateway.url, senders.acme(fresh_secrets.acme, senders.order())).status_code == 202
        own.wait_for("process agent\n")
        assert own.stdout.index("act\n") < own.stdout.index("process agent\n")


@pytest.mark.parametrize("kind", ["refuses", "hangs"])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_collector_that_is_away_holds_up_nothing(
    tmp_path: Path, fresh_secrets: Secrets, kind: str, is_told: bool
) -> None:
    """Neither events nor the end, which comes before anybody could say that the spans are lost; one line tells it."""
    silent = socket.create_server(("127.0.0.1", 0)) if kind == "hangs" else None
    port = silent.getsockname()[1] if silent else free_port()
    brisk = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600"}  # ten minutes, which the end does not wait for
    gateway = GatewayProcess(tmp_path, fresh_secrets)
    with traced(
        gateway, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", **(brisk if is_told else patient)
    ):
        for _ in range(3):
            assert post(gateway.url, senders.acme(fresh_secrets.acme, senders.order())).status_code == 202
            if is_told:
                gateway.wait_for("span export failed")
        assert gateway.stop() == 0

        warnings = [line["event"] for line in gateway.log_lines() if line["level"] != "info"]
        assert warnings == ["span export failed"] * is_told
        assert gateway.stderr == ""
    if silent:
        silent.close()


def test_missing_packages_are_told_in_one_line(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """By whichever of several processes needs them."""
    missing = tmp_path / "missing" / "opentelemetry"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ModuleNotFoundError('gone', name='opentelemetry')", "utf-8")
    variables = {"PYTHONPATH": str(missing.parent), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    for processes in (1, 2):
        gateway = GatewayProcess(tmp_path, fresh_secrets, overrides={"server": {"processes": processes}})
        gateway.variables.update(variables)
        done = gateway.run("serve")

        assert done.returncode == 1
        assert "opentelemetry is not installed; install agent-webhook-gateway[tracing]" in done.stderr
        assert len(done.stderr.splitlines()) == 1
