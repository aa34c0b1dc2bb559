"""The format `original`: what an endpoint gets is what its provider would send, for every adapter."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import standardwebhooks
import svix
from stripe._webhook import WebhookSignature

from gateway.adapters.adapter import Adapter
from gateway.adapters.identity import Identity
from gateway.devtools.samples import load_sample, sample_names
from gateway.devtools.simulator import Simulator
from gateway.events.body import Reader
from gateway.events.envelope import Envelope
from gateway.outbound.addresses import AddressRules, judge_url
from gateway.outbound.envelope import NoSuchFormat
from gateway.outbound.original import bundled_sender, make_original
from gateway.outbound.secrets import make_secret
from gateway.signatures.extractors import Parent
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import NAMES, NOW, parameters_of, secrets_of

URL = "https://app.acme.dev/webhooks/in?tenant=7"


def senders(adapter: str, provider: str) -> tuple[Adapter, dict[str, str]]:
    """Any adapter with its parameters."""
    found, _ = bundled_sender(adapter, provider)
    return found, parameters_of(found)


def events_of(request: RawRequest, adapter: Adapter, secret: str) -> list[tuple[bytes, dict[str, Any], Any]]:
    """The events of a request that verifies: each as an envelope, its identity, and its payload."""
    bound = adapter.bind([secret], parameters_of(adapter))
    verified = bound.verify(request, NOW)
    content = Reader(adapter.spec, is_body_signed=adapter.spec.signature.is_body_bound).read(
        request.headers, request.body
    )
    envelope = Envelope(adapter.name, adapter.name)
    found = []
    items: list[tuple[Any, bytes, Parent | None]] = [(content.payload, content.data, None)]
    if content.items is not None:
        items = [(item.payload, item.data, item.parent) for item in content.items]
    for payload, data, parent in items:
        known = (
            bound.identify(verified, content.payload)
            if content.items is None
            else bound.identify(verified, content.payload, payload, parent)
        )
        _, kind = envelope.names_of(known.event_type)
        body = envelope.encode(
            known, known.event_id or "none", envelope.source_of(known), kind, data,
            received_at="2026-11-30T00:00:00.000Z", secret_slot=0, is_claimed=True, schema_id=None, traceparent=None,
            media_type=content.media_type,
        )  # fmt: skip
        identity = {"id": known.event_id, "type": known.event_type, "account": known.account}
        found.append((body, identity, payload if content.media_type is None else data))
    return found


def raw(url: str, headers: dict[str, str], body: bytes) -> RawRequest:
    """A request as it arrives at ``url``."""
    address = urlsplit(url)
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return RawRequest(
        body=body, headers=Headers(fields), path=address.path, query=address.query.encode("latin-1"), url=url
    )


CASES = [(name, event_type) for name in NAMES for event_type in sample_names(bundled_sender(name, "")[0])]


IN_NO_REQUEST = {"meta", "x_twitter", "quickbooks_legacy", "google_push_channels"}
"""Adapters whose events are parts of nested lists, or header fields; the rest of their requests is not kept."""


@pytest.mark.parametrize(("name", "event_type"), CASES)
def test_the_adapter_verifies_what_is_sent_in_its_providers_name(name: str, event_type: str) -> None:
    """With the endpoint's secret, and not with the provider's; it reads the same event with the same id, type and account."""
    adapter = bundled_sender(name, "")[0]
    of_provider, of_endpoint = secrets_of(name), secrets_of(name, 1)
    sample = load_sample(adapter, event_type)
    sent = Simulator(adapter, of_provider.sender, URL, sample, parameters=parameters_of(adapter)).make(NOW)

    for envelope, identity, payload in events_of(raw(*sent_parts(sent)), adapter, of_provider.receiver):
        if name in IN_NO_REQUEST:
            with pytest.raises(NoSuchFormat, match="not kept"):
                make_original(envelope, URL, of_endpoint.sender, NOW, senders)
            continue
        original = make_original(envelope, URL, of_endpoint.sender, NOW, senders)
        judge_url(original.url, AddressRules())
        arrived = raw(*original)
        ((_, again, seen),) = events_of(arrived, adapter, of_endpoint.receiver)

        assert without_signature(seen) == without_signature(payload)
        assert {**again, "id": again["id"] and identity["id"]} == {
            **identity,
            "id": identity["id"] and again["id"],
        }
        if of_provider != of_endpoint and adapter.spec.signature.needs_secret:
            with pytest.raises(SignatureRejected):
                adapter.bind([of_provider.receiver], parameters_of(adapter)).verify(arrived, NOW)


SIGNATURES = (
    "signature",
    "Signature",
    "bt_signature",
    "p_signature",
    "secret_key",
    "clientState",
    "event_hash",
    "hmacSignature",
)
"""Members that some providers have their signature or secret in."""


def without_signature(value: Any) -> Any:
    """A body without what differs by the secret."""
    if isinstance(value, dict):
        return {
            name: without_signature(member)
            for name, member in value.items()
            if name not in SIGNATURES or isinstance(member, dict)
        }
    return [without_signature(each) for each in value] if isinstance(value, list) else value


def sent_parts(sent: Any) -> tuple[str, dict[str, str], bytes]:
    """Its URL, header fields and body."""
    return sent.url, sent.headers, sent.body


def envelope_of(adapter: str, body: bytes, media_type: str | None = None, **identity: str) -> bytes:
    """An event with these bytes, as the gateway publishes it."""
    known = Identity(
        identity.get("id", "evt_1"), identity.get("type", "invoice.paid"), True, identity.get("delivery"),
        None, None, None, None, None, within="", is_test=False,
    )  # fmt: skip
    return Envelope("acme", adapter).encode(
        known, known.event_id or "", "/acme", f"com.{adapter}.x", body,
        received_at="2026-11-30T00:00:00.000Z", secret_slot=0, is_claimed=True, schema_id=None, traceparent=None,
        media_type=media_type,
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"evt_1","amount":1.50}',
        b' {"id" : "evt_1",\n  "amount": 1.50, "big": 12345678901234567890, "e": 1E5, "text": "\\u00e9\xc3\xa9"}\n',
        b'{"id":"evt_1","data":{"a":",\\"datacontenttype\\":\\"application/json\\",\\"data\\":"},"b":1}',
        b"[]",
        b"1",
    ],
)
def test_the_bytes_are_those_that_came(body: bytes) -> None:
    """With their white space, escapes and numbers; Stripe's library accepts them with the secret of the endpoint."""
    secret = "whsec_of_the_endpoint"
    original = make_original(envelope_of("stripe", body), URL, secret, time.time(), bundled_sender)

    assert original.body == body
    assert original.url == URL
    assert original.headers["content-type"] == "application/json"
    WebhookSignature.verify_header(body, original.headers["Stripe-Signature"], secret, 300)


def test_the_fields_of_the_provider_come_back() -> None:
    """Type and id as GitHub has them; the action is in the body."""
    envelope = envelope_of(
        "github", b'{"action":"opened"}', id="d-1", type="pull_request.opened", delivery="d-1"
    )

    original = make_original(envelope, URL, "secret", NOW, bundled_sender)

    assert original.headers == {
        "content-type": "application/json",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "d-1",
        "X-Hub-Signature-256": original.headers["X-Hub-Signature-256"],
    }


def test_svix_verifies_an_event_of_its_own() -> None:
    """With the id of the event, so that receivers recognise what they have seen."""
    secret = make_secret()
    envelope = envelope_of("svix", b'{"type":"x"}', id="msg_9", delivery="msg_9")

    original = make_original(envelope, URL, secret, time.time(), bundled_sender)

    assert original.headers["svix-id"] == "msg_9"
    svix.Webhook(secret).verify(original.body, original.headers)


def test_data_that_are_no_json_come_back_with_their_type() -> None:
    """Such as XML and text."""
    envelope = envelope_of("salesforce_outbound", b"<a>\xff</a>", "text/xml")

    body, headers = make_original(envelope, URL, "secret", NOW, bundled_sender)[2:0:-1]

    assert (body, headers["content-type"]) == (b"<a>\xff</a>", "text/xml")


def test_every_attempt_has_a_signature_of_its_own() -> None:
    """By the moment when it is made."""
    envelope = envelope_of("stripe", b"{}")
    first, second = (
        make_original(envelope, URL, "secret", now, bundled_sender).headers["Stripe-Signature"]
        for now in (NOW, NOW + 30)
    )

    assert first.startswith(f"t={NOW:.0f},")
    assert second.startswith(f"t={NOW + 30:.0f},")


def test_another_adapter_can_sign() -> None:
    """`sign_as` is for applications whose library is another one's."""
    secret = make_secret()

    original = make_original(
        envelope_of("aws_sns", b'{"a":1}', id="n-1"),
        URL,
        secret,
        time.time(),
        bundled_sender,
        "standard_webhooks",
    )

    assert standardwebhooks.Webhook(secret).verify(original.body, original.headers) == {"a": 1}


@pytest.mark.parametrize(
    ("envelope", "sign_as", "reason"),
    [
        (
            b'{"id":"1","source":"/agents/a","type":"agent.run.started","data":{}}',
            "",
            "not come from a provider",
        ),
        (b"no JSON", "", "no CloudEvent"),
        (b'{"id":1}', "", "no CloudEvent"),
        (b'{"id":"1","adapter":"own","data":{}}', "", "own, which is no adapter"),
        (b'{"id":"1","adapter":"stripe","data":{}}', "nobody", "nobody, which is no adapter"),
        (b'{"id":"1","adapter":"stripe"}', "", "header fields"),
        (b'{"id":"1","adapter":"svix","data":{}}', "", "cannot be signed as svix: is not base64"),
    ],
)
def test_what_has_no_original_is_told(envelope: bytes, sign_as: str, reason: str) -> None:
    """In one line that ends the attempt."""
    with pytest.raises(NoSuchFormat, match=reason):
        make_original(envelope, URL, "no base64!", NOW, bundled_sender, sign_as)
