"""What an operator sees: every request counted once, logged once, and no secret anywhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Arrival, Inbox
from support.senders import Delivery, post
from support.waiting import wait_until

EXPECTED = {
    ("stripe", "accepted"): 3,
    ("stripe", "duplicate"): 2,
    ("stripe", "invalid_signature"): 4,
    ("stripe", "malformed_json"): 1,
    ("stripe", "quarantined"): 1,
    ("stripe", "method_not_allowed"): 1,
    ("github", "accepted"): 2,
    ("github", "ignored"): 1,
    ("acme", "accepted"): 1,
    ("acme", "body_too_large"): 1,
    ("acme", "schema_mismatch"): 1,
    ("", "unknown_provider"): 3,
}
ONLY_INVALID_SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
MAX_BODY = 16_384


class Mix:
    """A known mix of requests that was sent, with everything that came of it."""

    def __init__(self, gateway: GatewayProcess, inbox: Inbox) -> None:
        self.gateway = gateway
        self.secrets = gateway.secrets
        self.answers: list[httpx.Response] = []
        self._send_all()
        self.arrivals: list[Arrival] = inbox.take(6)

    def _send(self, *deliveries: Delivery) -> None:
        self.answers += [post(self.gateway.url, delivery) for delivery in deliveries]

    def _send_all(self) -> None:
        stripe = [senders.stripe(self.secrets.stripe, senders.stripe_event()) for _ in range(3)]
        self._send(*stripe, *stripe[:2], *(delivery.tampered() for delivery in stripe))
        self._send(senders.stripe(self.secrets.github, senders.stripe_event()))
        broken = senders.stripe_event() + b"}"
        self._send(_signed_as_it_is(self.secrets.stripe, broken))
        self._send(senders.stripe(self.secrets.stripe, senders.stripe_event(data="a-private-value")))
        self.answers.append(self.gateway.get("/webhooks/stripe"))

        ping = b'{"zen":"Speak like a human.","hook_id":42,"hook":{"id":42}}'
        for event, delivery_id in (("ping", "1-a"), ("ping", "1-b"), ("fork", "1-c")):
            self._send(senders.github(self.secrets.github, ping, event, delivery_id))

        self._send(senders.acme(self.secrets.acme, senders.order()))
        self._send(senders.acme(self.secrets.acme, senders.order(note="x" * MAX_BODY)))
        self._send(senders.acme(self.secrets.acme, senders.order(total="a-private-value")))

        for name in ("nobody", "somebody"):
            self.answers.append(
                httpx.post(f"{self.gateway.url}/webhooks/{name}", content=b"{}", trust_env=False)
            )
        self.answers.append(self.gateway.get("/metrics"))


def _signed_as_it_is(secret: str, body: bytes) -> Delivery:
    """A genuine delivery of something that is no JSON."""
    headers = dict(senders.stripe(secret, senders.stripe_event()).headers)
    headers["Stripe-Signature"] = senders.stripe_signature(secret, body)
    return Delivery("stripe", "", "", headers, body)


@pytest.fixture(scope="module")
def mix(
    module_folder: Path, module_secrets: Secrets, module_redis_url: str, module_rabbitmq_url: str
) -> Iterator[Mix]:
    """The mix, sent to a gateway that still runs."""
    (module_folder / "order.json").write_text(
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **ONLY_INVALID_SCHEMA})
    )
    process = GatewayProcess(
        module_folder,
        module_secrets,
        redis_url=module_redis_url,
        rabbitmq_url=module_rabbitmq_url,
        overrides={"server": {"max_body": f"{MAX_BODY}B"}},
    )
    content = json.loads(process.config.read_text())
    content["providers"]["github"]["events"] = ["ping"]
    content["providers"]["acme"] |= {"schema": "order.json", "on_invalid": "reject"}
    process.config.write_text(json.dumps(content))
    with process:
        yield Mix(process, Inbox(module_rabbitmq_url))


def samples(mix: Mix, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric above zero, by its labels, with the provider's first."""
    text = mix.gateway.get("/metrics", admin=True).text
    return {
        (sample.labels["provider"], *(sample.labels[name] for name in sample.labels if name != "provider")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.value > 0
    }


def test_every_request_is_counted_by_provider_and_outcome(mix: Mix) -> None:
    """Each once, with the word that its sender was answered."""
    assert samples(mix, "webhook_requests_total") == EXPECTED


def test_refused_signatures_are_counted_by_their_precise_reason(mix: Mix) -> None:
    """Which the sender is not told."""
    assert samples(mix, "webhook_signature_failures_total") == {("stripe", "signature_mismatch"): 4}
    refused = [answer for answer in mix.answers if answer.status_code == 401]
    assert {answer.text for answer in refused} == {'{"status":"rejected","reason":"invalid_signature"}'}


def test_verified_requests_are_counted_by_the_secret_that_matched(mix: Mix) -> None:
    """So that one can see when an old secret is out of use."""
    assert samples(mix, "webhook_secret_slot_matches_total") == {
        ("stripe", "0"): 7,
        ("github", "0"): 3,
        ("acme", "0"): 2,
    }


def test_the_duration_of_every_request_is_observed(mix: Mix) -> None:
    """In as many observations as there were requests."""
    expected: Counter[tuple[str, ...]] = Counter()
    for (provider, _), count in EXPECTED.items():
        expected[provider,] += count
    assert samples(mix, "webhook_request_duration_seconds_count") == dict(expected)


def test_metrics_are_not_for_the_public(mix: Mix) -> None:
    """404 on the listener for senders; on the other one, webhooks are not received."""
    assert mix.answers[-1].status_code == 404
    assert mix.gateway.get("/metrics", admin=True).headers["content-type"].startswith("text/plain")
    moved = httpx.post(f"{mix.gateway.admin_url}/webhooks/stripe", content=b"{}", trust_env=False)
    assert moved.status_code == 404


def test_every_request_is_one_json_line(mix: Mix) -> None:
    """With the same outcomes as the metrics, and nothing on standard error."""
    wait_until(lambda: len(mix.gateway.request_lines()) >= len(mix.answers), message="the lines were written")
    lines = mix.gateway.request_lines()
    assert len(lines) == len(mix.answers) == sum(EXPECTED.values())
    outcomes = Counter((line["provider"] or "", line["outcome"]) for line in lines)
    assert outcomes == EXPECTED
    assert [line["status"] for line in lines] == [answer.status_code for answer in mix.answers]
    assert all({"timestamp", "level", "ms"} <= line.keys() for line in lines)
    assert mix.gateway.stderr == ""


def test_a_line_tells_what_happened_to_which_event(mix: Mix) -> None:
    """The id is the one that the sender was answered and the consumer got."""
    lines = mix.gateway.request_lines()
    accepted = [line for line in lines if line["outcome"] == "accepted"]
    assert {line["event_id"] for line in accepted} == {arrival.message_id for arrival in mix.arrivals}
    (too_long,) = (line for line in lines if line["outcome"] == "schema_mismatch")
    assert too_long["cause"].startswith("/total: ")
    assert {line["cause"] for line in lines if line["outcome"] == "invalid_signature"} == {
        "signature_mismatch"
    }


def test_no_secret_and_no_private_value_leaves_the_gateway(
    mix: Mix, module_rabbitmq_url: str, expect_clean: Callable[..., None]
) -> None:
    """Neither by logs, metrics and answers, nor by what is published."""
    seen = [mix.gateway.stdout, mix.gateway.stderr, mix.gateway.get("/metrics", admin=True).text]
    seen += [answer.text for answer in mix.answers]
    assert not any("a-private-value" in text for text in seen)
    assert not any("guest:guest" in text for text in seen)
    (quarantined,) = Inbox(module_rabbitmq_url, "webhooks.quarantine", pattern=None).take(1)
    expect_clean(*seen, *(f"{arrival.headers}{arrival.body!r}" for arrival in [*mix.arrivals, quarantined]))
