"""Plaid: a token beside the body, signed with keys that are asked for one by one with the operator's credentials.

Source: https://plaid.com/docs/api/webhooks/webhook-verification/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import orjson
from pydantic import Field

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, SchemeSpec
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.jws import Token
from gateway.signatures.schemes.jwt import JwtScheme, JwtSpec, JwtVerifier
from gateway.signatures.schemes.jwt_keys import SecretKeys, check_token
from gateway.signatures.schemes.key_cache import NamedKeys, credentials_of, is_pinned, read_jwk
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.secrets import SecretPair

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

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
    def has_moment(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.has_moment`."""
        return True

    @property
    def fetches_keys(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.fetches_keys`: with the credentials in the secret."""
        return True

    def make_secret(self) -> SecretPair:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.make_secret`."""
        return _TOKENS.make_secret()

    def scheme_for(self, layout: Layout) -> PlaidScheme:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.scheme_for`."""
        return PlaidScheme()

    def describe(self) -> str:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.describe`."""
        return _TOKENS.describe()


class PlaidScheme:
    """The scheme of a :class:`PlaidSpec`."""

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> JwtVerifier:
        """See :meth:`gateway.signatures.schemes.base.Scheme.bind`; a secret may be a public key that is not to be fetched."""
        if is_pinned(secrets):
            return JwtVerifier(_TOKENS, SecretKeys(secrets, _TOKENS.algorithms), parameters)
        environment = "sandbox" if parameters.get("environment") == "sandbox" else "production"
        return JwtVerifier(_TOKENS, PlaidKeys(environment, *credentials_of(secrets)), parameters)

    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        """See :meth:`gateway.signatures.schemes.base.Scheme.sign`; the secret is a private key in PEM."""
        return JwtScheme(_TOKENS).sign(request, secret, now, parameters)


class PlaidKeys(NamedKeys["PublicKey"]):
    """The keys that Plaid gives away by their names; ``scope`` is where."""

    def __init__(self, environment: str, client_id: str, secret: str) -> None:
        super().__init__(f"https://{environment}.plaid.com/webhook_verification_key/get")
        self._credentials = {"client_id": client_id, "secret": secret}

    @property
    def fetched(self) -> PlaidKeys:
        """See :attr:`gateway.signatures.schemes.jwt_keys.TokenKeys.fetched`."""
        return self

    def match(self, token: Token, now: float) -> int:
        """See :meth:`gateway.signatures.schemes.jwt_keys.TokenKeys.match`."""
        check_token(self.get(token.key_id, now), token)
        self.note_proof(token.key_id)
        return 0

    def request(self, name: str, now: float) -> KeyRequest:
        """See :meth:`gateway.signatures.schemes.fetched_keys.FetchedKeys.request`."""
        if not _KEY_ID.fullmatch(name):
            raise SignatureRejected("unknown_key")
        return KeyRequest(self.scope, name, orjson.dumps(self._credentials | {"key_id": name}))

    def read(self, name: str, content: bytes, now: float) -> PublicKey:
        """See :meth:`gateway.signatures.schemes.key_cache.NamedKeys.read`."""
        document = orjson.loads(content)
        jwk = document.get("key") if isinstance(document, dict) else None
        if not isinstance(jwk, dict) or jwk.get("kid") != name:
            raise ValueError("is not the key that was asked for")
        if jwk.get("expired_at") is not None:
            raise ValueError("the key is withdrawn")
        return read_jwk(jwk)
