"""Standard Webhooks: ``v1`` (HMAC-SHA256) and ``v1a`` (Ed25519) over ``{id}.{timestamp}.{body}``.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
The signature covers the id, the time of the attempt and the body, but no other header.

This module has more than 200 lines because it holds both versions, each with secrets of its own format.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, StaticVerifier, TimedSchemeSpec
from gateway.signatures.schemes.keyed_digest import prepare_hmac
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.standard_signing import (
    SEED_BYTES,
    private_key,
    sign_v1,
    sign_v1a,
    signed_message,
)
from gateway.signatures.schemes.strict_fields import (
    MAX_CANDIDATES,
    check_tolerance,
    longest_timestamp,
    read_timestamp,
    single,
    split_elements,
)
from gateway.signatures.secrets import SecretFormatError, SecretPair, decode_base64, decode_secret
from gateway.signatures.units import Duration

_MAX_TIMESTAMP_DIGITS = longest_timestamp(units_per_second=1)
_PRIVATE_KEY_BYTES = 64


class StandardWebhooksSpec(TimedSchemeSpec):
    """A sender that follows Standard Webhooks."""

    scheme: Literal["standard_webhooks"] = Field(description="The family of the scheme.")
    header_prefixes: list[Literal["webhook-", "svix-"]] = Field(
        ["webhook-"],
        min_length=1,
        description="The prefix of the three headers; the first one present counts.",
    )
    secret_format: Literal["whsec_", "raw", "whsec_or_raw"] = Field(
        "whsec_",
        description="The format of the secret: that of the standard, plain text, or either; then only a text that begins with "
        "`whsec_` may be in the format of the standard.",
    )
    tolerance: Duration = Field(
        300.0, description="The tolerated difference between the timestamp and the clock, before or after."
    )

    @override
    def signs_headers(self, names: Sequence[bytes]) -> bool:
        signed = [f"{prefix}id".encode() for prefix in self.header_prefixes]
        return all(name == own for name, own in zip(names, signed, strict=False))

    @property
    def is_secret_text(self) -> bool:
        """Whether the text of the secret may be the key, whatever its prefix."""
        return self.secret_format != "whsec_"  # noqa: S105 - no secret, but how one is written

    @override
    def make_secret(self) -> SecretPair:
        key = bytes.fromhex(super().make_secret().sender)
        secret = "whsec_" + base64.b64encode(key).decode()
        return SecretPair(secret, secret)

    @override
    def scheme_for(self, layout: Layout) -> StandardWebhooksScheme:
        return StandardWebhooksScheme(self)

    @override
    def describe(self) -> str:
        return f"Standard Webhooks (v1, v1a) in {self.header_prefixes[0]}signature"


class StandardWebhooksScheme(Scheme):
    """The scheme of a :class:`StandardWebhooksSpec`.

    A secret that begins with ``whpk_`` is an Ed25519 public key and is tried only on ``v1a`` signatures. Any other is an
    HMAC key and is tried only on ``v1``: a public key must not become a shared secret. ``whsk_`` secrets sign ``v1a``.
    """

    def __init__(self, spec: StandardWebhooksSpec) -> None:
        self.spec = spec

    @override
    def bind(
        self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> StandardWebhooksVerifier:
        return StandardWebhooksVerifier(self.spec, [self._checks(secret) for secret in secrets])

    def _checks(self, secret: str) -> list[Check]:
        """Make a check for each key that a secret may stand for.

        Raises:
            SecretFormatError: The secret is not in the format of the scheme.
        """
        if not self.spec.is_secret_text:
            return [_check(secret)]
        checks = [_check_text(secret)]
        if self.spec.secret_format == "whsec_or_raw" and secret.startswith("whsec_"):  # noqa: S105 - as above
            with suppress(SecretFormatError):  # then it is a text that happens to have this prefix
                checks.append(_check(secret))
        return checks

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        prefix = self.spec.header_prefixes[0]
        message_id = single(request.headers, f"{prefix}id".encode(), "signed_header_missing")
        moment = str(int(now))
        message = signed_message(message_id, moment.encode(), request.body)
        if secret.startswith("whsk_") and not self.spec.is_secret_text:
            seed = _sized_key(secret, "whsk_", _PRIVATE_KEY_BYTES)[:SEED_BYTES]
            signature = sign_v1a(private_key(seed), message)
        else:
            is_text = self.spec.is_secret_text and not (
                self.spec.secret_format == "whsec_or_raw" and secret.startswith("whsec_")  # noqa: S105 - as above
            )
            key = decode_secret(secret, "raw" if is_text else "whsec_")
            signature = sign_v1(prepare_hmac(key, "sha256"), message)
        headers = {f"{prefix}timestamp": moment, f"{prefix}signature": signature}
        return Signed(headers, request.body, request.query)


Check = tuple[bytes, Callable[[bytes, list[bytes]], bool]]
"""The version prefix of the signatures that a secret can check, and the check of (candidate, message in pieces)."""


class StandardWebhooksVerifier(StaticVerifier):
    """A :class:`StandardWebhooksScheme` bound to its keys."""

    def __init__(self, spec: StandardWebhooksSpec, checks: Sequence[Sequence[Check]]) -> None:
        self._checks = [(slot, *check) for slot, of_secret in enumerate(checks) for check in of_secret]
        self._tolerance = spec.tolerance
        self._names = [
            (f"{prefix}id".encode(), f"{prefix}timestamp".encode(), f"{prefix}signature".encode())
            for prefix in spec.header_prefixes
        ]

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        headers = request.headers
        # By the id, not by the signature: the family whose id counts must be the one that is signed, or an
        # unsigned svix-id beside signed webhook- headers would give one delivery any number of ids.
        names = next((names for names in self._names if names[0] in headers), self._names[0])
        signatures = split_elements(single(headers, names[2], "signature_missing"), b" ")
        message_id = single(headers, names[0], "signed_header_missing")
        if b"." in message_id:  # "a.b" + "1" and "a" + "b.1" would be the same signed bytes
            raise SignatureRejected("signature_malformed")
        moment = single(headers, names[1], "timestamp_missing")
        timestamp = read_timestamp(moment, _MAX_TIMESTAMP_DIGITS)
        matched = self._match(signatures, [b"%b.%b." % (message_id, moment), request.body])
        check_tolerance(timestamp, now, self._tolerance)
        request.signed_at = timestamp
        return matched

    def _match(self, signatures: list[bytes], message: list[bytes]) -> int:
        if sum(signature.startswith((b"v1,", b"v1a,")) for signature in signatures) > MAX_CANDIDATES:
            raise SignatureRejected("too_many_signatures")
        matched, is_tried = -1, False
        for slot, version, matches in reversed(self._checks):
            for signature in signatures:
                if signature.startswith(version):
                    is_tried = True
                    if matches(signature.removeprefix(version), message):
                        matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch" if is_tried else "signature_malformed")
        return matched


def _check_text(secret: str) -> Check:
    return b"v1,", _hmac_check(decode_secret(secret, "raw"))


def _check(secret: str) -> Check:
    if secret.startswith("whpk_"):
        return b"v1a,", _ed25519_check(_sized_key(secret, "whpk_", SEED_BYTES))
    if secret.startswith("whsk_"):
        raise SecretFormatError(
            "is the sender's private key (whsk_); a receiver is given the public one (whpk_)"
        )
    return b"v1,", _hmac_check(decode_secret(secret, "whsec_"))


def _sized_key(secret: str, prefix: str, size: int) -> bytes:
    key = decode_base64(secret.removeprefix(prefix))
    if len(key) != size:
        raise SecretFormatError(f"is not a key of {size} bytes after {prefix}")
    return key


def _hmac_check(key: bytes) -> Callable[[bytes, list[bytes]], bool]:
    digest = prepare_hmac(key, "sha256")

    def matches(candidate: bytes, message: list[bytes]) -> bool:
        return hmac.compare_digest(base64.b64encode(digest(message)), candidate)

    return matches


def _ed25519_check(key: bytes) -> Callable[[bytes, list[bytes]], bool]:
    # Imported here, since it adds about 10 MB of resident memory that only v1a needs.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    public_key = Ed25519PublicKey.from_public_bytes(key)

    def matches(candidate: bytes, message: list[bytes]) -> bool:
        try:
            signature = base64.b64decode(candidate, validate=True)
            if base64.b64encode(signature) != candidate:  # a non-canonical spelling of the same bytes
                return False
            public_key.verify(signature, b"".join(message))
        except (InvalidSignature, ValueError):
            return False
        return True

    return matches
