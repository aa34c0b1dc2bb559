"""A shared token that every delivery shows, or HTTP Basic: all that many senders offer.

Nothing is signed: whoever has seen one delivery can forge any other, so such an address is as safe as TLS and
the logs on its way keep the token.
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

_LONGEST = 64 * 1024  # bytes of a token that is shown; a header field has at most half of it


class TokenSpec(SchemeSpec):
    """A sender that shows the secret itself."""

    scheme: Literal["token"] = Field(description="The family of the scheme.")
    header: HeaderName | None = Field(None, description="The header that carries the token.")
    place: Place | None = Field(
        None,
        description=(
            "Where the token stands when it is in no header: `query:NAME`, `body:/json/pointer`, or "
            "`item:/json/pointer` in every event of a batch."
        ),
    )
    prefix: Affix = Field(
        "", description="What stands before the token, such as `Bearer ` with a space behind it."
    )

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
    """A sender that shows a user and a password. The secret is ``user:password``."""

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
    """The scheme of a :class:`TokenSpec` or a :class:`BasicSpec`, for bodies that are laid out as told."""

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
        for delivery in draft.deliveries(is_itemwise=self.is_itemwise):
            draft.write(self.header, self.place, text, delivery)
        return draft.signed()

    def _expected(self, secret: str) -> list[bytes]:
        """All that a sender with the secret may show: browsers and .NET write Basic credentials in Latin-1 (RFC 7617).

        Raises:
            SecretFormatError: it is no secret of the kind.
        """
        token = decode_secret(secret, "raw")
        if not self.is_basic:
            return [self.prefix.encode() + token]
        if b":" not in token or token == b":":
            raise SecretFormatError("is not user:password")
        tokens = [token]
        if not secret.isascii():
            with suppress(UnicodeEncodeError):  # then only UTF-8 can be meant
                tokens.append(secret.encode("latin-1"))
        return [self.prefix.encode() + base64.b64encode(each) for each in tokens]


class TokenVerifier(StaticVerifier):
    """A :class:`TokenScheme` bound to its secrets."""

    def __init__(self, scheme: TokenScheme, expected: list[list[bytes]]) -> None:
        # Digests are compared, all of one length, since a comparison of the texts would tell the length of ours.
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
        slots = [
            self._prove(request, delivery) for delivery in self._layout.deliveries(request, self._excerpt)
        ]
        if not slots:
            raise SignatureRejected("signature_missing")
        return slots[0]

    def _prove(self, request: RawRequest, delivery: SourceContext | None) -> int:
        if self._read_place:
            shown = self._read_place(request, delivery)
        else:
            shown = single(request.headers, self._header, "signature_missing")
        if len(shown) > _LONGEST:
            raise SignatureRejected("signature_mismatch")
        start = len(self._folded)
        if start and shown[:start].lower() == self._folded:  # the scheme in Authorization has no case
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
