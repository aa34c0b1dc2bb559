"""eBay: an ECDSA signature of the body, with keys that are given out to who has an application token.

Two requests lead to a key: one for the token, with the operator's credentials, and one for the key, with the token.
Source: https://developer.ebay.com/api-docs/commerce/notification/overview.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import orjson
from pydantic import Field

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    KeyAlgorithm,
    load_private_key,
    load_public_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, SchemeSpec
from gateway.signatures.schemes.encodings import ENCODERS, decode_signature
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.key_cache import (
    FetchingVerifier,
    NamedKeys,
    credentials_of,
    pinned_keys,
    slot_of,
)
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import single
from gateway.signatures.secrets import SecretPair

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

_HEADER = "X-EBAY-SIGNATURE"
_ALGORITHM = KeyAlgorithm("ecdsa", "sha1", "secp256r1")
_KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_ARMOUR = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----")
_FORM = ("content-type", "application/x-www-form-urlencoded")
_LONGEST_TOKEN_USE = 300.0
"""Seconds; a token is needed for a moment, and one that was withdrawn must not be in the way for long."""


class EbaySpec(SchemeSpec):
    """eBay; the secret is ``client_id:client_secret``, the parameter ``environment`` ``sandbox`` for its sandbox."""

    scheme: Literal["ebay"] = Field(description="The family of the scheme.")

    @property
    def fetches_keys(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.fetches_keys`: with the credentials in the secret."""
        return True

    def make_secret(self) -> SecretPair:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.make_secret`."""
        return make_key_pair(_ALGORITHM)

    def scheme_for(self, layout: Layout) -> EbayScheme:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.scheme_for`."""
        return EbayScheme()

    def describe(self) -> str:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.describe`."""
        return f"ECDSA of {{body}} with SHA-1, in {_HEADER}"


class EbayScheme:
    """The scheme of an :class:`EbaySpec`."""

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> EbayVerifier:
        """See :meth:`gateway.signatures.schemes.base.Scheme.bind`; a secret may be a public key that is not to be fetched."""
        pinned = pinned_keys(secrets, _ALGORITHM)
        host = "api.sandbox.ebay.com" if parameters.get("environment") == "sandbox" else "api.ebay.com"
        return EbayVerifier(pinned, None if pinned else EbayKeys(host, *credentials_of(secrets)))

    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        """See :meth:`gateway.signatures.schemes.base.Scheme.sign`; the secret is a private key in PEM."""
        signature = ENCODERS["base64"](sign_with(load_private_key(secret), _ALGORITHM, request.body))
        header = {"alg": "ecdsa", "kid": "simulated", "signature": signature.decode(), "digest": "SHA1"}
        return Signed(
            {_HEADER: ENCODERS["base64"](orjson.dumps(header)).decode()}, request.body, request.query
        )


class EbayVerifier(FetchingVerifier):
    """An :class:`EbayScheme` bound to its keys, or to where they are fetched."""

    def __init__(self, pinned: Sequence[PublicKey], keys: EbayKeys | None) -> None:
        super().__init__(keys)
        self._pinned = pinned
        self._keys = keys

    def verify(self, request: RawRequest, now: float) -> int:
        """See :meth:`gateway.signatures.schemes.base.Verifier.verify`."""
        text = single(request.headers, _HEADER.lower().encode(), "signature_missing")
        header = _read_object(decode_signature(text))
        key_id, encoded = header.get("kid"), header.get("signature")
        if type(key_id) is not str or type(encoded) is not str or not encoded.isascii():
            raise SignatureRejected("signature_malformed")
        signature = decode_signature(encoded.encode())
        keys = [self._keys.get(key_id, now)] if self._keys else self._pinned
        slot = slot_of(keys, _ALGORITHM, signature, request.body)
        if self._keys:
            self._keys.note_proof(key_id)
        return slot


class EbayKeys(NamedKeys["PublicKey"]):
    """The keys that eBay gives away by their names, to who has a token; ``scope`` is where."""

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

    def request(self, name: str, now: float) -> KeyRequest:
        """See :meth:`gateway.signatures.schemes.fetched_keys.FetchedKeys.request`: a token comes first."""
        if not _KEY_ID.fullmatch(name):
            raise SignatureRejected("unknown_key")
        if not 0 <= now - self._token_made < self._token_lasts:
            return self._token_request
        bearer = ("authorization", f"Bearer {self._token}")
        return KeyRequest(self.scope + name, name, headers=(bearer,))

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`gateway.signatures.schemes.fetched_keys.FetchedKeys.learn`."""
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
            raise ValueError("there is no token in the answer")
        self._token, self._token_made, self._token_lasts = token, now, min(lifetime, _LONGEST_TOKEN_USE)

    def read(self, name: str, content: bytes, now: float) -> PublicKey:
        """See :meth:`gateway.signatures.schemes.key_cache.NamedKeys.read`."""
        key = _read_answer(content).get("key")
        if type(key) is not str:
            raise ValueError("there is no key in the answer")
        # It comes as PEM without the line breaks that make it PEM.
        return load_public_key(_ARMOUR.sub("", key).strip(), "der")


def _read_answer(content: bytes) -> dict[str, Any]:
    document = orjson.loads(content)
    if not isinstance(document, dict):
        raise ValueError("is no answer of eBay")  # noqa: TRY004 -- of what is fetched, not of a caller
    return document


def _read_object(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if type(value) is not dict:
        raise SignatureRejected("signature_malformed")
    return value
