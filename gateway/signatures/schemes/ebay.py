"""eBay: an ECDSA signature of the body. The public keys are available with an application token only.

Fetching a key takes two requests: one for the token, with the operator's credentials, and one for the key.
Source: https://developer.ebay.com/api-docs/commerce/notification/overview.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import orjson
from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    KeyAlgorithm,
    load_private_key,
    load_public_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec, is_sandbox
from gateway.signatures.schemes.encodings import ENCODERS, decode_signature
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.key_cache import CachedKey, NamedKeys
from gateway.signatures.schemes.key_verifier import NamedKeyVerifier, credentials_of, pinned_keys
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import json_object, single
from gateway.signatures.secrets import SecretPair

_HEADER = "X-EBAY-SIGNATURE"
_ALGORITHM = KeyAlgorithm("ecdsa", "sha1", "secp256r1")
_KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_ARMOUR = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----")
_FORM = ("content-type", "application/x-www-form-urlencoded")
_LONGEST_TOKEN_USE = 300.0
"""Maximum seconds for which a token is used. It is needed for a moment only, and a revoked one must not be used for long."""


class EbaySpec(SchemeSpec):
    """How eBay signs. The secret is ``client_id:client_secret``; the parameter ``environment`` may be ``sandbox``."""

    scheme: Literal["ebay"] = Field(description="The family of the scheme.")

    @property
    @override
    def fetches_keys(self) -> bool:
        return True

    @override
    def make_secret(self) -> SecretPair:
        return make_key_pair(_ALGORITHM)

    @override
    def scheme_for(self, layout: Layout) -> EbayScheme:
        return EbayScheme()

    @override
    def describe(self) -> str:
        return f"ECDSA of {{body}} with SHA-1, in {_HEADER}"


class EbayScheme(Scheme):
    """The scheme of an :class:`EbaySpec`. It signs with a private key in PEM; public keys in PEM are not fetched."""

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> EbayVerifier:
        pinned = pinned_keys(secrets, _ALGORITHM)
        host = "api.sandbox.ebay.com" if is_sandbox(parameters) else "api.ebay.com"
        client_id, client_secret = ("", "") if pinned else credentials_of(secrets)
        return EbayVerifier(pinned, EbayKeys(host, client_id, client_secret))

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        signature = ENCODERS["base64"](sign_with(load_private_key(secret), _ALGORITHM, request.body))
        header = {"alg": "ecdsa", "kid": "simulated", "signature": signature.decode(), "digest": "SHA1"}
        return Signed(
            {_HEADER: ENCODERS["base64"](orjson.dumps(header)).decode()}, request.body, request.query
        )


class EbayVerifier(NamedKeyVerifier):
    """An :class:`EbayScheme` bound to pinned keys, or to the cache of fetched ones."""

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        text = single(request.headers, _HEADER.lower().encode(), "signature_missing")
        header = json_object(decode_signature(text))
        key_id, encoded = header.get("kid"), header.get("signature")
        if type(key_id) is not str or type(encoded) is not str or not encoded.isascii():
            raise SignatureRejected("signature_malformed")
        return self.slot_of(key_id, _ALGORITHM, decode_signature(encoded.encode()), request.body, now)


class EbayKeys(NamedKeys):
    """The keys of eBay by their names, each fetched with an application token. ``scope`` is their address."""

    def __init__(self, host: str, client_id: str, client_secret: str) -> None:
        super().__init__(f"https://{host}/commerce/notification/v1/public_key/")
        basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._token_request = KeyRequest(
            f"https://{host}/identity/v1/oauth2/token",
            body=urlencode(
                {"grant_type": "client_credentials", "scope": "https://api.ebay.com/oauth/api_scope"}
            ).encode(),
            headers=(("authorization", f"Basic {basic}"), _FORM),
            is_known=True,
        )
        self._token, self._token_made, self._token_lasts = "", 0.0, 0.0

    @override
    def request(self, name: str, now: float) -> KeyRequest:
        if not _KEY_ID.fullmatch(name):
            raise SignatureRejected("unknown_key")
        if not 0 <= now - self._token_made < self._token_lasts:
            return self._token_request
        bearer = ("authorization", f"Bearer {self._token}")
        return KeyRequest(self.scope + name, name, headers=(bearer,))

    @override
    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        if request.url != self._token_request.url:
            super().learn(request, content, now)
            return
        document = _read_answer(content)
        token, lifetime = document.get("access_token"), document.get("expires_in")
        if (
            type(token) is not str
            or not token.isascii()
            or not token.isprintable()
            or type(lifetime) is not int
        ):
            raise ValueError("the answer contains no token")
        self._token, self._token_made, self._token_lasts = token, now, min(lifetime, _LONGEST_TOKEN_USE)

    @override
    def read(self, name: str, content: bytes, now: float) -> CachedKey:
        key = _read_answer(content).get("key")
        if type(key) is not str:
            raise ValueError("the answer contains no key")
        # eBay sends PEM without the line breaks that PEM requires.
        return CachedKey(load_public_key(_ARMOUR.sub("", key).strip(), "der"))


def _read_answer(content: bytes) -> dict[str, Any]:
    document = orjson.loads(content)
    if not isinstance(document, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 -- the answer is wrong, not an argument
    return document
