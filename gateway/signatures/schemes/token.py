"""A shared token in every request, or HTTP Basic: the only protection that many senders offer.

Nothing is signed. Anybody who has seen one request can forge any other, so that security depends on TLS and on every log
along the way that may contain the token.
Sources: https://www.rfc-editor.org/rfc/rfc7617 (Basic) and the page of each sender (``docs`` in ``providers/*.yaml``).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import override

from gateway.signatures.extractors import SourceContext
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec, StaticVerifier
from gateway.signatures.schemes.layout import Draft, Layout, Place, is_in_body, listed, place_reader
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import single
from gateway.signatures.schemes.timestamps import Affix, HeaderName
from gateway.signatures.secrets import SecretFormatError, SecretPair, decode_secret

_MAX_TOKEN_BYTES = 64 * 1024
"""Bytes of a token in a request. A header field has at most half of it."""


class TokenSpec(SchemeSpec):
    """A sender that sends the secret itself."""

    scheme: Literal["token"] = Field(description="The family of the scheme.")
    header: HeaderName | None = Field(None, description="The header that carries the token.")
    place: Place | None = Field(
        None,
        description=(
            "The place of a token that is not in a header: `query:NAME`, `body:/json/pointer`, or "
            "`item:/json/pointer` in every event of a batch."
        ),
    )
    prefix: Affix = Field("", description="The text before the token, such as `Bearer ` with its space.")

    @model_validator(mode="after")
    def _one_place(self) -> TokenSpec:
        if (self.header is None) == (self.place is None):
            raise ValueError("needs either header or place, to say where the token is")
        return self

    @property
    @override
    def is_body_bound(self) -> bool:
        return False

    @override
    def scheme_for(self, layout: Layout) -> TokenScheme:
        return TokenScheme(self, layout)

    @override
    def describe(self) -> str:
        return f"a token in {self.header or self.place}"


class BasicSpec(SchemeSpec):
    """A sender that sends a user and a password. The secret is ``user:password``."""

    scheme: Literal["basic"] = Field(description="The family of the scheme.")

    @property
    @override
    def is_body_bound(self) -> bool:
        return False

    @override
    def make_secret(self) -> SecretPair:
        secret = f"gateway:{super().make_secret().receiver}"
        return SecretPair(secret, secret)

    @override
    def scheme_for(self, layout: Layout) -> TokenScheme:
        return TokenScheme(self, layout)

    @override
    def describe(self) -> str:
        return "HTTP Basic in Authorization"


class TokenScheme(Scheme):
    """The scheme of a :class:`TokenSpec` or a :class:`BasicSpec`, for bodies of one layout."""

    def __init__(self, spec: TokenSpec | BasicSpec, layout: Layout) -> None:
        self.layout = layout
        self.is_basic = isinstance(spec, BasicSpec)
        self.header = "Authorization" if isinstance(spec, BasicSpec) else spec.header
        self.place = None if isinstance(spec, BasicSpec) else spec.place
        self.prefix = "Basic " if isinstance(spec, BasicSpec) else spec.prefix
        self.is_itemwise = self.place is not None and self.place.startswith("item:")

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> TokenVerifier:
        return TokenVerifier(self, [self._expected(secret) for secret in secrets])

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        draft = Draft(request, self.layout, needs_payload=is_in_body(self.place))
        text = self._expected(secret)[0].decode()
        for context in draft.contexts(is_itemwise=self.is_itemwise):
            draft.write(self.header, self.place, text, context)
        return draft.signed()

    def _expected(self, secret: str) -> list[bytes]:
        """Return the texts that a sender with the secret may send. .NET and some browsers write Basic in Latin-1.

        Raises:
            SecretFormatError: The secret is not in the format of the scheme.
        """
        token = decode_secret(secret, "raw")
        if not self.is_basic:
            return [self.prefix.encode() + token]
        if b":" not in token or token == b":":
            raise SecretFormatError("is not user:password")
        tokens = [token]
        if not secret.isascii():
            with suppress(UnicodeEncodeError):  # then the sender can only use UTF-8
                tokens.append(secret.encode("latin-1"))
        return [self.prefix.encode() + base64.b64encode(each) for each in tokens]


class TokenVerifier(StaticVerifier):
    """A :class:`TokenScheme` bound to its secrets."""

    def __init__(self, scheme: TokenScheme, expected: list[list[bytes]]) -> None:
        # Digests are compared: they have one length, while comparing the texts would reveal the length of the token.
        self._digests = [(slot, _digest(text)) for slot, texts in enumerate(expected) for text in texts]
        self._layout = scheme.layout
        self._excerpt = scheme.layout.excerpt(filter(is_in_body, listed(scheme.place)))
        self._folded = scheme.prefix.lower().encode() if scheme.prefix.endswith(" ") else b""
        self._prefix = scheme.prefix.encode()
        self._header = scheme.header.lower().encode() if scheme.header else b""
        self._is_in_body = is_in_body(scheme.place)
        self._read_place = place_reader(scheme.place, "signature_missing") if scheme.place else None

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        if not self._is_in_body:
            return self._prove(request, None)
        slots = [self._prove(request, context) for context in self._layout.contexts(request, self._excerpt)]
        if not slots:
            raise SignatureRejected("signature_missing")
        return slots[0]

    def _prove(self, request: RawRequest, context: SourceContext | None) -> int:
        if self._read_place:
            shown = self._read_place(request, context)
        else:
            shown = single(request.headers, self._header, "signature_missing")
        if len(shown) > _MAX_TOKEN_BYTES:
            raise SignatureRejected("signature_mismatch")
        start = len(self._folded)
        if (
            start and shown[:start].lower() == self._folded
        ):  # the scheme name in Authorization is case-insensitive
            shown = self._prefix + shown[start:]
        digest = _digest(shown)
        matched = -1
        for slot, expected in reversed(self._digests):
            if hmac.compare_digest(expected, digest):
                matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        return matched


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
