"""What each fault of a signature means, and what an operator does about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SIGNATURE_FAULTS, SignatureFault


class Fault(NamedTuple):
    """A fault of a signature.

    Attributes:
        meaning: What the gateway found.
        remedy: What to look at first.
    """

    meaning: str
    remedy: str


FAULTS: dict[SignatureFault, Fault] = {
    "signature_missing": Fault(
        "The request has no signature.",
        "Is a secret set in the provider's dashboard? Does a proxy remove the header? Is it a request from somebody else?",
    ),
    "signature_ambiguous": Fault(
        "The signature, or a value that it covers, is present more than once.",
        "Look for a proxy that repeats headers. A provider's own requests are never ambiguous.",
    ),
    "signature_malformed": Fault(
        "The signature is not in the provider's format.",
        "Is the provider configured with the right adapter, and does a proxy pass headers and body on unchanged?",
    ),
    "signature_mismatch": Fault(
        "The signature does not match this request and the configured secrets.",
        "Compare the secret with the dashboard, and check that no proxy or framework rewrites the body. "
        "`gateway explain` tells the two apart.",
    ),
    "too_many_signatures": Fault(
        "The request carries more than five signatures.",
        "No provider sends that many. Look for a proxy that joins headers.",
    ),
    "signed_header_missing": Fault(
        "A header that the signature covers is missing.",
        "Let the proxy pass all headers on.",
    ),
    "timestamp_missing": Fault(
        "The signed timestamp is missing.",
        "Let the proxy pass all headers on, and check that the adapter matches the provider's version.",
    ),
    "timestamp_malformed": Fault(
        "The timestamp is not in the provider's format.",
        "Check that the adapter matches the provider's version.",
    ),
    "timestamp_too_old": Fault(
        "The request was signed too long ago.",
        "Check the gateway's clock and delays in a proxy. A captured request that is sent again fails in this way.",
    ),
    "timestamp_in_future": Fault("The request was signed in the future.", "Check the gateway's clock."),
    "claim_mismatch": Fault(
        "The token is genuine, but was issued for something else.",
        "Compare the parameters of the provider in `config.yaml`, such as the audience, with its dashboard.",
    ),
    "unknown_key": Fault(
        "The request names a key that the provider does not publish.",
        "Check the parameters of the provider, such as a sandbox environment.",
    ),
    "address_unknown": Fault(
        "The signature covers the URL, and the gateway does not know the URL that the provider called.",
        "Set `public_url` to the URL in the provider's dashboard, character for character.",
    ),
    "handshake_refused": Fault(
        "The endpoint verification is not one that the provider sends.",
        "Start the verification again from the provider's dashboard.",
    ),
    "handshake_token_mismatch": Fault(
        "The endpoint verification shows another token.",
        "Compare `handshake_token` with the token in the provider's dashboard.",
    ),
    "enrolment_closed": Fault(
        "The provider sent a signing secret, and the gateway does not expect one.",
        "Set `enrol: true` and `secrets: []` before you register the webhook, or remove the webhook and register it again.",
    ),
}
"""Every fault, with the text of the page of HTTP responses and of the pages of the providers."""


def possible_faults(spec: AdapterSpec) -> list[SignatureFault]:
    """Return the faults that requests of a provider can have, in the order of the metric's labels."""
    possible = set(_possible(spec))
    return [fault for fault in SIGNATURE_FAULTS if fault in possible]


def _possible(spec: AdapterSpec) -> Iterator[SignatureFault]:
    signature = spec.signature
    kind = type(signature).__name__
    yield from ("signature_missing", "signature_mismatch")
    if kind not in ("TokenSpec", "BasicSpec"):
        yield "signature_malformed"
    if signature.has_timestamp or kind == "JwtSpec":
        yield from ("timestamp_missing", "timestamp_malformed", "timestamp_too_old", "timestamp_in_future")
    if kind in ("JwtSpec", "SnsSpec"):
        yield "claim_mismatch"
    if "{header:" in signature.template or kind in ("ContentfulSpec", "CoinbaseCdpSpec"):
        yield "signed_header_missing"
    if signature.fetches_keys:
        yield "unknown_key"
    if spec.needs_url:
        yield "address_unknown"
    if spec.handshakes:
        yield "handshake_refused"
    if any(handshake.needs_token for handshake in spec.handshakes):
        yield "handshake_token_mismatch"
    if spec.enrols:
        yield "enrolment_closed"
