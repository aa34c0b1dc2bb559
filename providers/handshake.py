"""How senders greet: what they ask of an address before, or between, their deliveries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from providers.sources import Source


class SuccessSpec(BaseModel):
    """What a sender has to be answered, where the usual 202 is not good enough for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(200, ge=200, le=299, description="The HTTP status.")
    content_type: str = Field("text/plain; charset=utf-8", description="The media type of the body.")
    body: str = Field("", description="The body.")


class ReplySpec(BaseModel):
    """What a handshake is answered; texts may contain {challenge} and {signature}."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(200, ge=200, le=299, description="The HTTP status.")
    content_type: str = Field("text/plain; charset=utf-8", description="The media type of the body.")
    body: str = Field("", description="The body as text.")
    body_json: dict[str, Any] | None = Field(None, alias="json", description="The body as a JSON object.")
    headers: dict[str, str] = Field({}, description="Header fields of the answer.")


class ChallengeSignatureSpec(BaseModel):
    """How a challenge is signed, to show that the secret is known here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = Field("sha256", description="The digest.")
    construction: Literal["hmac", "hash"] = Field(
        "hmac", description="HMAC with the secret, or the digest alone."
    )
    encoding: Literal["hex", "base64"] = Field("hex", description="How the digest is written.")
    secret_format: Literal["raw", "base64", "hex", "whsec_", "sha1"] = Field(
        "raw", description="How the secret becomes the key."
    )
    signed: str = Field(
        "{challenge}", description="What is signed: {challenge} {token} {url} and literal text."
    )


class HandshakeSpec(BaseModel):
    """One kind of greeting and its answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = Field(description="The HTTP method.")
    when: dict[Source, str] = Field({}, description="Places and what stands there; `*` for anything.")
    is_signed: bool = Field(
        default=False, description="Whether it is signed as deliveries are, and verified first."
    )
    token: Source | None = Field(
        None, description="Where the sender shows the `handshake_token` of the configuration."
    )
    challenge: Source | None = Field(None, description="What is to be given back.")
    pattern: Annotated[str, StringConstraints(max_length=128)] = Field(
        "[A-Za-z0-9_.~=+/-]{1,512}",
        description="What a challenge may consist of, so that nothing else is ever echoed or signed.",
    )
    sign: ChallengeSignatureSpec | None = Field(None, description="How {signature} is made.")
    enrol: Source | None = Field(
        None, description="Where the sender tells the secret that it will sign with."
    )
    confirm: Source | None = Field(None, description="The address to be fetched to confirm.")
    confirm_hosts: list[str] = Field([], description="The hosts that it may be on; `*` stands for one label.")
    respond: ReplySpec = Field(ReplySpec(), description="The answer.")
