"""Only a verifier makes a verified request, and no secret appears in anything that may be logged."""

from __future__ import annotations

import inspect
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SIGNATURE_FAULTS, MalformedRequest, Rejection, SignatureRejected
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from gateway.signatures.secrets import SecretFormatError

NOW = 1_736_942_400
RAW = RawRequest(body=b"{}", headers=Headers([]))
SECRET = "Q29ycmVjdEhvcnNlQmF0dGVyeVN0YXBsZQ=="
KEY = "CorrectHorseBatteryStaple"
GENERIC = Adapter(
    "hmac", AdapterSpec.model_validate({"signature": {"header": "X-Signature", "secret_format": "base64"}})
)
ADAPTERS = [*map(registry.load, ("github", "openai", "standard_webhooks", "stripe", "svix")), GENERIC]

each = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


@pytest.mark.parametrize(
    "proof", [None, True, 0, "proof", object(), object], ids=lambda proof: type(proof).__name__
)
def test_a_verified_request_needs_the_proof(proof: object) -> None:
    """Nothing that the rest of the program has at hand will do."""
    with pytest.raises(TypeError, match="only an adapter's verify"):
        VerifiedRequest(RAW, 0, proof=proof)


def test_a_verified_request_is_not_made_without_a_proof() -> None:
    """It has no default, and it is not given by position."""
    untyped: Any = VerifiedRequest
    with pytest.raises(TypeError, match="proof"):
        untyped(RAW, 0)
    with pytest.raises(TypeError, match="positional"):
        untyped(RAW, 0, object())


def test_a_raw_request_is_not_a_verified_one() -> None:
    """Neither is derived from the other."""
    assert not issubclass(RawRequest, VerifiedRequest)
    assert not issubclass(VerifiedRequest, RawRequest)


@each
def test_a_verifier_makes_a_verified_request(adapter: Adapter) -> None:
    """With the body and the headers of the one that it proved."""
    fields = [(b"webhook-id", b"msg_1"), (b"svix-id", b"msg_1")]
    signed = adapter.scheme.sign(RawRequest(body=b"{}", headers=Headers(fields)), SECRET, NOW).headers
    headers = Headers([*fields, *((name.lower().encode(), value.encode()) for name, value in signed.items())])
    verified = adapter.bind([SECRET]).verify(RawRequest(body=b"{}", headers=headers), NOW)
    assert type(verified) is VerifiedRequest
    assert (verified.body, verified.headers, verified.secret_slot) == (b"{}", headers, 0)


@each
def test_a_refused_request_leaves_nothing_behind(adapter: Adapter) -> None:
    """There is an exception and no verified request."""
    with pytest.raises(SignatureRejected) as caught:
        adapter.bind([SECRET]).verify(RAW, NOW)
    assert (caught.value.status, caught.value.reason, caught.value.detail) == (
        401,
        "invalid_signature",
        "signature_missing",
    )
    assert not caught.value.retryable


def _tellings(thing: object) -> Iterator[str]:
    yield repr(thing)
    yield str(thing)
    yield f"{thing}"


@each
def test_no_secret_shows_in_an_adapter(adapter: Adapter) -> None:
    """Nor in what is bound to it, whichever way it is written."""
    bound = adapter.bind([SECRET, SECRET])
    for thing in (adapter, adapter.spec, adapter.scheme, bound, bound.verifier):
        for telling in _tellings(thing):
            assert SECRET not in telling
            assert KEY not in telling


@each
def test_no_secret_shows_in_a_rejection(adapter: Adapter) -> None:
    """Nor in its traceback."""
    forged = [(b"x-signature", b"0" * 64), (b"x-hub-signature-256", b"sha256=" + b"0" * 64)]
    with pytest.raises(SignatureRejected) as caught:
        adapter.bind([SECRET]).verify(RawRequest(body=b"{}", headers=Headers(forged)), NOW)
    telling = " ".join([*_tellings(caught.value), *traceback.format_exception(caught.value)])
    assert SECRET not in telling
    assert KEY not in telling


@pytest.mark.parametrize(
    "secret", ["whsec_" + KEY + "!", "whpk_" + SECRET, "whsk_" + SECRET, KEY + "\udcff"], ids=ascii
)
@each
def test_no_secret_shows_when_it_is_refused(adapter: Adapter, secret: str) -> None:
    """Whether it is in the wrong format, or the wrong key of a pair."""
    try:
        adapter.bind([secret])
    except SecretFormatError as error:
        telling = " ".join([*_tellings(error), *traceback.format_exception(error)])
        assert SECRET not in telling
        assert KEY not in telling


@pytest.mark.parametrize("fault", SIGNATURE_FAULTS)
def test_every_fault_has_the_same_answer(fault: str) -> None:
    """So that nothing can be probed; the precise word is for log and metric."""
    untyped: Any = SignatureRejected
    rejection = untyped(fault)
    assert (rejection.status, rejection.reason, rejection.retryable) == (401, "invalid_signature", False)
    assert rejection.fault == rejection.detail == fault


def test_the_faults_are_those_that_are_documented() -> None:
    """A closed set, because it labels a metric."""
    assert set(SIGNATURE_FAULTS) == {
        "signature_missing",
        "signature_ambiguous",
        "signature_malformed",
        "signature_mismatch",
        "too_many_signatures",
        "signed_header_missing",
        "timestamp_missing",
        "timestamp_malformed",
        "timestamp_too_old",
        "timestamp_in_future",
        "claim_mismatch",
        "unknown_key",
        "address_unknown",
        "handshake_refused",
        "handshake_token_mismatch",
        "enrolment_closed",
    }


def test_a_rejection_tells_its_detail() -> None:
    """The detail is for the log."""
    assert MalformedRequest("header x is repeated").detail == "header x is repeated"
    assert (MalformedRequest.status, MalformedRequest.reason) == (400, "malformed_request")
    assert all(issubclass(kind, Rejection) for kind in (MalformedRequest, SignatureRejected))


def test_a_rejection_can_be_pickled() -> None:
    """It may cross a process."""
    copy = pickle.loads(pickle.dumps(SignatureRejected("signature_mismatch")))
    assert copy.fault == "signature_mismatch"


@each
def test_the_verdict_takes_the_time_as_an_argument(adapter: Adapter) -> None:
    """No clock is read behind it."""
    assert list(inspect.signature(adapter.bind([SECRET]).verify).parameters) == ["request", "now"]
