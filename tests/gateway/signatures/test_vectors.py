"""Published test vectors, and signatures from the test suites of other projects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.secrets import SecretFormatError

STANDARD_WEBHOOKS_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_WEBHOOKS_BODY = b'{"test": 2432232314}'
STANDARD_WEBHOOKS_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_WEBHOOKS_NOW = 1614265330


def described(**signature: Any) -> Adapter:
    """An adapter of the grammar of `adapter: hmac`."""
    return Adapter("hmac", AdapterSpec.model_validate({"signature": signature}))


def as_request(body: bytes, headers: dict[str, str], url: str = "") -> RawRequest:
    """A POST with these headers."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return RawRequest(body=body, headers=Headers(fields), query=url.partition("?")[2].encode(), url=url)


def is_accepted(adapter: Adapter, secret: str, request: RawRequest, now: float) -> bool:
    """Our verdict. A secret that cannot be bound refuses everything."""
    try:
        adapter.bind([secret]).verify(request, now)
    except (SignatureRejected, SecretFormatError):
        return False
    return True


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
def test_the_vector_of_the_github_documentation_is_accepted() -> None:
    """GitHub's own secret, body and signature."""
    headers = {
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    }
    request = as_request(b"Hello, World!", headers)
    assert is_accepted(registry.load("github"), "It's a Secret to Everybody", request, 0)


# https://github.com/standard-webhooks/standard-webhooks libraries/python/tests/test_webhooks.py
@pytest.mark.parametrize(
    "secret", [STANDARD_WEBHOOKS_SECRET, STANDARD_WEBHOOKS_SECRET.removeprefix("whsec_")]
)
def test_the_v1_vector_of_standard_webhooks_is_accepted(secret: str) -> None:
    """With the prefix of the secret, and without it as some senders show it."""
    headers = {
        "webhook-id": STANDARD_WEBHOOKS_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    request = as_request(STANDARD_WEBHOOKS_BODY, headers)
    assert is_accepted(registry.load("standard_webhooks"), secret, request, STANDARD_WEBHOOKS_NOW)


# https://github.com/svix/svix-webhooks server/svix-server/src/worker.rs, test_asymmetric_key_signing
V1A_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A_PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
V1A_SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_the_v1a_vector_is_accepted() -> None:
    """Ed25519, checked with the public key alone."""
    headers = {
        "webhook-id": STANDARD_WEBHOOKS_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": V1A_SIGNATURE,
    }
    request = as_request(STANDARD_WEBHOOKS_BODY, headers)
    assert is_accepted(registry.load("standard_webhooks"), V1A_PUBLIC, request, STANDARD_WEBHOOKS_NOW)


def test_the_v1a_vector_is_what_we_sign() -> None:
    """Ed25519 is deterministic, so that our signature must be theirs to the byte."""
    request = as_request(STANDARD_WEBHOOKS_BODY, {"webhook-id": STANDARD_WEBHOOKS_ID})
    signed = (
        registry.load("standard_webhooks").scheme.sign(request, V1A_PRIVATE, STANDARD_WEBHOOKS_NOW).headers
    )
    assert signed == {"webhook-timestamp": "1614265330", "webhook-signature": V1A_SIGNATURE}


# https://github.com/openai/openai-python tests/lib/test_webhooks.py
def test_the_vector_of_the_openai_library_is_accepted() -> None:
    """OpenAI's own secret, body and headers."""
    body = (
        b'{"id": "evt_685c059ae3a481909bdc86819b066fb6", "object": "event", "created_at": 1750861210, '
        b'"type": "response.completed", "data": {"id": "resp_123"}}'
    )
    headers = {
        "webhook-id": "wh_685c059ae39c8190af8c71ed1022a24d",
        "webhook-timestamp": "1750861210",
        "webhook-signature": "v1,gUAg4R2hWouRZqRQG4uJypNS8YK885G838+EHb4nKBY=",
    }
    secret = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c="
    assert is_accepted(registry.load("openai"), secret, as_request(body, headers), 1750861210)


# RFC 2202, section 3, case 2 (SHA-1) and RFC 4231, section 4.3, case 2 (the others)
@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "sha384",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            "sha512",
            (
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
            ),
        ),
    ],
)
def test_the_vectors_of_the_hmac_rfcs_are_accepted(algorithm: str, digest: str) -> None:
    """Each digest is the one of its name."""
    adapter = described(header="X-Signature", algorithm=algorithm)
    request = as_request(b"what do ya want for nothing?", {"X-Signature": digest})
    assert is_accepted(adapter, "Jefe", request, 0)


# https://docs.slack.dev/authentication/verifying-requests-from-slack
def test_the_vector_of_the_slack_documentation_is_accepted() -> None:
    """A timestamp in a header of its own, and literal text in what is signed."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    adapter = registry.load("slack")
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    request = as_request(body, headers)
    assert is_accepted(adapter, "8f742231b10e8888abcd99yyyzzz85a5", request, 1531420618)


# https://github.com/square/square-python-sdk tests/integration/test_webhooks_helper.py
def test_the_vector_of_the_square_library_is_accepted() -> None:
    """The address that was called is among what is signed."""
    body = (
        b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification",'
        b'"event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z",'
        b'"data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}'
    )
    adapter = registry.load("square")
    request = as_request(
        body,
        {"X-Square-HmacSha256-Signature": "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="},
        url="https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
    )
    assert is_accepted(adapter, "Ibxx_5AKakO-3qeNVR61Dw", request, 0)


# https://github.com/HubSpot/hubspot-api-python tests/unit/utils/test_signature.py, version 3
def test_the_vector_of_the_hubspot_library_is_accepted() -> None:
    """Method, address, body and a timestamp in milliseconds, one after the other."""
    adapter = registry.load("hubspot")
    headers = {
        "X-HubSpot-Request-Timestamp": "1693657560000",
        "X-HubSpot-Signature-v3": "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
    }
    request = as_request(b"{'example_field':'example_value'}", headers, "https://www.example.com/webhook_uri")
    assert is_accepted(adapter, "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", request, 1693657560)


# https://circleci.com/docs/outbound-webhooks/#validate-webhooks
@pytest.mark.parametrize(
    ("secret", "body", "digest"),
    [
        ("secret", b"hello world", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
        ("another-secret", b"lalala", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
        (
            "hunter123",
            b"an-important-request-payload",
            "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa",
        ),
        ("secret", b"foo", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"),
    ],
)
def test_the_vectors_of_the_circleci_documentation_are_accepted(
    secret: str, body: bytes, digest: str
) -> None:
    """A list of versioned signatures, of which one version counts."""
    adapter = registry.load("circleci")
    request = as_request(body, {"Circleci-Signature": f"v1={digest},v2=unknown"})
    assert is_accepted(adapter, secret, request, 0)


PAGERDUTY = registry.load("pagerduty")
LINE = registry.load("line")
PADDLE = registry.load("paddle")
TWILIO = registry.load("twilio")
ADYEN = described(header="X-Digest", encoding="base64", secret_format="hex")
"""For what Adyen signs, the parts of an item joined by colons, as a body."""


def adapter_for(vector: dict[str, Any]) -> Adapter:
    """The adapter that a vector of the collection is meant for."""
    scheme = vector["scheme"]
    family = scheme.partition("-")[0]
    if scheme == "standard-webhooks":
        return registry.load("standard_webhooks")
    if family == "github":
        return registry.load("github")
    if family == "svix":
        return registry.load("svix")
    if family == "hmac":
        algorithm = scheme.split("-")[1]
        is_prefixed = "=" in vector["headers"]["X-Hub-Signature"]
        return described(
            header="X-Hub-Signature",
            algorithm=algorithm,
            prefix=f"{algorithm}=" if is_prefixed else "",
            separator=",",
        )
    return {"adyen": ADYEN, "line": LINE, "paddle": PADDLE, "pagerduty": PAGERDUTY, "twilio": TWILIO}[scheme]


def headers_of(vector: dict[str, Any]) -> dict[str, str]:
    """The headers of a vector; the digest of that of Adyen stands in its note."""
    if vector["scheme"] == "adyen":
        return {"X-Digest": vector["note"].rpartition(": ")[2]}
    return dict(vector["headers"])


def moment_of(vector: dict[str, Any]) -> float:
    """The moment at which a vector was signed: the timestamps of the collection are old."""
    for name, value in vector["headers"].items():
        if name.endswith("-timestamp") and value.isdigit():
            return float(value)
        if name == "Paddle-Signature":
            return float(value.partition(";")[0].removeprefix("ts="))
    return 0.0


def test_the_verdicts_on_the_collected_vectors_are_ours(corpus: Path) -> None:
    """On every one of them."""
    files = [
        path for path in sorted((corpus / "signature-vectors").glob("*.json")) if path.name != "index.json"
    ]
    expected, actual = {}, {}
    for path in files:
        vector = json.loads(path.read_text("utf-8"))
        adapter = adapter_for(vector)
        request = as_request(vector["body"].encode(), headers_of(vector), vector.get("url", ""))
        expected[path.name] = vector["valid"]
        actual[path.name] = is_accepted(adapter, vector["secret"], request, moment_of(vector))
    assert expected == actual
    assert len(files) == 28
    assert sum(actual.values()) == 15


def test_a_vector_of_paddle_with_two_signatures_needs_only_one_that_is_right() -> None:
    """The valid one stands second; with another secret it is refused in the collection."""
    # https://github.com/PaddleHQ/paddle-python-sdk tests/Unit/Notification/test_Verifier.py
    digest = "d96299976a6eb066f484d7fde011ac56fc32b38fc9940bc419d6e537fdc6ef02"
    request = as_request(b"hello-world", {"Paddle-Signature": f"ts=1696195954;h1=dummy;h1={digest}"})
    secret = "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9rgYYIBZY6wZhG4EHy9jzh"
    assert is_accepted(PADDLE, secret, request, 1696195954)
