"""The description of an HMAC signature, as ``signature:`` has it in YAML; :mod:`gateway.signatures.schemes.hmac` signs by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from gateway.signatures.schemes.base import SchemeSpec
from gateway.signatures.schemes.encodings import Encoding
from gateway.signatures.schemes.layout import Places, is_in_body
from gateway.signatures.schemes.template import (
    Alphabets,
    covers_body,
    covers_headers,
    covers_url,
    places_in,
    template_fields,
)
from gateway.signatures.schemes.timestamps import Affix, HeaderName, TimestampSpec
from gateway.signatures.secrets import SecretFormat

HmacAlgorithm = Literal["sha1", "sha256", "sha384", "sha512"]
Separator = Literal[",", ", ", " ", ";", "&"]


class HmacDescription(SchemeSpec):
    """The fields of an HMAC signature, checked against each other."""

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
    def _is_consistent(self) -> HmacDescription:
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

    @override
    def signs_headers(self, names: Sequence[bytes]) -> bool:
        return covers_headers(self.signed, names)

    @property
    @override
    def needs_url(self) -> bool:
        return covers_url(self.signed)

    @property
    @override
    def is_body_bound(self) -> bool:
        return self.binds_body

    @property
    @override
    def signed_places(self) -> Sequence[str]:
        if self.binds_body:
            return super().signed_places
        return places_in(self.signed)

    @property
    @override
    def template(self) -> str:
        return self.signed

    @property
    @override
    def has_moment(self) -> bool:
        return self.timestamp is not None
