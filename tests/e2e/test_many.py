"""`gateway send --count`: thousands of events by real servers, each once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox, ids


@pytest.fixture(scope="module")
def gateway(
    module_folder: Path, module_secrets: Secrets, module_redis_url: str, module_rabbitmq_url: str
) -> Iterator[GatewayProcess]:
    """One gateway on real servers for all tests here."""
    process = GatewayProcess(
        module_folder, module_secrets, redis_url=module_redis_url, rabbitmq_url=module_rabbitmq_url
    )
    with process:
        yield process


@pytest.fixture
def inbox(gateway: GatewayProcess, module_rabbitmq_url: str) -> Inbox:
    """A queue for all events, empty."""
    inbox = Inbox(module_rabbitmq_url)
    inbox.take_all()
    return inbox


def test_ten_thousand_events_arrive_once_each(gateway: GatewayProcess, inbox: Inbox) -> None:
    """As many messages as events, with as many ids; the summary says so, and how long the answers took."""
    sent = gateway.run("send", "stripe", "--count", "10000", timeout=90)

    assert sent.returncode == 0, sent.stderr
    arrived = ids(inbox.take(10_000))
    assert set(arrived.values()) == {1}
    assert len(arrived) == 10_000
    counted, summary = sent.stdout.strip().splitlines()
    assert counted.split() == ["10000", "202", "accepted"]
    assert re.fullmatch(
        r"10000 requests in \d+\.\d s, \d+/s; latency p50 [\d.]+ ms, p99 [\d.]+ ms",
        summary,
    )


def test_each_of_many_events_that_is_sent_twice_arrives_once(gateway: GatewayProcess, inbox: Inbox) -> None:
    """Half of the answers say accepted, half say duplicate, and that is what was asked for: exit code 0."""
    sent = gateway.run("send", "acme", "--count", "300", "--repeat", "2")

    assert sent.returncode == 0, sent.stderr
    lines = [line.split() for line in sent.stdout.strip().splitlines()]
    assert sorted(lines[:2]) == [["300", "200", "duplicate"], ["300", "202", "accepted"]]
    assert lines[2][:2] == ["600", "requests"]
    arrived = ids(inbox.take(300))
    assert (len(arrived), set(arrived.values())) == (300, {1})


def test_many_refused_events_are_counted_by_reason_and_fail_the_command(
    gateway: GatewayProcess, inbox: Inbox
) -> None:
    """Exit code 1, and nothing arrives."""
    sent = gateway.run("send", "github", "--count", "50", "--url", f"{gateway.url}/webhooks/stripe")

    assert sent.returncode == 1
    assert sent.stdout.splitlines()[0].split() == ["50", "401", "invalid_signature"]
    assert inbox.take_all() == []
