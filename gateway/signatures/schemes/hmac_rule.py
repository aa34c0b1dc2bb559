"""An HMAC description, compiled once for all requests of a sender."""

from __future__ import annotations

import hashlib

from gateway.signatures.schemes.hmac_description import HmacDescription
from gateway.signatures.schemes.keyed_digest import KeyedDigest, prepare_hmac
from gateway.signatures.schemes.layout import PLAIN, Layout, is_in_body, listed
from gateway.signatures.schemes.template import SignedTemplate, places_in
from gateway.signatures.schemes.timestamps import Timestamp
from gateway.signatures.secrets import decode_secret


class HmacRule:
    """The rule by which a sender signs, shared by signing and verifying.

    Attributes:
        spec: the description.
        layout: the layout of the bodies.
        template: the bytes that are signed.
        timestamp: how the timestamp is read and written; None if no timestamp is signed.
    """

    def __init__(self, spec: HmacDescription, layout: Layout = PLAIN) -> None:
        self.spec = spec
        self.layout = layout
        self.template = SignedTemplate(spec.signed, layout.id_header, spec.alphabets)
        self.timestamp = Timestamp(spec.timestamp) if spec.timestamp else None

    @property
    def places(self) -> list[str]:
        """The places in the body, or in the events of its batch, that the verdict depends on."""
        timestamp = listed(self.spec.timestamp.place) if self.spec.timestamp else []
        named = [*places_in(self.spec.signed), *listed(self.spec.place), *timestamp]
        return [place for place in named if is_in_body(place)]

    @property
    def is_itemwise(self) -> bool:
        """Whether each event of a batch is signed by itself."""
        return any(place.startswith("item:") for place in self.places)

    @property
    def is_plain(self) -> bool:
        """Whether the rule is as simple as nearly all are: an HMAC in one header, over bytes that need no parsing."""
        spec = self.spec
        is_elsewhere = spec.place or spec.group_separator or (spec.timestamp and spec.timestamp.place)
        is_parsed = self.needs_payload or self.has_timestamp_in_body
        return isinstance(spec.header, str) and not (
            spec.signs_secret or is_elsewhere or is_parsed or not spec.signs_body_as_it_came
        )

    @property
    def needs_payload(self) -> bool:
        """Whether the body has to be parsed before the signature can be checked."""
        return (
            self.template.needs_payload
            or is_in_body(self.spec.place)
            or (self.has_timestamp_in_body and "{timestamp}" in self.spec.signed)
        )

    @property
    def has_timestamp_in_body(self) -> bool:
        """Whether the timestamp is in the body."""
        return self.spec.timestamp is not None and is_in_body(self.spec.timestamp.place)

    def prepare(self, key: bytes) -> KeyedDigest:
        """Return the function that digests signed bytes. If it is no HMAC, they contain the key already."""
        algorithm = self.spec.algorithm
        if self.spec.construction == "hash":
            return lambda pieces: hashlib.new(algorithm, b"".join(pieces)).digest()
        return prepare_hmac(key, algorithm)

    def key_of(self, secret: str) -> bytes:
        """Return the key that is made of the text of a secret.

        Raises:
            SecretFormatError: The text is not in the format of this sender.
        """
        return decode_secret(secret, self.spec.secret_format) + self.spec.secret_suffix.encode()
