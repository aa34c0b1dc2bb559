"""Signatures of requests to endpoints, by the vectors and by libraries that others wrote."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from hashlib import sha256
from random import Random

import pytest
import standardwebhooks
import stripe
import svix
from hypothesis import given
from hypothesis import strategies as st
from stripe._webhook import WebhookSignature

from gateway.adapters import registry
from gateway.outbound.models import Secret, SignatureKind
from gateway.outbound.secrets import check_secret, make_secret, make_seed, public_key_of
from gateway.outbound.signing import Signer, Unsignable
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.secrets import SecretFormatError

A = (
    b'{"specversion":"1.0","id":"evt_01JDKQ4T7V9X2B4D6F8H0K2M4N","source":"/agents/billing-agent","type":"agent.run.completed",'
    b'"time":"2026-11-21T08:58:22.646Z","subject":"run_01JDKQ4QXZ3A5C7E9G1J3M5P7R","datacontenttype":"application/json",'
    b'"dataschema":"urn:webhook-gateway:schema:agent.run.completed:1","tenant":"acme","sequence":"0000000004",'
    b'"data":{"run_id":"run_01JDKQ4QXZ3A5C7E9G1J3M5P7R","status":"completed","duration_ms":8143,"tool_calls":2}}'
)
B = (
    '{"specversion":"1.0","id":"evt_2","source":"/agents/audit","type":"agent.run.failed","time":"2026-11-21T08:58:23Z",'
    '"datacontenttype":"application/json","tenant":"acme","summary":"Prüfer: run run_2 failed – tool_timeout",'
    '"data":{"run_id":"run_2","status":"failed","error":{"code":"tool_timeout","retry":"later"}}}'
).encode()
ID_A, ID_B = "msg_o24sc5dlfh5h2ymbkkjywnftgc", "msg_o6qhmytumyq4sllqjpggripofx"
AT_A, AT_B = 1795251502.9, 1795251503.0
K1 = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
K2 = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
SEED = bytes(range(64, 96))
PUBLIC = "whpk_JUO5L/EJVRFHatyDadtt3JM2ZaEZeN2hQE7hBmypVZ0="
RAW, OLD_RAW = "acme-raw-secret-0123456789abcdef", "acme-old-secret-0123456789abcdef"
V1_K1 = "v1,0Gl/8XdnY1x/Ek4sksJhKkJJLcJQr1a8o9onPGe1PI0="
V1_K2 = "v1,rnU3WZpltoYirZQtzHlP94oJvR2rNJaOItkPQ9f19ZE="
V1A = "v1a,jmQsLr16Tm9GKBw2ZlWxUY+xqa5yGIcVKByH03KLTwm6WvrH7hFFkYn4DtXS5wc1itK2Bco1tJr60BHc+KVvBQ=="

STANDARD, ED25519, ED25519_ONLY, TIMESTAMP = SignatureKind


def secrets_of(*values: str) -> list[Secret]:
    """Secrets that do not expire."""
    return [Secret(id=f"sec_{slot}", value=value, created_at=0.0) for slot, value in enumerate(values)]


def test_the_bodies_are_those_of_the_vectors() -> None:
    """By their digests."""
    assert (len(A), sha256(A).hexdigest()[:16]) == (445, "cbcbb661d02efad5")
    assert (len(B), sha256(B).hexdigest()[:16]) == (315, "3496e4688a67b672")
    assert public_key_of(SEED) == PUBLIC


@pytest.mark.parametrize(
    ("kind", "secrets", "seed", "signature"),
    [
        (STANDARD, [K1], b"", V1_K1),
        (STANDARD, [K2], b"", V1_K2),
        (STANDARD, [K1, K2], b"", f"{V1_K1} {V1_K2}"),
        (ED25519, [K1], SEED, f"{V1_K1} {V1A}"),
        (ED25519_ONLY, [], SEED, V1A),
        (ED25519_ONLY, [K1], SEED, V1A),
    ],
)
def test_the_vectors_of_standard_webhooks(
    kind: SignatureKind, secrets: list[str], seed: bytes, signature: str
) -> None:
    """Fractions of a second are cut off."""
    assert Signer(kind, secrets_of(*secrets), seed).sign(ID_A, AT_A, A) == {
        "webhook-id": ID_A,
        "webhook-timestamp": "1795251502",
        "webhook-signature": signature,
    }


def test_a_body_of_utf_8() -> None:
    """It is signed as bytes."""
    fields = Signer(STANDARD, secrets_of(K1)).sign(ID_B, AT_B, B)

    assert fields["webhook-signature"] == "v1,fDmFLuz3lv8Aa7SdrKr3wjoSI3maey75oouqVH9PKXs="


def test_the_vectors_of_the_timestamp_scheme() -> None:
    """The secrets are texts."""
    assert Signer(TIMESTAMP, secrets_of(RAW, OLD_RAW)).sign(ID_A, AT_A, A) == {
        "x-webhook-id": ID_A,
        "x-webhook-signature": "t=1795251502,v1=b01920bd68471cdc90550aee418cd6f1dc565905fb75b5503a8b03c628b62742,"
        "v1=f7c2e4dca5317f4a3cf88b4b130ae6c6e1782410954ec064007e8a14786e87b7",
    }


def test_expired_secrets_do_not_sign() -> None:
    """From the very moment on; at most five sign at a time."""
    now = 1000.0
    secrets = [
        Secret(id="sec_new", value=K1, created_at=0.0),
        Secret(id="sec_old", value=K2, created_at=0.0, expires_at=now + 1),
    ]
    signer = Signer(STANDARD, secrets)

    assert len(signer.sign(ID_A, now, A)["webhook-signature"].split(" ")) == 2
    assert len(signer.sign(ID_A, now + 1, A)["webhook-signature"].split(" ")) == 1
    many = Signer(STANDARD, secrets_of(*[make_secret() for _ in range(8)]))
    assert many.sign(ID_A, now, A)["webhook-signature"].count("v1,") == 5


@pytest.mark.parametrize("kind", [STANDARD, TIMESTAMP])
def test_nothing_is_sent_unsigned(kind: SignatureKind) -> None:
    """Neither without secrets, nor with expired ones."""
    expired = [Secret(id="sec_0", value=K1, created_at=0.0, expires_at=1.0)]

    for secrets in ([], expired):
        with pytest.raises(Unsignable):
            Signer(kind, secrets).sign(ID_A, AT_A, A)


def test_a_kind_that_needs_a_seed_has_one() -> None:
    """Of 32 bytes."""
    for seed in (b"", b"short"):
        with pytest.raises(ValueError, match="32"):
            Signer(ED25519, secrets_of(K1), seed)


@pytest.mark.parametrize("kind", [STANDARD, ED25519])
@pytest.mark.parametrize("slot", [0, 1, 2])
def test_libraries_of_others_verify_with_any_of_the_secrets(kind: SignatureKind, slot: int) -> None:
    """`standardwebhooks` and `svix` accept it, and refuse another body."""
    values = [make_secret() for _ in range(3)]
    fields = Signer(kind, secrets_of(*values), make_seed()).sign(ID_B, time.time(), B)

    assert standardwebhooks.Webhook(values[slot]).verify(B, fields)["id"] == "evt_2"
    svix.Webhook(values[slot]).verify(B, fields)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(values[slot]).verify(B + b" ", fields)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(make_secret()).verify(B, fields)


def test_libraries_of_others_sign_alike() -> None:
    """The same header field for the same message."""
    moment = datetime.fromtimestamp(int(AT_A), UTC)

    assert standardwebhooks.Webhook(K1).sign(ID_A, moment, A.decode()) == V1_K1
    assert svix.Webhook(K2).sign(ID_A, moment, A.decode()) == V1_K2


def test_stripe_verifies_the_timestamp_scheme() -> None:
    """With any of the secrets."""
    fields = Signer(TIMESTAMP, secrets_of(RAW, OLD_RAW)).sign(ID_A, time.time(), A)

    for secret in (RAW, OLD_RAW):
        WebhookSignature.verify_header(A, fields["x-webhook-signature"], secret, 300)
    with pytest.raises(stripe.SignatureVerificationError):
        WebhookSignature.verify_header(A + b" ", fields["x-webhook-signature"], RAW, 300)


@pytest.mark.parametrize(("kind", "secret"), [(STANDARD, K2), (ED25519, PUBLIC), (ED25519_ONLY, PUBLIC)])
def test_this_gateway_verifies_what_it_sends(kind: SignatureKind, secret: str) -> None:
    """One instance's deliveries are another one's requests."""
    fields = Signer(kind, secrets_of(K1, K2), SEED).sign(ID_A, AT_A, A)
    raw = [(name.encode(), value.encode()) for name, value in fields.items()]
    request = RawRequest(body=A, headers=Headers(raw), path="/", url="https://hooks.acme.dev/")

    registry.load("standard_webhooks").bind([secret]).verify(request, AT_A)


def test_secrets_that_are_made_pass_the_check() -> None:
    """Of both kinds, and each is another one."""
    made = {make_secret() for _ in range(200)}

    assert len(made) == 200
    for secret in made:
        check_secret(secret, STANDARD)
        check_secret(secret.removeprefix("whsec_"), TIMESTAMP)
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def _whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("secret", "kind", "reason"),
    [
        ("", STANDARD, "does not begin with whsec_"),
        (PUBLIC, STANDARD, "does not begin with whsec_"),
        ("whsec_!", STANDARD, "is not base64"),
        (_whsec(b"x" * 23), STANDARD, "24 to 64 bytes"),
        (_whsec(b"x" * 65), STANDARD, "24 to 64 bytes"),
        (_whsec(b"x" * 32), STANDARD, "easy to guess"),
        (_whsec(bytes(range(32))), STANDARD, "easy to guess"),
        (_whsec(b"ab" * 16), STANDARD, "easy to guess"),
        (_whsec(b"password" * 4), STANDARD, "easy to guess"),
        ("0123456789" * 3, TIMESTAMP, "easy to guess"),
        ("too-short", TIMESTAMP, "24 to 256 characters"),
        ("with a space in a long enough text", TIMESTAMP, "printable ASCII"),
        ("mit-einem-ü-im-langen-geheimnis-1", TIMESTAMP, "printable ASCII"),
    ],
)
def test_secrets_that_are_brought_along_are_checked(secret: str, kind: SignatureKind, reason: str) -> None:
    """The reason does not quote them."""
    with pytest.raises(SecretFormatError, match=reason) as refusal:
        check_secret(secret, kind)

    assert not secret or secret not in str(refusal.value)


@given(st.randoms(use_true_random=True), st.integers(24, 64))
def test_random_secrets_of_every_length_pass(random: Random, size: int) -> None:
    """The estimate of the entropy refuses none of them."""
    check_secret(_whsec(random.randbytes(size)), STANDARD)
