"""Handshakes, as described in YAML: requests by which a sender checks a URL before, or between, its events.

:mod:`gateway.adapters.handshake_replies` answers them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.signatures.extractors import Source
from gateway.signatures.secrets import SecretFormat

_FIELD = re.compile(r"\{(challenge|signature|token|url|parameter:[a-z][a-z0-9_]{0,31})\}")
_UNKNOWN_FIELD = re.compile(r"\{[a-z_]+(?::[^{}\"]*)?\}")
_OF_REPLIES = ("challenge", "signature", "parameter")
_OF_SIGNATURES = ("challenge", "token", "url", "parameter")


def split_fields(text: str) -> list[str]:
    """Split a text into literals and, at the odd positions, the fields in braces between them."""
    return _FIELD.split(text)


def _check_fields(text: str, known: tuple[str, ...]) -> str:
    pieces = split_fields(text)
    odd = [field for field in pieces[1::2] if field.partition(":")[0] not in known]
    if odd or any(map(_UNKNOWN_FIELD.search, pieces[::2])):
        names = " ".join(f"{{{name}:NAME}}" if name == "parameter" else f"{{{name}}}" for name in known)
        raise ValueError(f"has an unknown field in braces; there are {names}")
    return text


def _check_pattern(text: str) -> str:
    try:
        re.compile(text, re.ASCII)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _texts_in(value: object) -> Iterator[str]:
    """Yield all strings in a JSON value, except the names of members."""
    match value:
        case str():
            yield value
        case dict():
            for member in value.values():
                yield from _texts_in(member)
        case list():
            for member in value:
                yield from _texts_in(member)


ReplyText = Annotated[str, AfterValidator(lambda text: _check_fields(text, _OF_REPLIES))]
HeaderText = Annotated[ReplyText, StringConstraints(pattern=r"^[ -~]{0,256}$")]
PlainType = Annotated[str, StringConstraints(pattern=r"^(text/plain|application/json)(; charset=utf-8)?$")]
"""Media types that no browser renders as a page, whatever is echoed in them."""

FieldValue = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,255}$")]
"""A value of a header field."""


class SuccessSpec(BaseModel):
    """The response to an event, for senders that demand another than the usual one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(200, ge=200, le=299, description="The HTTP status.")
    content_type: FieldValue = Field("text/plain; charset=utf-8", description="The media type of the body.")
    body: str = Field("", description="The body.")


class RefusalSpec(BaseModel):
    """The response to an unproven request, for senders that demand another body than the usual one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content_type: PlainType = Field("text/plain; charset=utf-8", description="The media type of the body.")
    body: str = Field("", description="The body.")


class ReplySpec(BaseModel):
    """The reply to a handshake. Texts may contain {challenge} {signature} {parameter:NAME}."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    status: int = Field(200, ge=200, le=299, description="The HTTP status.")
    content_type: PlainType = Field("text/plain; charset=utf-8", description="The media type of the body.")
    body: ReplyText = Field("", description="The body as text.")
    body_json: dict[str, Any] | None = Field(None, alias="json", description="The body as a JSON object.")
    headers: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")], HeaderText] = Field(
        {}, description="Header fields of the reply."
    )

    @model_validator(mode="after")
    def _json_is_filled_too(self) -> ReplySpec:
        for text in _texts_in(self.body_json):
            _check_fields(text, _OF_REPLIES)
        if self.body and self.body_json is not None:
            raise ValueError("needs either body or json")
        return self

    @property
    def texts(self) -> list[str]:
        """All texts with fields to fill in."""
        return [self.body, *self.headers.values(), *_texts_in(self.body_json)]


class ChallengeSignatureSpec(BaseModel):
    """The way to sign a challenge, which proves that the receiver knows the secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = Field("sha256", description="The digest.")
    construction: Literal["hmac", "hash"] = Field(
        "hmac", description="An HMAC with the secret, or a plain digest."
    )
    encoding: Literal["hex", "base64"] = Field("hex", description="The encoding of the digest.")
    secret_format: SecretFormat = Field("raw", description="The format of the secret.")
    signed: Annotated[str, AfterValidator(lambda text: _check_fields(text, _OF_SIGNATURES))] = Field(
        "{challenge}",
        description="The signed text: {challenge} {token} {url} {parameter:NAME} and literal text; the url is without its query.",
    )


class HandshakeSpec(BaseModel):
    """One kind of handshake and its reply."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = Field(description="The HTTP method.")
    when: dict[Source, str | int | bool] = Field(
        {}, description="Places and their values; `*` matches any value, an empty text matches an absent one."
    )
    content: Literal["json", "form"] = Field(
        "json", description="The format of the body of an unsigned handshake, which has at most 2 KiB."
    )
    is_whole: bool = Field(
        default=False,
        description="Whether the body is an object or a form with exactly the named members, each once.",
    )
    is_signed: bool = Field(
        default=False, description="Whether it is signed like a delivery, and verified first."
    )
    token: Source | None = Field(None, description="The place of the `handshake_token` of the configuration.")
    challenge: Source | None = Field(None, description="The place of the value to echo or sign.")
    pattern: Annotated[str, StringConstraints(max_length=128), AfterValidator(_check_pattern)] = Field(
        "[A-Za-z0-9_.~=+/-]{1,512}",
        description="The pattern of challenges; nothing else is ever echoed or signed.",
    )
    sign: ChallengeSignatureSpec | None = Field(None, description="The way to make {signature}.")
    enrol: Source | None = Field(
        None, description="The place of the secret that the sender is going to sign with."
    )
    confirm: Source | None = Field(None, description="The place of the URL to fetch as a confirmation.")
    confirm_hosts: list[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\.[a-z0-9.*-]+$")]] = Field(
        [], description="The allowed hosts of that URL; `*` matches one label."
    )
    refuse: Literal[401, 403, 404] = Field(
        401, description="The status of the refusal if token or challenge do not match."
    )
    respond: ReplySpec = Field(ReplySpec(), description="The reply.")

    @model_validator(mode="after")
    def _is_consistent(self) -> HandshakeSpec:
        fields = {field for text in self.respond.texts for field in split_fields(text)[1::2]}
        signed = set(split_fields(self.sign.signed)[1::2]) if self.sign else set()
        if self.is_signed and self.method != "POST":
            raise ValueError("is_signed needs method: POST; other methods carry nothing that is signed")
        if self.is_signed and "url" in signed:
            raise ValueError("{url} is for handshakes that are not signed")
        if "challenge" in fields | signed and self.challenge is None:
            raise ValueError("{challenge} needs challenge, to say where it is")
        if ("signature" in fields) != (self.sign is not None):
            raise ValueError("respond must contain {signature} exactly when sign says how it is made")
        if self.confirm and not (self.is_signed and self.confirm_hosts):
            raise ValueError(
                "confirm needs is_signed and confirm_hosts, or anybody could have anything fetched"
            )
        return self

    @property
    def needs_token(self) -> bool:
        """Whether the operator has to configure a ``handshake_token``."""
        return bool(self.token or (self.sign and "{token}" in self.sign.signed))

    @property
    def needs_url(self) -> bool:
        """Whether the reply depends on the URL that the sender called."""
        return bool(self.sign and "{url}" in self.sign.signed)
