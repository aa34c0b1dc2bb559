"""Signatures with private keys: which keys are taken, and which signatures are refused."""

from __future__ import annotations

import base64
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.public_key import PublicKeySpec
from gateway.signatures.secrets import SecretFormatError
from support.certificates import ec_key, issue, private_pem, public_pem, rsa_key

NOW = 1_736_942_400
BODY = b'{"id": "evt_1"}'
ALGORITHMS = get_args(PublicKeySpec.model_fields["algorithm"].annotation)
TIMED: dict[str, Any] = {"signed": "{timestamp}|{body}", "timestamp": {"header": "X-Time"}}


def described(algorithm: str = "ed25519", **signature: Any) -> PublicKeySpec:
    """A description of a sender that signs with a private key."""
    spec = AdapterSpec.model_validate(
        {
            "signature": {
                "scheme": "public_key",
                "algorithm": algorithm,
                "header": "X-Signature",
                **signature,
            }
        }
    ).signature
    assert isinstance(spec, PublicKeySpec)
    return spec


def as_request(headers: dict[str, str], body: bytes = BODY) -> RawRequest:
    """A POST with these headers."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return RawRequest(body=body, headers=Headers(fields), url="https://hooks.example.com/x")


def signed(spec: PublicKeySpec, private: str, now: float = NOW) -> dict[str, str]:
    """The headers of a sender."""
    return AdapterSpec(signature=spec).scheme().sign(as_request({}), private, now).headers


def fault(spec: PublicKeySpec, public: str, request: RawRequest, now: float = NOW) -> str:
    """Why a request is refused."""
    with pytest.raises(SignatureRejected) as caught:
        AdapterSpec(signature=spec).scheme().bind([public]).verify(request, now)
    return caught.value.fault


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("key_format", ["hex", "base64", "der", "pem"])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_what_is_signed_with_a_new_key_is_accepted(algorithm: str, key_format: str, encoding: str) -> None:
    """Every algorithm, however its key and its signature are written; and it is no signature of another body."""
    if key_format in {"hex", "base64"} and algorithm != "ed25519":
        return
    spec = described(algorithm, **{"key_format": key_format, "encoding": encoding, "prefix": "v1="} | TIMED)
    pair = spec.make_secret()
    headers = signed(spec, pair.sender)
    verifier = AdapterSpec(signature=spec).scheme().bind([spec.make_secret().receiver, pair.receiver])

    assert verifier.verify(as_request(headers), NOW) == 1
    assert fault(spec, pair.receiver, as_request(headers, BODY + b" ")) == "signature_mismatch"
    assert fault(spec, pair.receiver, as_request(headers | {"X-Time": "1736942401"})) == "signature_mismatch"


@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url", "base64url-unpadded"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text + "=",
        lambda text: text + " x",
        lambda text: text[:-2],
        lambda text: text[:10] + "!" + text[11:],
        lambda text: text[:10] + "\n" + text[11:],
        lambda text: "é" + text[1:],
        lambda text: text * 40,
        lambda text: "A" + text,
    ],
)
def test_a_signature_that_is_written_otherwise_is_refused(encoding: str, spoil: Any) -> None:
    """Nothing but a refusal comes of it."""
    spec = described(encoding=encoding, key_format="hex")
    pair = spec.make_secret()
    text = signed(spec, pair.sender)["X-Signature"]

    refusals = {"signature_missing", "signature_malformed", "signature_mismatch"}
    assert fault(spec, pair.receiver, as_request({"X-Signature": spoil(text)})) in refusals


def test_one_signature_has_one_spelling() -> None:
    """The unused bits of the last character of base64 are zero."""
    spec = described(key_format="hex")
    pair = spec.make_secret()
    text = signed(spec, pair.sender)["X-Signature"]
    other = text[:-3] + chr(ord(text[-3]) + 1) + "=="

    assert base64.b64decode(text) == base64.b64decode(other)
    assert fault(spec, pair.receiver, as_request({"X-Signature": other})) == "signature_malformed"


def test_the_headers_must_be_there_once() -> None:
    """The signature and the timestamp."""
    spec = described(key_format="hex", **TIMED)
    pair = spec.make_secret()
    headers = signed(spec, pair.sender)
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    twice = RawRequest(body=BODY, headers=Headers([*fields, fields[0]]))

    assert fault(spec, pair.receiver, as_request({})) == "signature_missing"
    assert (
        fault(spec, pair.receiver, as_request({"X-Signature": headers["X-Signature"]})) == "timestamp_missing"
    )
    assert fault(spec, pair.receiver, twice) == "signature_ambiguous"
    assert fault(spec, pair.receiver, as_request(headers), NOW + 301) == "timestamp_too_old"
    assert fault(spec, pair.receiver, as_request(headers), NOW - 301) == "timestamp_in_future"


SHORT_KEY = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf
9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==
-----END PUBLIC KEY-----"""


@pytest.mark.parametrize(
    ("algorithm", "key_format", "text", "problem"),
    [
        ("ed25519", "hex", "00" * 31, "32 bytes"),
        ("ed25519", "hex", "zz" * 32, "hexadecimal"),
        ("ed25519", "base64", "!", "base64"),
        ("rsa-sha256", "der", "AAAA", "DER"),
        ("rsa-sha256", "pem", "a shared secret", "PEM"),
        ("rsa-sha256", "pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "certificate"),
        ("rsa-sha256", "pem", private_pem(rsa_key()), "private key"),
        ("rsa-sha256", "pem", public_pem(ec_key()), "rsa"),
        ("ecdsa-p256-sha256", "pem", public_pem(rsa_key()), "ecdsa"),
        ("rsa-sha256", "pem", SHORT_KEY, "2048 bits"),
    ],
)
def test_a_key_that_is_none_is_refused(algorithm: str, key_format: str, text: str, problem: str) -> None:
    """When it is configured, and without saying what it is."""
    scheme = AdapterSpec(signature=described(algorithm, key_format=key_format)).scheme()
    with pytest.raises(SecretFormatError, match=problem) as caught:
        scheme.bind([text])

    assert text not in str(caught.value)


def test_a_certificate_will_do_for_a_key() -> None:
    """As some senders show theirs."""
    spec = described("rsa-sha256")
    certificate = issue("acme", key=rsa_key())
    headers = signed(spec, private_pem(rsa_key()))

    verifier = AdapterSpec(signature=spec).scheme().bind([certificate.pem.decode()])
    assert verifier.verify(as_request(headers), NOW) == 0


def test_a_sender_needs_a_private_key() -> None:
    """The public one signs nothing."""
    spec = described("rsa-sha256")
    for text in ("no key", public_pem(rsa_key())):
        with pytest.raises(SecretFormatError, match="private key"):
            signed(spec, text)


def test_nobody_has_it_learn_a_key() -> None:
    """Its keys are configured."""
    spec = described(key_format="hex")
    verifier = AdapterSpec(signature=spec).scheme().bind([spec.make_secret().receiver])
    with pytest.raises(ValueError, match="no key was requested"):
        verifier.learn(KeyRequest("https://keys.example.com"), b"", NOW)


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ({"signed": "{timestamp}"}, "must contain {body}"),
        ({"signed": "{body}{timestamp}"}, "exactly when"),
        ({"signed": "{body}", "timestamp": {"header": "X-Time"}}, "exactly when"),
        ({"signed": "{body}{timestamp}", "timestamp": {"element": "t="}}, "header of its own"),
        ({"signed": "{body}{secret}"}, "cannot contain"),
        ({"signed": "{body}{body:/id}"}, "cannot contain"),
        ({"signed": "{body}{nonsense}"}, "unknown field"),
        ({"algorithm": "rsa-sha256", "key_format": "hex"}, "der or pem"),
        ({"algorithm": "rsa-md5"}, "Input should be"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(signature: dict[str, Any], problem: str) -> None:
    """Before anything is signed with it."""
    with pytest.raises(ValidationError, match=problem):
        described(**signature)
