"""Samples: events of every provider as a worker gets them, with the changes that a test asks for."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import registry
from gateway.config.discovery import BUNDLED_CONFIG
from gateway.devtools.provider_reference import adapter_names
from gateway.devtools.samples import sample_names
from gateway.errors import ConfigurationError, OperatorError
from gateway.testing import MemoryGateway, sample
from gateway.worker import Event

CONFIG = BUNDLED_CONFIG
CONFIRMATION = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
    "Token": "2336412f37",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:acme-example",
    "Message": "To confirm the subscription, visit the SubscribeURL.",
    "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
    "Timestamp": "2012-04-26T20:45:04.751Z",
}


@pytest.mark.parametrize("name", adapter_names())
def test_every_adapter_has_samples(name: str) -> None:
    """Each is signed, accepted and published with its attributes."""
    for event_type in sample_names(registry.load(name)):
        event = sample(name, event_type)
        assert (event.adapter, event.provider, event.eventtype) == (name, name, event_type)
        assert bool(event.summary) == bool(registry.load(name).spec.summary)
    assert sample(name).id != sample(name).id


def test_a_sample_is_what_a_worker_gets() -> None:
    """With all attributes of the envelope."""
    event = sample("stripe", "invoice.payment_failed")

    assert event.type == "com.stripe.invoice.payment_failed"
    assert event.subject == event.data["data"]["object"]["id"]
    assert event.dataschema == "urn:webhook-gateway:schema:stripe:invoice.payment_failed:1"
    assert event.summary
    assert event.time == datetime.fromtimestamp(event.data["created"], UTC)
    assert event.attempts == 1


def test_data_is_merged_before_it_is_signed() -> None:
    """Derived attributes follow the change; other members stay."""
    invoice = {"id": "in_7", "customer": "cus_42", "lines": {"data": []}}
    event = sample("stripe", "invoice.paid", data={"id": "evt_1", "data": {"object": invoice}})
    found = event.data["data"]["object"]

    assert (event.id, event.subject) == ("evt_1", "in_7")
    assert (found["customer"], found["lines"]["data"], found["object"]) == ("cus_42", [], "invoice")
    assert "cus_42" not in str(sample("stripe", "invoice.paid").data)


def test_a_changed_action_is_another_type() -> None:
    """Where the body contains the type, the body decides."""
    assert sample("github", "issues.opened", data={"action": "closed"}).eventtype == "issues.closed"


def test_each_event_of_a_list_is_changed() -> None:
    """The first event is the sample."""
    assert sample("sendgrid", data={"email": "ada@example.org"}).data["email"] == "ada@example.org"


@pytest.mark.parametrize("body", [b'{"order": {"n": 1}}', {"order": {"n": 1}}])
def test_a_body_of_ones_own_is_sent_as_it_is(body: bytes | dict[str, Any]) -> None:
    """Signed, and with the headers that its provider adds."""
    event = sample("shopify", "carts/update", body=body)

    assert (event.eventtype, event.data, len(event.id)) == ("carts/update", {"order": {"n": 1}}, 36)


def test_attributes_are_set() -> None:
    """Nothing else changes."""
    event = sample("stripe", "invoice.paid", attempts=3, account="acct_7", replayed=True)

    assert (event.attempts, event.account, event.replayed) == (3, "acct_7", True)
    assert event.source == "/stripe"


async def test_a_sample_can_be_made_where_a_loop_runs() -> None:
    """A test simply calls the handler, which skips a step that it did before."""
    done = []

    async def handle(event: Event) -> None:
        async with event.once("step") as first:
            if first:
                done.append(event.key_of("step"))

    event, other = sample("github"), sample("github")
    for each in (event, event, other):
        await handle(each)

    assert done == [event.key_of("step"), other.key_of("step")]


def test_the_steps_of_a_plain_function_are_guarded_too() -> None:
    """Called without a running loop; a step that failed is not done."""
    done = []

    def handle(event: Event, *, fails: bool) -> None:
        with event.once("step") as first:
            if first and fails:
                raise KeyError
            done.append(first)

    event = sample("github")
    with pytest.raises(KeyError):
        handle(event, fails=True)
    handle(event, fails=False)
    handle(event, fails=False)

    assert done == [True, False]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_was_forked_makes_samples() -> None:
    """Although the fork has no threads of its parent."""
    sample("github")
    child = multiprocessing.get_context("fork").Process(target=sample, args=("github",))
    child.start()
    child.join(30)
    child.kill()

    assert child.exitcode == 0


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: sample("strpie"), LookupError, "no adapter 'strpie'; did you mean stripe?"),
        (lambda: sample("acme"), LookupError, r"no adapter 'acme'.*: MemoryGateway\(config=\.\.\.\)"),
        (lambda: sample("hmac"), LookupError, "a provider of your own"),
        (lambda: sample("stripe", "invoice.payed"), LookupError, "there are invoice.paid, .*body="),
        (lambda: sample("stripe", attempt=3), TypeError, "no attribute attempt"),
        (lambda: sample("stripe", attempts="many"), ValueError, "attempts"),
        (lambda: sample("stripe", data={"type": 7}), ValueError, "no worker gets this: it is quarantined, /"),
        (lambda: sample("stripe", body=b"{"), ValueError, "no worker gets this: malformed_json"),
        (
            lambda: sample("salesforce_outbound", data={"a": 1}),
            OperatorError,
            "has no named fields to change",
        ),
        (lambda: sample("aws_sns", body={"Type": "Notification"}), ValueError, "signs no such body: sign"),
        (lambda: sample("aws_sns", body=CONFIRMATION), ValueError, "the gateway would call the provider"),
        (lambda: MemoryGateway("nowhere.yaml"), ConfigurationError, "nowhere.yaml: there is no such file"),
        (lambda: MemoryGateway(CONFIG).sample("gitlab"), LookupError, "'gitlab' is configured; did you mean"),
    ],
)
def test_mistakes_are_explained(make: Callable[[], object], kind: type[Exception], text: str) -> None:
    """With the remedy."""
    with pytest.raises(kind, match=text):
        make()


def test_samples_are_of_the_configured_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their names and settings, without their secrets and addresses; no file is written."""
    monkeypatch.delenv("SECRET", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gateway.yaml"
    path.write_text(
        """
        redis: {url: "${REDIS}"}
        rabbitmq: {url: "${RABBIT}", exchange: mine}
        providers:
          shop:
            adapter: stripe
            secrets: ["${SECRET}"]
            redact: [/data/object/customer]
            events: [invoice.*]
            allow_ips: [192.0.2.0/24]
          push:
            adapter: google_pubsub
            secrets: []
            parameters: {audience: "${AUDIENCE}", email: "${EMAIL}"}
        """
    )
    gateway = MemoryGateway(path)
    event = gateway.sample("shop", "invoice.paid")

    assert (event.provider, event.source, event.redacted) == ("shop", "/shop", True)
    assert event.data["data"]["object"]["customer"] == "***"
    assert gateway.sample("push").provider == "push"
    assert asyncio.run(gateway.send("shop", "invoice.paid")).outcome == "accepted"
    assert [each.provider for each in gateway.events] == ["shop"]
    with pytest.raises(ValueError, match="no worker gets this: ignored"):
        gateway.sample("shop", "charge.refunded")
    assert list(tmp_path.iterdir()) == [path]


def test_the_shipped_configuration_has_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Including a custom provider, whatever secrets the environment has."""
    monkeypatch.setenv("ACME_WEBHOOK_SECRET", "not the secret that is used")

    assert MemoryGateway(str(CONFIG)).sample("acme").eventtype == "order.created"
