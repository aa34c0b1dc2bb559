"""Plaid: a token beside the body, signed with keys that are asked for one by one with the operator's credentials.

Source: https://plaid.com/docs/api/webhooks/webhook-verification/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import orjson
from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec, is_sandbox
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.jwk import read_jwk
from gateway.signatures.schemes.jws import Token
from gateway.signatures.schemes.jwt import JwtScheme, JwtSpec, JwtVerifier
from gateway.signatures.schemes.jwt_keys import SecretKeys, TokenKeys, check_token
from gateway.signatures.schemes.key_cache import CachedKey, NamedKeys
from gateway.signatures.schemes.key_verifier import credentials_of, is_pinned
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.secrets import SecretPair

_TOKENS = JwtSpec.model_validate(
    {
        "scheme": "jwt",
        "header": "Plaid-Verification",
        "algorithms": ["ES256"],
        "key_format": "pem",
        "body_claim": "request_body_sha256",
        "max_age": "5m",
    }
)
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class PlaidSpec(SchemeSpec):
    """Plaid; the secret is ``client_id:secret``, and the parameter ``environment`` is ``sandbox`` for its sandbox."""

    scheme: Literal["plaid"] = Field(description="The family of the scheme.")

    @property
    @override
    def has_moment(self) -> bool:
        return True

    @property
    @override
    def fetches_keys(self) -> bool:
        return True

    @override
    def make_secret(self) -> SecretPair:
        return _TOKENS.make_secret()

    @override
    def scheme_for(self, layout: Layout) -> PlaidScheme:
        return PlaidScheme()

    @override
    def describe(self) -> str:
        return _TOKENS.describe()


class PlaidScheme(Scheme):
    """The scheme of a :class:`PlaidSpec`."""

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> JwtVerifier:
        if is_pinned(secrets):
            return JwtVerifier(_TOKENS, SecretKeys(secrets, _TOKENS.algorithms), parameters)
        environment = "sandbox" if is_sandbox(parameters) else "production"
        return JwtVerifier(
            _TOKENS, PlaidTokenKeys(PlaidKeys(environment, *credentials_of(secrets))), parameters
        )

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        return JwtScheme(_TOKENS).sign(request, secret, now, parameters)


class PlaidTokenKeys(TokenKeys):
    """The keys of Plaid's tokens, which name them."""

    def __init__(self, keys: PlaidKeys) -> None:
        self.fetched = self._keys = keys

    @override
    def match(self, token: Token, now: float) -> int:
        check_token(self._keys.get(token.key_id, now), token)
        self._keys.note_proof(token.key_id)
        return 0


class PlaidKeys(NamedKeys):
    """The keys that Plaid gives away by their names; ``scope`` is where."""

    def __init__(self, environment: str, client_id: str, secret: str) -> None:
        super().__init__(f"https://{environment}.plaid.com/webhook_verification_key/get")
        self._credentials = {"client_id": client_id, "secret": secret}

    @override
    def request(self, name: str, now: float) -> KeyRequest:
        if not _KEY_ID.fullmatch(name):
            raise SignatureRejected("unknown_key")
        return KeyRequest(self.scope, name, orjson.dumps(self._credentials | {"key_id": name}))

    @override
    def read(self, name: str, content: bytes, now: float) -> CachedKey:
        document = orjson.loads(content)
        jwk = document.get("key") if isinstance(document, dict) else None
        if not isinstance(jwk, dict) or jwk.get("kid") != name:
            raise ValueError("is not the key that was asked for")
        if jwk.get("expired_at") is not None:
            raise ValueError("the key is withdrawn")
        return CachedKey(read_jwk(jwk))
