"""The description of an HMAC signature, as ``signature:`` has it in YAML; :mod:`gateway.signatures.schemes.hmac` signs by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from gateway.signatures.schemes.encodings import Encoding
from gateway.signatures.schemes.layout import Places, is_in_body
from gateway.signatures.schemes.template import (
    Alphabets,
    places_in,
    template_fields,
)
from gateway.signatures.schemes.templated import TemplatedSpec
from gateway.signatures.schemes.timestamps import Affix, HeaderName, TimestampSpec
from gateway.signatures.secrets import SecretFormat

HmacAlgorithm = Literal["sha1", "sha256", "sha384", "sha512"]
Separator = Literal[",", ", ", " ", ";", "&"]


class HmacDescription(TemplatedSpec):
    """The fields of an HMAC signature, checked against each other."""

    scheme: Literal["hmac"] = Field("hmac", description="The family of the scheme.")
    header: HeaderName | Annotated[list[HeaderName], Field(min_length=1, max_length=10)] | None = Field(
        None, description="The header that carries the signature, or several headers, any of which may."
    )
    place: Places | None = Field(
        None,
        description=(
            "The place of a signature that is not in a header: `query:NAME`, `body:/json/pointer`, "
            "or `item:/json/pointer` in every event of a batch; of several places the first that holds a value counts."
        ),
    )
    construction: Literal["hmac", "hash"] = Field(
        "hmac", description="An HMAC with the secret, or a plain digest of a text that contains {secret}."
    )
    algorithm: HmacAlgorithm = Field("sha256", description="The digest.")
    encoding: Encoding = Field("hex", description="The encoding of the digest.")
    prefix: Affix = Field("", description="The text before each signature, such as `sha256=` or `v1=`.")
    separator: Separator | None = Field(
        None,
        description="The separator of the elements if the header is a list; elements without the prefix are skipped.",
    )
    group_separator: Separator | None = Field(
        None, description="The separator of several such lists, each with its own timestamp."
    )
    signed: str = Field(
        "{body}",
        max_length=1024,
        description=(
            "The signed bytes, made of {body} {timestamp} {id} {method} {url} {url:decoded} {path} {query} {form} "
            "{json:NAME} {json_sorted} {json_sorted_compact} {json_canonical} {secret} {header:NAME} {query:NAME} "
            "{body:/json/pointer} {item:/json/pointer} and literal text."
        ),
    )
    alphabets: Alphabets = Field(
        {},
        description="Fields of signed whose end could be mistaken for the beginning of the next one, and the characters "
        "that they consist of, such as `{id: A-Za-z0-9_-}` or, for all but a dot, `{id: ^.}`; other values are rejected.",
    )
    binds_body: bool = Field(
        default=True,
        description="Must be false if the signature does not cover the body: anybody who has seen one request can then forge others.",
    )
    secret_format: SecretFormat = Field("raw", description="The format of the secret.")
    secret_suffix: Affix = Field("", description="The text that the provider appends to the key.")
    timestamp: TimestampSpec | None = Field(
        None, description="The signed timestamp; without one, captured requests can be sent again."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> HmacDescription:
        fields = self.check_template()
        if (self.header is None) == (self.place is None):
            raise ValueError("needs either header or place, to say where the signature is")
        if self.binds_body and not self.signs_body:
            raise ValueError(
                "signed must contain {body}, or the signature would prove nothing about the event; "
                "where that is so, say binds_body: false"
            )
        if not self.binds_body and self.signs_body:
            raise ValueError("binds_body is false although signed contains the body")
        if self.construction == "hash" and not self.signs_secret:
            raise ValueError("construction: hash needs {secret} in signed, or anybody could make the digest")
        if is_in_body(self.place) and self.binds_body:
            raise ValueError("place cannot be in the body that is signed")
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
        """Whether the signed bytes contain the secret."""
        return "{secret}" in self.signed

    @property
    def signs_id(self) -> bool:
        """Whether the signed bytes contain the event id."""
        return "{id}" in self.signed

    @property
    def signs_body_as_it_came(self) -> bool:
        """Whether the received bytes of the body are signed, not values or fields that are read from it."""
        return "body" in template_fields(self.signed)

    @property
    def signs_attempts_alone(self) -> bool:
        """Whether only the timestamp distinguishes the signed bytes of two events."""
        constant = {"timestamp", "secret", "method", "path", "url", "url:decoded"}
        return constant.issuperset(template_fields(self.signed))

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
