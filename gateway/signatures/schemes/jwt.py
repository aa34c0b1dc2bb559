"""Tokens (JWT, RFC 7519) in a header, or as the body. The claims are signed; one of them may be a digest of the body.

Without such a claim a captured token proves any body for as long as it is valid; ``binds_body: false`` says so.
Sources: https://www.rfc-editor.org/rfc/rfc7519 and the page of each sender (``docs`` in ``providers/*.yaml``).

This module has more than 200 lines because the description, the signer and the verifier share the meaning of each claim.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import make_key_pair
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec
from gateway.signatures.schemes.jws import ALGORITHMS, HMACS, TokenAlgorithm, read_token, write_token
from gateway.signatures.schemes.jwt_keys import PublishedKeys, SecretKeys, TokenKeys
from gateway.signatures.schemes.key_verifier import FetchingVerifier
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.qsh import query_string_hash
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import single
from gateway.signatures.schemes.timestamps import Affix, HeaderName
from gateway.signatures.secrets import SecretPair
from gateway.signatures.units import Duration

ClaimName = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]

_TOKEN_LIFETIME = 300
"""Seconds for which a token that is made here is valid."""

_TIMESTAMP_CLAIMS = ("exp", "nbf", "iat")
_FIELD = re.compile(r"\{(url|parameter:[a-z][a-z0-9_]{0,31})\}")

_BODY_DIGESTS: dict[str, Callable[[bytes], str]] = {
    "sha256-hex": lambda content: hashlib.sha256(content).hexdigest(),
    "sha256-base64": lambda content: base64.b64encode(hashlib.sha256(content).digest()).decode(),
}
_URL_DIGESTS: dict[str, Callable[[RawRequest], str]] = {
    "sha256-hex": lambda request: _BODY_DIGESTS["sha256-hex"](request.url.encode("latin-1")),
    "qsh": lambda request: query_string_hash(request.method, request.url),
}


class PublishedKeysSpec(BaseModel):
    """Where a sender publishes its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jwks: Annotated[str, StringConstraints(pattern=r"^https://[a-z0-9.-]+(/[!-~]*)?$")] = Field(
        description="The address of its JWK Set."
    )


class JwtSpec(SchemeSpec):
    """How a sender signs with a token."""

    scheme: Literal["jwt"] = Field(description="The family of the scheme.")
    header: HeaderName | None = Field(None, description="The header that carries the token.")
    place: Literal["body"] | None = Field(None, description="`body`: the body is the token.")
    prefix: Affix = Field("", description="The text before the token, such as `Bearer `.")
    algorithms: list[TokenAlgorithm] = Field(
        min_length=1, description="The algorithms that the sender may use."
    )
    key_format: Literal["raw", "pem"] = Field(
        "raw", description="The kind of secret: a text that both sides share, or a public key."
    )
    keys: PublishedKeysSpec | None = Field(
        None, description="Where the keys are fetched if they are not configured."
    )
    body_claim: ClaimName | None = Field(None, description="The claim that is a digest of the body.")
    body_hash: Literal["sha256-hex", "sha256-base64"] = Field("sha256-hex", description="Which digest.")
    binds_body: bool = Field(default=True, description="Must be false if no claim covers the body.")
    url_claim: ClaimName | None = Field(
        None, description="The claim that is a digest of the URL that the sender called."
    )
    url_hash: Literal["sha256-hex", "qsh"] = Field(
        "sha256-hex", description="Which digest; `qsh` is Atlassian's, of method, path and query."
    )
    claims: dict[ClaimName, str | bool] = Field(
        {}, description="Claims and their required values; texts may contain {parameter:NAME} and {url}."
    )
    required: list[ClaimName] = Field([], description="Claims that must be present.")
    simulated: dict[ClaimName, str] = Field(
        {},
        description="Claims of the sender's tokens that are not checked; only tokens that are made here get them.",
    )
    max_age: Duration | None = Field(None, description="How long after `iat` a token is valid.")
    leeway: Duration = Field(60.0, description="The tolerated difference between the clocks.")

    @model_validator(mode="after")
    def _is_consistent(self) -> JwtSpec:
        is_shared = self.key_format == "raw" and self.keys is None
        if (self.header is None) == (self.place is None):
            raise ValueError("needs either header or place, to say where the token is")
        if any((algorithm in HMACS) != is_shared for algorithm in self.algorithms):
            raise ValueError(
                "algorithms must be HS… for a shared secret, and anything else for a public key: "
                "a public key must not become a shared secret"
            )
        if self.binds_body != (self.body_claim is not None or self.place == "body"):
            raise ValueError("needs a body_claim, or binds_body: false to say that the body is not covered")
        if any(set("{}") & set(_FIELD.sub("", text)) for text in self._texts):
            raise ValueError("claims have an unknown field in braces; there are {parameter:NAME} and {url}")
        return self

    @property
    @override
    def needs_url(self) -> bool:
        return self.url_claim is not None or any("{url}" in text for text in self._texts)

    @property
    @override
    def needs_secret(self) -> bool:
        return self.keys is None

    @property
    @override
    def is_body_bound(self) -> bool:
        return self.binds_body

    @property
    @override
    def has_timestamp(self) -> bool:
        return self.max_age is not None or "exp" in self.required

    @property
    @override
    def timestamp_tolerance(self) -> float:
        return self.leeway

    @override
    def with_tolerance(self, seconds: float) -> Self:
        return self.model_copy(update={"leeway": seconds})

    @property
    @override
    def needed_parameters(self) -> list[str]:
        fields = [field for text in self._texts for field in _FIELD.findall(text)]
        return [field.removeprefix("parameter:") for field in fields if field != "url"]

    @property
    def _texts(self) -> list[str]:
        return [value for value in self.claims.values() if isinstance(value, str)]

    @override
    def make_secret(self) -> SecretPair:
        algorithm = ALGORITHMS.get(self.algorithms[0])
        return make_key_pair(algorithm) if algorithm else super().make_secret()

    @override
    def scheme_for(self, layout: Layout) -> JwtScheme:
        return JwtScheme(self)

    @override
    def describe(self) -> str:
        covered = f"with a digest of the body in {self.body_claim}" if self.body_claim else "without the body"
        where = f"in {self.header}" if self.header else "that is the body"
        return f"JWT ({', '.join(self.algorithms)}) {where}" + (f", {covered}" if self.header else "")


class JwtScheme(Scheme):
    """The scheme of a :class:`JwtSpec`. Configured secrets replace the published keys."""

    def __init__(self, spec: JwtSpec) -> None:
        self.spec = spec

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> JwtVerifier:
        spec = self.spec
        if spec.keys and not secrets:
            return JwtVerifier(spec, PublishedKeys(spec.keys.jwks), parameters)
        return JwtVerifier(spec, SecretKeys(secrets, spec.algorithms), parameters)

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        spec = self.spec
        known = {"iat": int(now), "nbf": int(now), "exp": int(now) + _TOKEN_LIFETIME}
        names = {*spec.required, "iat"} if spec.max_age else {*spec.required}
        claims: dict[str, Any] = orjson.loads(request.body) if spec.place else {}
        digest = hashlib.sha256(request.body).hexdigest()
        claims |= {name: known.get(name, digest) for name in sorted(names - claims.keys())}
        claims |= {name: text or digest for name, text in spec.simulated.items()}
        claims |= _expected_claims(spec, parameters, request)
        if spec.body_claim:
            claims[spec.body_claim] = _BODY_DIGESTS[spec.body_hash](request.body)
        if spec.url_claim:
            claims[spec.url_claim] = _URL_DIGESTS[spec.url_hash](request)
        token = write_token(spec.algorithms[0], secret, claims)
        if spec.header is None:
            return Signed({}, token.encode(), request.query)
        return Signed({spec.header: spec.prefix + token}, request.body, request.query)


class JwtVerifier(FetchingVerifier):
    """A :class:`JwtScheme` bound to its keys."""

    def __init__(self, spec: JwtSpec, keys: TokenKeys, parameters: Mapping[str, str]) -> None:
        super().__init__(keys.fetched)
        self._spec = spec
        self._keys = keys
        self._parameters = parameters
        self._header = spec.header.lower().encode() if spec.header else None
        self._prefix = spec.prefix.encode()

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        text = single(request.headers, self._header, "signature_missing") if self._header else request.body
        if not text.startswith(self._prefix):
            raise SignatureRejected("signature_malformed")
        token = read_token(text[len(self._prefix) :], self._spec.algorithms)
        slot = self._keys.match(token, now)
        claims = token.claims()
        self._check_timestamps(claims, now)
        self._check_claims(claims, request)
        request.signed_at = _timestamp(claims, "iat")
        if self._header is None:
            said = {name: claim for name, claim in claims.items() if name not in _TIMESTAMP_CLAIMS}
            request.signed = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        return slot

    def _check_timestamps(self, claims: Mapping[str, Any], now: float) -> None:
        spec = self._spec
        expiry, start, issue = (_timestamp(claims, name) for name in _TIMESTAMP_CLAIMS)
        for name, moment in zip(_TIMESTAMP_CLAIMS, (expiry, start, issue), strict=True):
            if moment is None and (name in spec.required or (name == "iat" and spec.max_age)):
                raise SignatureRejected("timestamp_missing")
        ends = [expiry] if expiry is not None else []
        if spec.max_age and issue is not None:
            ends.append(issue + spec.max_age)
        if any(now >= end + spec.leeway for end in ends):
            raise SignatureRejected("timestamp_too_old")
        if any(moment is not None and moment > now + spec.leeway for moment in (start, issue)):
            raise SignatureRejected("timestamp_in_future")

    def _check_claims(self, claims: Mapping[str, Any], request: RawRequest) -> None:
        spec = self._spec
        if any(name not in claims for name in spec.required):
            raise SignatureRejected("claim_mismatch")
        for name, expected in _expected_claims(spec, self._parameters, request).items():
            actual = claims.get(name)
            is_listed = name == "aud" and type(actual) is list and expected in actual
            if not is_listed and (type(actual) is not type(expected) or actual != expected):
                raise SignatureRejected("claim_mismatch")
        # Some senders make no digest of an empty body, which could not be altered anyway.
        if spec.body_claim and (request.body or spec.body_claim in claims):
            _check_digest(claims.get(spec.body_claim), _BODY_DIGESTS[spec.body_hash](request.body))
        if spec.url_claim:
            _check_digest(claims.get(spec.url_claim), _URL_DIGESTS[spec.url_hash](request))


def _expected_claims(
    spec: JwtSpec, parameters: Mapping[str, str], request: RawRequest
) -> dict[str, str | bool]:
    """Return the expected values of the claims that do not depend on the body."""

    def fill(match: re.Match[str]) -> str:
        return request.url if match[1] == "url" else parameters[match[1].removeprefix("parameter:")]

    return {
        name: _FIELD.sub(fill, value) if isinstance(value, str) else value
        for name, value in spec.claims.items()
    }


def _timestamp(claims: Mapping[str, Any], name: str) -> float | None:
    moment = claims.get(name)
    if moment is None:
        return None
    if type(moment) not in (int, float):
        raise SignatureRejected("timestamp_malformed")
    return float(moment)


def _check_digest(actual: object, expected: str) -> None:
    if type(actual) is not str or not hmac.compare_digest(actual.encode(), expected.encode()):
        raise SignatureRejected("signature_mismatch")
