"""Habits of single senders that a stricter receiver would refuse: keys, retries, credentials, and checks of the URL."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.adapters import handshake_replies, registry
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest

NOW = 1_790_000_000
SECRET = "a secret that somebody chose"
NAMES = [name for name in registry.names() if name != registry.GENERIC]


def request(
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    url: str = "https://hooks.example.com/webhooks/x",
) -> RawRequest:
    """What arrives."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    if b"content-type" not in dict(fields):
        fields.append((b"content-type", b"application/json"))
    return RawRequest(body=body, headers=Headers(fields), path="/webhooks/x", url=url)


def fault(adapter: Any, sent: RawRequest, now: float = NOW) -> str | None:
    """Why it is refused; None when it is not."""
    try:
        adapter.verify(sent, now)
    except SignatureRejected as rejection:
        return rejection.fault
    return None


# Keys


def standard(key: bytes, event_id: str = "msg_1", body: bytes = b"{}") -> RawRequest:
    """A delivery as Standard Webhooks signs it."""
    digest = hmac.digest(key, f"{event_id}.{NOW}.".encode() + body, "sha256")
    return request(
        body,
        {
            "Webhook-Id": event_id,
            "Webhook-Timestamp": str(NOW),
            "Webhook-Signature": "v1," + base64.b64encode(digest).decode(),
        },
    )


def test_polar_signs_with_the_decoded_key_or_with_the_text_of_it() -> None:
    """As its own library has it; the slot is that of the secret, whichever key it was."""
    key = bytes(range(32))
    secret = "whsec_" + base64.b64encode(key).decode()
    bound = registry.load("polar").bind([SECRET, secret])
    for signed_with, slot in ((SECRET.encode(), 0), (key, 1), (secret.encode(), 1)):
        assert bound.verify(standard(signed_with), NOW).secret_slot == slot
    for wrong in (b"another", base64.b64encode(key), SECRET.encode() + b" "):
        assert fault(bound, standard(wrong)) == "signature_mismatch"
    odd = registry.load("polar").bind(["whsec_that is no base64"])
    assert fault(odd, standard(b"whsec_that is no base64")) is None


def test_other_senders_have_one_key_for_a_secret() -> None:
    """A text that a standard sender shows is decoded, and is no key itself."""
    key = bytes(range(32))
    secret = "whsec_" + base64.b64encode(key).decode()
    bound = registry.load("standard_webhooks").bind([secret])
    assert fault(bound, standard(key)) is None
    assert fault(bound, standard(secret.encode())) == "signature_mismatch"


# Repetitions


@pytest.mark.parametrize("age", [0, 75, 3_700, 25_200])
@pytest.mark.parametrize("place", ["body", "header"])
def test_linear_repeats_with_the_moment_of_the_first_attempt(age: int, place: str) -> None:
    """After a minute, an hour and six hours; the moment may stand in an unsigned header alone."""
    bound = registry.load("linear").bind([SECRET])
    moment = (NOW - age) * 1000
    body = json.dumps({"type": "Issue"} | ({"webhookTimestamp": moment} if place == "body" else {})).encode()
    headers = {"Linear-Signature": hmac.digest(SECRET.encode(), body, "sha256").hex(), "Linear-Delivery": "d"}
    if place == "header":
        headers["Linear-Timestamp"] = str(moment)
    assert fault(bound, request(body, headers)) is None
    assert fault(bound, request(body, headers), NOW + 9 * 3600) == "timestamp_too_old"
    without = {name: value for name, value in headers.items() if name != "Linear-Timestamp"}
    assert fault(bound, request(body, without)) == (None if place == "body" else "timestamp_missing")


def test_the_signed_moment_of_linear_goes_before_the_one_in_the_header() -> None:
    """Which anybody could change."""
    bound = registry.load("linear").bind([SECRET])
    body = json.dumps({"webhookTimestamp": (NOW - 30 * 3600) * 1000}).encode()
    headers = {
        "Linear-Signature": hmac.digest(SECRET.encode(), body, "sha256").hex(),
        "Linear-Timestamp": str(NOW * 1000),
    }
    assert fault(bound, request(body, headers)) == "timestamp_too_old"
    for odd in (b'{"webhookTimestamp":[1]}', b'{"webhookTimestamp":"soon"}', b'{"webhookTimestamp":{}}'):
        signed = headers | {"Linear-Signature": hmac.digest(SECRET.encode(), odd, "sha256").hex()}
        assert fault(bound, request(odd, signed)) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_sender_that_repeats_its_moment_is_let_in_for_as_long(name: str) -> None:
    """And for no longer than an event is remembered."""
    spec = registry.load(name).spec
    tolerance = spec.signature.timestamp_tolerance
    if spec.repeats_timestamp:
        assert tolerance is not None
        assert tolerance >= (spec.retry_horizon or 0)
    assert (tolerance or 0) <= 345_600


def test_a_tolerance_below_what_is_repeated_is_a_mistake_in_an_adapter() -> None:
    """It would refuse every repetition."""
    signature = {
        "header": "X-S",
        "signed": "{timestamp}{body}",
        "timestamp": {"header": "X-T", "tolerance": "5m"},
    }
    for more in ({"signature": signature, "retry_horizon": "6m"}, {"signature": {"header": "X-S"}}):
        with pytest.raises(ValidationError, match="must be at least the retry_horizon"):
            AdapterSpec.model_validate({"repeats_timestamp": True, **more})


# Credentials


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_basic_credentials_may_come_in_either_encoding(encoding: str) -> None:
    """Browsers and .NET write Latin-1; the slot is that of the secret."""
    bound = registry.load("postmark").bind(["other:password of it", "käthe:pässwörd-über-alles"])
    shown = base64.b64encode("käthe:pässwörd-über-alles".encode(encoding)).decode()
    assert bound.verify(request(headers={"Authorization": f"Basic {shown}"}), NOW).secret_slot == 1
    assert bound.verify(request(headers={"Authorization": f"basic {shown}"}), NOW).secret_slot == 1
    wrong = base64.b64encode("käthe:passwörd-über-alles".encode(encoding)).decode()
    assert fault(bound, request(headers={"Authorization": f"Basic {wrong}"})) == "signature_mismatch"


def test_credentials_beyond_latin_1_come_in_utf_8_alone() -> None:
    """There is no other way to write them."""
    bound = registry.load("postmark").bind(["user:пароль-пароль"])
    shown = base64.b64encode("user:пароль-пароль".encode()).decode()
    assert fault(bound, request(headers={"Authorization": f"Basic {shown}"})) is None


# Addresses


def test_a_token_of_monday_is_for_one_address() -> None:
    """One for another endpoint of the same app passes there alone."""
    adapter = registry.load("monday")
    here, there = "https://hooks.example.com/webhooks/x", "https://hooks.example.com/webhooks/y"
    signed = adapter.scheme.sign(request(url=here), SECRET, NOW)
    bound = adapter.bind([SECRET])
    assert bound.needs_url
    assert fault(bound, request(headers=signed.headers, url=here)) is None
    assert fault(bound, request(headers=signed.headers, url=there)) == "claim_mismatch"
    claims = json.loads(base64.urlsafe_b64decode(signed.headers["Authorization"].split(".")[1] + "=="))
    assert claims["aud"] == here


def test_a_simulated_token_of_vonage_has_the_claims_of_a_real_one() -> None:
    """Those that nobody compares as well."""
    adapter = registry.load("vonage")
    signed = adapter.scheme.sign(request(), SECRET, NOW)
    claims = json.loads(base64.urlsafe_b64decode(signed.headers["Authorization"].split(".")[1] + "=="))
    assert {"iss": "Vonage", "iat": NOW}.items() <= claims.items()
    assert claims["jti"]
    assert fault(adapter.bind([SECRET]), request(headers=signed.headers)) is None


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "headers", "is_answered"),
    [
        (b"token=abc&ssl_check=1", FORM, True),
        (b"ssl_check=1&token=abc", FORM, True),
        (
            b"ssl_check=1&token=abc",
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            True,
        ),
        (b"ssl_check=0&token=abc", FORM, False),
        (b"ssl_check=1", FORM, False),
        (b"ssl_check=1&token=", FORM, False),
        (b"ssl_check=1&ssl_check=1&token=abc", FORM, False),
        (b"ssl_check=1&token=abc&command=%2Fdeploy", FORM, False),
        (b"ssl_check=1&token=abc&payload=%7B%7D", FORM, False),
        (b"ssl_check=1&token=" + b"a" * 4096, FORM, False),
        (b'{"ssl_check":"1","token":"abc"}', {}, False),
    ],
)
def test_slack_may_check_a_certificate_without_a_signature(
    body: bytes, headers: dict[str, str], *, is_answered: bool
) -> None:
    """With that form and nothing beside it; all else is verified as a delivery."""
    responder = registry.load("slack").bind([SECRET]).handshake_responder
    assert responder is not None
    reply = responder.answer_unsigned(request(body, headers))
    assert (reply is not None) == is_answered
    if reply:
        assert (reply.status, reply.body) == (200, b"")


def test_a_signed_check_of_a_certificate_is_no_command() -> None:
    """Slack signs it since it signs."""
    bound = registry.load("slack").bind([SECRET])
    body = b"ssl_check=1&token=abc&team_id=T1"
    digest = hmac.digest(SECRET.encode(), f"v0:{NOW}:".encode() + body, "sha256").hex()
    sent = request(body, FORM | {"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": f"v0={digest}"})
    assert bound.handshake_responder is not None
    assert bound.handshake_responder.answer_unsigned(sent) is None
    fields = {"ssl_check": "1", "token": "abc", "team_id": "T1"}
    reply = bound.handshake_responder.answer_signed(bound.verify(sent, NOW), fields)
    assert reply is not None
    assert reply.status == 200
    assert bound.handshake_responder.answer_signed(bound.verify(sent, NOW), {"command": "/deploy"}) is None


def test_a_body_that_cannot_be_a_handshake_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery is not read before it is proven only since its sender has handshakes, too."""
    read: list[bytes] = []
    monkeypatch.setattr(handshake_replies, "_read", lambda body, _, **__: read.append(body))
    for name in NAMES:
        responder = (
            registry.load(name).bind([], handshake_token=SECRET).handshake_responder
            if registry.load(name).spec.enrols
            else None
        )
        responder = responder or (
            registry.load(name).bind([SECRET]).handshake_responder
            if name in ("slack", "woocommerce", "monday")
            else None
        )
        if responder:
            for body, headers in ((b'{"a":1}', {}), (b"a=1&b=2", FORM), (b"x" * 4096, {})):
                assert responder.answer_unsigned(request(body, headers)) is None
    assert read == []


# What their documents say


def test_what_is_known_of_repetitions_has_reached_the_adapters() -> None:
    """Those that document how long they wait or repeat say at least one of the two."""
    silent = {
        name
        for name in ("bitbucket_cloud", "gitea", "square", "razorpay", "paddle", "calendly", "xero", "notion", "mux", "telegram",
                     "vercel", "typeform", "trello", "webflow", "contentful", "plaid", "braintree", "recurly", "heroku")
        for spec in [registry.load(name).spec]
        if spec.patience is None and spec.retry_horizon is None
    }  # fmt: skip
    assert silent == set()


@pytest.mark.parametrize(
    ("name", "megabytes"),
    [
        ("github", 25), ("gitlab", 25), ("gitlab_signed", 25), ("meta", 3), ("mailgun", 25), ("mandrill", 25),
        ("postmark", 35), ("sparkpost", 20), ("sparkpost_token", 20), ("mailersend", 25), ("google_pubsub", 10), ("jira", 25),
        ("shopify", 2),
    ],
)  # fmt: skip
def test_bodies_may_be_as_large_as_the_sender_documents(name: str, megabytes: int) -> None:
    """In megabytes, before attachments are encoded."""
    assert (registry.load(name).spec.max_body or 0) >= megabytes * 1_000_000
