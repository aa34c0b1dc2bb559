"""HMAC over a template of the request: the scheme of most senders, described wholly in YAML.

Covers the plain ``sha256=<hex of the body>`` of GitHub, the ``t=…,v1=…`` list of Stripe, signatures that stand
in the query or the body, digests of a text with the secret in it, and nearly all in between. The signature
covers what its ``signed`` template names and nothing else: the headers that are not in the template can be
changed by whoever relays the request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, SchemeSpec
from gateway.signatures.schemes.encodings import ENCODERS, Encoding
from gateway.signatures.schemes.hmac_verifier import HmacVerifier, OddHmacVerifier
from gateway.signatures.schemes.layout import PLAIN, Draft, Layout, Places, is_in_body, listed
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.template import (
    Alphabets,
    SignedTemplate,
    covers_body,
    covers_headers,
    covers_url,
    places_in,
    template_fields,
)
from gateway.signatures.schemes.timestamps import Affix, HeaderName, Timestamp, TimestampSpec
from gateway.signatures.secrets import SecretFormat, decode_secret

HmacAlgorithm = Literal["sha1", "sha256", "sha384", "sha512"]
Separator = Literal[",", ", ", " ", ";", "&"]

_PATH = re.compile(r"\{(?:body|item):[^{}]*/([^{}/]*)\}")
"""A place of which people are told the last step."""


class HmacSpec(SchemeSpec):
    """How a sender signs with HMAC."""

    scheme: Literal["hmac"] = Field("hmac", description="The family of the scheme.")
    header: HeaderName | Annotated[list[HeaderName], Field(min_length=1, max_length=10)] | None = Field(
        None, description="The header that carries the signature, or several of which any may."
    )
    place: Places | None = Field(
        None,
        description=(
            "Where the signature stands when it is in no header: `query:NAME`, `body:/json/pointer`, "
            "or `item:/json/pointer` in every event of a batch; of several the first where there is one."
        ),
    )
    construction: Literal["hmac", "hash"] = Field(
        "hmac", description="HMAC with the secret, or the digest alone of a text that contains {secret}."
    )
    algorithm: HmacAlgorithm = Field("sha256", description="The digest.")
    encoding: Encoding = Field("hex", description="How the digest is written.")
    prefix: Affix = Field("", description="What stands before each signature, such as `sha256=` or `v1=`.")
    separator: Separator | None = Field(
        None,
        description="What separates the elements, when the header is a list; those without the prefix are skipped.",
    )
    group_separator: Separator | None = Field(
        None, description="What separates several such lists, each with a timestamp of its own."
    )
    signed: str = Field(
        "{body}",
        max_length=1024,
        description=(
            "What is signed, from {body} {timestamp} {id} {method} {url} {url:decoded} {path} {query} {form} "
            "{json:NAME} {json_sorted} {json_sorted_compact} {json_canonical} {secret} {header:NAME} {query:NAME} "
            "{body:/json/pointer} {item:/json/pointer} and literal text."
        ),
    )
    alphabets: Alphabets = Field(
        {},
        description="Fields of signed whose end could be mistaken for the next one's beginning, and the characters that "
        "they are made of, such as `{id: A-Za-z0-9_-}` or, for all but a dot, `{id: ^.}`; other values are refused.",
    )
    binds_body: bool = Field(
        default=True,
        description="Said to be false where the sender does not sign the body: whoever saw one delivery can forge others.",
    )
    secret_format: SecretFormat = Field("raw", description="How the secret's text becomes the key.")
    secret_suffix: Affix = Field("", description="What the sender appends to the key.")
    timestamp: TimestampSpec | None = Field(
        None, description="Where the signed timestamp is; without it, replays pass."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> HmacSpec:
        fields = template_fields(self.signed)
        if (self.header is None) == (self.place is None):
            raise ValueError("needs either header or place, to say where the signature is")
        signs_body = covers_body(self.signed)
        if self.binds_body and not signs_body:
            raise ValueError(
                "signed must contain {body}, or the signature would prove nothing about the event; "
                "where that is so, say binds_body: false"
            )
        if not self.binds_body and signs_body:
            raise ValueError("binds_body is false although signed contains the body")
        if self.construction == "hash" and not self.signs_secret:
            raise ValueError("construction: hash needs {secret} in signed, or anybody could make the digest")
        if is_in_body(self.place) and self.binds_body:
            raise ValueError("place cannot be in the body that is signed")
        if unknown := sorted(self.alphabets.keys() - set(fields)):
            raise ValueError(f"alphabets has {unknown[0]}, which is no field of signed")
        self._check_timestamp(fields)
        return self

    def _check_timestamp(self, fields: list[str]) -> None:
        timestamp = self.timestamp
        is_bound = timestamp is not None and self.binds_body and is_in_body(timestamp.place)
        if not is_bound and ("timestamp" in fields) != (timestamp is not None):
            raise ValueError("signed must contain {timestamp} exactly when a timestamp is described")
        if timestamp and timestamp.is_in_signature and not self.separator:
            raise ValueError("timestamp.element needs a separator that splits the signature header")
        if timestamp and timestamp.is_in_signature and isinstance(self.header, list):
            raise ValueError("timestamp.element needs a single header")
        if self.group_separator and not (timestamp and timestamp.is_in_signature):
            raise ValueError("group_separator needs a timestamp.element, which tells the groups apart")
        if self.group_separator and self.group_separator == self.separator:
            raise ValueError("group_separator must differ from separator")

    @property
    def headers(self) -> list[str]:
        """The header fields that may carry the signature."""
        return [self.header] if isinstance(self.header, str) else self.header or []

    @property
    def signs_secret(self) -> bool:
        """Whether the secret is part of what is signed."""
        return "{secret}" in self.signed

    @property
    def signs_id(self) -> bool:
        """Whether the event id is among what is signed."""
        return "{id}" in self.signed

    @property
    def signs_body_as_it_came(self) -> bool:
        """Whether the bytes of the body are signed, and not values or fields that were read from it."""
        return "body" in template_fields(self.signed)

    @property
    def signs_attempts_alone(self) -> bool:
        """Whether nothing is signed that tells one event from another but the moment."""
        constant = {"timestamp", "secret", "method", "path", "url", "url:decoded"}
        return constant.issuperset(template_fields(self.signed))

    def signs_headers(self, names: Sequence[bytes]) -> bool:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.signs_headers`."""
        return covers_headers(self.signed, names)

    @property
    def needs_url(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.needs_url`."""
        return covers_url(self.signed)

    @property
    def is_body_bound(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.is_body_bound`."""
        return self.binds_body

    @property
    def signed_places(self) -> Sequence[str]:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.signed_places`."""
        if self.binds_body:
            return super().signed_places
        return places_in(self.signed)

    @property
    def template(self) -> str:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.template`."""
        return self.signed

    @property
    def has_moment(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.has_moment`."""
        return self.timestamp is not None

    def scheme_for(self, layout: Layout) -> HmacScheme:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.scheme_for`."""
        return HmacScheme(self, layout)

    def describe(self) -> str:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.describe`."""
        digest = f"HMAC-{self.algorithm}" if self.construction == "hmac" else self.algorithm
        places = " or ".join(listed(self.place) or self.headers)
        signed = _PATH.sub(r"{\1}", self.signed)
        return f"{digest} of {signed}, {self.encoding} in {places}"


class HmacScheme:
    """The scheme of an :class:`HmacSpec`, for bodies that are laid out as told."""

    def __init__(self, spec: HmacSpec, layout: Layout = PLAIN) -> None:
        self.spec = spec
        self.layout = layout
        self.template = SignedTemplate(spec.signed, layout.id_header, spec.alphabets)
        self.timestamp = Timestamp(spec.timestamp) if spec.timestamp else None

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> HmacVerifier:
        """See :meth:`gateway.signatures.schemes.base.Scheme.bind`."""
        keys = [self._key(secret) for secret in secrets]
        return HmacVerifier(self, keys) if self.is_plain else OddHmacVerifier(self, keys)

    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        """See :meth:`gateway.signatures.schemes.base.Scheme.sign`.

        Raises:
            ValueError: the body has no room for what belongs into it.
        """
        spec, key = self.spec, self._key(secret)
        moment = ""
        draft = Draft(request, self.layout, needs_payload=self.needs_payload or self.has_moment_in_body)
        if spec.timestamp and self.timestamp:
            moment = self.timestamp.write(now)
            for delivery in draft.deliveries(is_itemwise=self.is_itemwise):
                header = None if spec.timestamp.place else spec.timestamp.header
                draft.write(header, spec.timestamp.place, moment, delivery)
        unsigned = draft.request()
        for delivery in draft.deliveries(is_itemwise=self.is_itemwise):
            message = self.template.render(unsigned, moment.encode(), key, delivery)
            signature = spec.prefix + ENCODERS[spec.encoding](self.digest(key, message)).decode()
            elements = [signature]
            if spec.timestamp and spec.timestamp.is_in_signature:
                elements.insert(spec.timestamp.position or 0, f"{spec.timestamp.element or ''}{moment}")
            text = (spec.separator or "").join(elements)
            draft.write(spec.headers[0] if spec.headers else None, spec.place, text, delivery)
        return draft.signed()

    @property
    def places(self) -> list[str]:
        """The places in the body, or in the events of its batch, that a verdict depends on."""
        timestamp = listed(self.spec.timestamp.place) if self.spec.timestamp else []
        named = [*places_in(self.spec.signed), *listed(self.spec.place), *timestamp]
        return [place for place in named if is_in_body(place)]

    @property
    def is_itemwise(self) -> bool:
        """Whether every event of a batch is signed by itself."""
        return any(place.startswith("item:") for place in self.places)

    @property
    def is_plain(self) -> bool:
        """Whether it is as nearly all are: an HMAC, in one header, of what need not be parsed."""
        spec = self.spec
        is_elsewhere = spec.place or spec.group_separator or (spec.timestamp and spec.timestamp.place)
        is_parsed = self.needs_payload or self.has_moment_in_body
        return isinstance(spec.header, str) and not (
            spec.signs_secret or is_elsewhere or is_parsed or not spec.signs_body_as_it_came
        )

    @property
    def needs_payload(self) -> bool:
        """Whether the body has to be parsed before the signature can be checked."""
        return (
            self.template.needs_payload
            or is_in_body(self.spec.place)
            or (self.has_moment_in_body and "{timestamp}" in self.spec.signed)
        )

    @property
    def has_moment_in_body(self) -> bool:
        """Whether the timestamp stands in the body."""
        return self.spec.timestamp is not None and is_in_body(self.spec.timestamp.place)

    def digest(self, key: bytes, message: bytes) -> bytes:
        """What is signed, digested; the key is in the message already where it is no HMAC."""
        if self.spec.construction == "hash":
            return hashlib.new(self.spec.algorithm, message).digest()
        return hmac.digest(key, message, self.spec.algorithm)

    def _key(self, secret: str) -> bytes:
        return decode_secret(secret, self.spec.secret_format) + self.spec.secret_suffix.encode()
