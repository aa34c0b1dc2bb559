"""Amazon SNS: a signature in the body, by a certificate whose address stands there too.

Signed are the fields that :data:`_SIGNED` names, not ``MessageAttributes`` nor ``UnsubscribeURL``. Everybody with an
account can have SNS sign messages, so it is the topic that proves the sender. With raw message delivery nothing is
signed, and nothing passes.
Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    KeyAlgorithm,
    load_private_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec
from gateway.signatures.schemes.certificates import key_of, read_chain
from gateway.signatures.schemes.encodings import ENCODERS, decode_signature
from gateway.signatures.schemes.excerpt import Excerpt
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.key_cache import CachedKey, NamedKeys
from gateway.signatures.schemes.key_verifier import NamedKeyVerifier, pinned_keys
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.secrets import SecretPair
from gateway.signatures.times import rfc3339_milliseconds

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_OPTIONAL = "Subject"
_NAMES = {*_NOTIFICATION, *_CONFIRMATION, "SignatureVersion", "Signature", "SigningCertURL"}
_EXCERPT = Excerpt(f"body:/{name}" for name in sorted(_NAMES))
_SEARCHED = 64 * 1024  # bytes
_ALGORITHMS = {"1": KeyAlgorithm("rsa", "sha1"), "2": KeyAlgorithm("rsa", "sha256")}

_TOPIC = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]{3,32}):[0-9]{6,20}:[A-Za-z0-9_.-]{1,256}")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")


class SnsSpec(SchemeSpec):
    """A sender that publishes through Amazon SNS."""

    scheme: Literal["sns"] = Field(description="The family of the scheme.")

    @property
    @override
    def needed_parameters(self) -> Sequence[str]:
        return ("topic_arn",)

    @property
    @override
    def needs_secret(self) -> bool:
        return False

    @property
    @override
    def signed_places(self) -> Sequence[str]:
        return tuple(f"body:/{name}" for name in _NOTIFICATION)

    @override
    def make_secret(self) -> SecretPair:
        return make_key_pair(_ALGORITHMS["2"])

    @override
    def scheme_for(self, layout: Layout) -> SnsScheme:
        return SnsScheme()

    @override
    def describe(self) -> str:
        return "RSA of the fields of the message, by a certificate of SNS"


class SnsScheme(Scheme):
    """The scheme of an :class:`SnsSpec`."""

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> SnsVerifier:
        return SnsVerifier(parameters["topic_arn"], pinned_keys(secrets, _ALGORITHMS["1"]))

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        message = {"Type": "Notification", **orjson.loads(request.body)}
        message["TopicArn"] = topic = parameters.get("topic_arn", message.get("TopicArn", ""))
        message["Timestamp"] = rfc3339_milliseconds(now)
        message["SignatureVersion"] = "2"
        message["SigningCertURL"] = f"{_origin(topic)}/SimpleNotificationService-{'0' * 32}.pem"
        signature = sign_with(load_private_key(secret), _ALGORITHMS["2"], _canonical(message))
        message["Signature"] = ENCODERS["base64"](signature).decode()
        headers = {
            "x-amz-sns-message-type": message["Type"],
            "x-amz-sns-message-id": message["MessageId"],
            "x-amz-sns-topic-arn": topic,
        }
        return Signed(headers, orjson.dumps(message), request.query)


class SnsVerifier(NamedKeyVerifier):
    """An :class:`SnsScheme` bound to its topic."""

    def __init__(self, topic: str, pinned: Sequence[PublicKey]) -> None:
        super().__init__(pinned, SnsCertificates(_origin(topic)))
        self._topic = topic

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        message = _read(request.body)
        algorithm = _ALGORITHMS.get(_text(message, "SignatureVersion"))
        if algorithm is None:
            raise SignatureRejected("signature_malformed")
        if _text(message, "TopicArn") != self._topic:
            raise SignatureRejected("claim_mismatch")
        signature = decode_signature(_text(message, "Signature").encode())
        signed = _canonical(message)
        url = _text(message, "SigningCertURL") if self.fetched else ""
        slot = self.slot_of(url, algorithm, signature, signed, now)
        _EXCERPT.check_unrepeated(request.body)
        request.signed = signed
        return slot


class SnsCertificates(NamedKeys):
    """The certificates of one region, by their addresses."""

    @override
    def request(self, name: str, now: float) -> KeyRequest:
        origin, path = name[: len(self.scope)], name[len(self.scope) :]
        if origin != self.scope or not _CERTIFICATE.fullmatch(path):
            raise SignatureRejected("unknown_key")
        return KeyRequest(name)

    @override
    def read(self, name: str, content: bytes, now: float) -> CachedKey:
        return key_of(read_chain(content)[0], now)


def _origin(topic: str) -> str:
    """Where the certificates are that sign for a topic: in its region."""
    match = _TOPIC.fullmatch(topic)
    partition, region = match.groups() if match else ("aws", "unknown")
    return f"https://sns.{region}.amazonaws.com" + (".cn" if partition == "aws-cn" else "")


def _read(body: bytes) -> dict[str, Any]:
    try:
        message, _ = next(_EXCERPT.read(body))
    except SignatureRejected:
        # Else it may be a raw message, of which the operator has to hear; what a stranger sends may be slow to search.
        is_signed = body.find(b'"Signature"', 0, _SEARCHED) >= 0
        raise SignatureRejected("signature_malformed" if is_signed else "signature_missing") from None
    if type(message) is not dict or "Signature" not in message:
        raise SignatureRejected("signature_missing")
    return message


def _canonical(message: Mapping[str, Any]) -> bytes:
    kind = message.get("Type")
    names = _SIGNED.get(kind, ()) if type(kind) is str else ()
    if not names:
        raise SignatureRejected("signature_malformed")
    present = [name for name in names if name != _OPTIONAL or message.get(name) is not None]
    return "".join([f"{name}\n{_text(message, name)}\n" for name in present]).encode()


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if type(value) is not str:
        raise SignatureRejected("signature_malformed")
    return value
