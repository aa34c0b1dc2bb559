"""The providers' own libraries agree with the gateway: each accepts the other's signatures, both refuse tampering."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import gidgethub
import pytest
import standardwebhooks
import stripe
import svix
from gidgethub import sansio
from stripe._webhook import WebhookSignature

from gateway.adapters import registry
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest

Fields = dict[str, str]

BODY = '{"id":"evt_1","type":"payment_intent.succeeded","note":"naïve ☃ \\u00e9","amount":4150}'
RAW_SECRET = "whsec_kept_as_it_is_by_stripe"
ENCODED_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
MESSAGE_ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"


@dataclass(frozen=True)
class Official:
    """A provider's own library.

    Attributes:
        adapter: our name of the provider.
        secret: one in the provider's format.
        identity: header fields that are there before signing.
        sign: the header fields that the library would send with a body at a moment.
        accepts: whether the library accepts a body with header fields.
        signature: the header field that carries the signature.
    """

    adapter: str
    secret: str
    identity: Fields
    sign: Callable[[str, int], Fields]
    accepts: Callable[[bytes, Fields], bool]
    signature: str


def _stripe_signs(body: str, moment: int) -> Fields:
    header = WebhookSignature.generate_signature_header(body, RAW_SECRET, moment)
    return {"Stripe-Signature": str(header)}


def _stripe_accepts(body: bytes, fields: Fields) -> bool:
    try:
        WebhookSignature.verify_header(body, fields["Stripe-Signature"], RAW_SECRET, 300)
    except stripe.SignatureVerificationError:
        return False
    return True


def _standard_webhooks_signs(body: str, moment: int) -> Fields:
    library = standardwebhooks.Webhook(ENCODED_SECRET)
    signature = library.sign(MESSAGE_ID, datetime.fromtimestamp(moment, UTC), body)
    return {"webhook-timestamp": str(moment), "webhook-signature": signature}


def _standard_webhooks_accepts(body: bytes, fields: Fields) -> bool:
    try:
        standardwebhooks.Webhook(ENCODED_SECRET).verify(body, fields, json_parse=False)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def _svix_signs(body: str, moment: int) -> Fields:
    signature = svix.Webhook(ENCODED_SECRET).sign(MESSAGE_ID, datetime.fromtimestamp(moment, UTC), body)
    return {"svix-timestamp": str(moment), "svix-signature": signature}


def _svix_accepts(body: bytes, fields: Fields) -> bool:
    try:
        svix.Webhook(ENCODED_SECRET).verify(body, fields)
    except svix.WebhookVerificationError:
        return False
    return True


def _gidgethub_accepts(body: bytes, fields: Fields) -> bool:
    try:
        sansio.validate_event(body, signature=fields["X-Hub-Signature-256"], secret=RAW_SECRET)
    except gidgethub.ValidationFailure:
        return False
    return True


SIGNERS = [
    Official("stripe", RAW_SECRET, {}, _stripe_signs, _stripe_accepts, "Stripe-Signature"),
    Official(
        "standard_webhooks",
        ENCODED_SECRET,
        {"webhook-id": MESSAGE_ID},
        _standard_webhooks_signs,
        _standard_webhooks_accepts,
        "webhook-signature",
    ),
    Official(
        "openai",
        ENCODED_SECRET,
        {"webhook-id": MESSAGE_ID},
        _standard_webhooks_signs,
        _standard_webhooks_accepts,
        "webhook-signature",
    ),
    Official("svix", ENCODED_SECRET, {"svix-id": MESSAGE_ID}, _svix_signs, _svix_accepts, "svix-signature"),
]


def _ours_signs_for_github(body: str, moment: int) -> Fields:
    return registry.load("github").scheme.sign(as_request(body.encode(), {}), RAW_SECRET, moment).headers


# gidgethub verifies and does not sign
GITHUB = Official("github", RAW_SECRET, {}, _ours_signs_for_github, _gidgethub_accepts, "X-Hub-Signature-256")
ALL = [*SIGNERS, GITHUB]

signers = pytest.mark.parametrize("official", SIGNERS, ids=lambda official: official.adapter)
verifiers = pytest.mark.parametrize("official", ALL, ids=lambda official: official.adapter)


def as_request(body: bytes, fields: Fields) -> RawRequest:
    """A POST with these header fields."""
    return RawRequest(
        body=body,
        headers=Headers([(name.lower().encode(), value.encode()) for name, value in fields.items()]),
    )


def we_accept(official: Official, body: bytes, fields: Fields) -> bool:
    """Our verdict, now."""
    bound = registry.load(official.adapter).bind([official.secret])
    try:
        bound.verify(as_request(body, fields), time.time())
    except SignatureRejected:
        return False
    return True


@signers
def test_what_the_library_signs_we_accept(official: Official) -> None:
    """Signed by the provider's code, verified by ours."""
    fields = official.identity | official.sign(BODY, int(time.time()))
    assert we_accept(official, BODY.encode(), fields)


@verifiers
def test_what_we_sign_the_library_accepts(official: Official) -> None:
    """Signed by our simulator's code, verified by the provider's."""
    scheme = registry.load(official.adapter).scheme
    signed = scheme.sign(as_request(BODY.encode(), official.identity), official.secret, time.time()).headers
    assert official.accepts(BODY.encode(), official.identity | signed)


@signers
def test_we_sign_as_the_library_does(official: Official) -> None:
    """The same bytes at the same moment."""
    moment = 1_700_000_000
    scheme = registry.load(official.adapter).scheme
    signed = scheme.sign(as_request(BODY.encode(), official.identity), official.secret, moment).headers
    assert official.sign(BODY, moment) == signed


@verifiers
def test_a_spoiled_body_is_refused_by_both(official: Official) -> None:
    """One digit of the amount is changed after signing."""
    fields = official.identity | official.sign(BODY, int(time.time()))
    spoiled = BODY.replace("4150", "9150").encode()
    assert [we_accept(official, spoiled, fields), official.accepts(spoiled, fields)] == [False, False]


@verifiers
def test_a_spoiled_signature_is_refused_by_both(official: Official) -> None:
    """The signature begins with another character."""
    fields = official.identity | official.sign(BODY, int(time.time()))
    value = fields[official.signature]
    start = max(value.rfind("="), 0) if official.adapter in {"stripe", "github"} else value.index(",")
    other = "1" if value[start + 1] == "0" else "0"
    fields[official.signature] = value[: start + 1] + other + value[start + 2 :]
    verdicts = [we_accept(official, BODY.encode(), fields), official.accepts(BODY.encode(), fields)]
    assert verdicts == [False, False]


@signers
def test_an_old_signature_is_refused_by_both(official: Official) -> None:
    """Signed an hour ago."""
    fields = official.identity | official.sign(BODY, int(time.time()) - 3600)
    verdicts = [we_accept(official, BODY.encode(), fields), official.accepts(BODY.encode(), fields)]
    assert verdicts == [False, False]


@signers
def test_a_moved_timestamp_is_refused_by_both(official: Official) -> None:
    """The timestamp is changed by a second, within the tolerance, and not signed anew."""
    moment = int(time.time())
    signed = official.sign(BODY, moment)
    moved = {name: value.replace(str(moment), str(moment - 1)) for name, value in signed.items()}
    fields = official.identity | moved
    verdicts = [we_accept(official, BODY.encode(), fields), official.accepts(BODY.encode(), fields)]
    assert verdicts == [False, False]


def test_the_newer_header_names_of_svix_are_accepted_by_both() -> None:
    """The same library also reads the webhook- names."""
    moment = int(time.time())
    official = next(official for official in SIGNERS if official.adapter == "svix")
    fields = {"webhook-id": MESSAGE_ID} | _standard_webhooks_signs(BODY, moment)
    assert [we_accept(official, BODY.encode(), fields), official.accepts(BODY.encode(), fields)] == [
        True,
        True,
    ]
