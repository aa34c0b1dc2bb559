"""Masks the credentials of a refused request before it is kept; see :mod:`gateway.journal.capture` for the reasons."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from gateway.signatures.request import Headers
from gateway.signatures.schemes import SignatureSpec
from gateway.signatures.schemes.jwt import JwtSpec
from gateway.signatures.schemes.token import BasicSpec, TokenSpec

MASK = b"***"
"""What a credential is replaced by."""

_ALWAYS = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"))
"""Header fields that carry credentials, whatever their scheme."""

_TELLING = re.compile(
    r"token|secret|passw|credential|session|jwt|bearer|api[-_]?key|access[-_]?key", re.IGNORECASE
)
"""Matches the names of fields and parameters that probably hold a credential."""


class CredentialMask:
    """Masks the credentials in requests to one provider.

    Args:
        signature: How the provider signs.

    Attributes:
        keeps_body: Whether the body can be kept, because no token is in it.
    """

    def __init__(self, signature: SignatureSpec) -> None:
        place = getattr(signature, "place", None)
        places = [place] if isinstance(place, str) else list(place or ())
        header = getattr(signature, "header", None)
        named = [header] if isinstance(header, str) else list(header or ())
        names = {name.lower().encode() for name in named}
        parameters = {place.removeprefix("query:") for place in places if place.startswith("query:")}
        is_secret = isinstance(signature, TokenSpec | BasicSpec)
        self._hidden = names if is_secret else set()
        self._shown = set() if is_secret else names
        self._hidden_parameters = parameters if is_secret else set()
        self._shown_parameters = set() if is_secret else parameters
        self._is_bearer = isinstance(signature, JwtSpec) and not signature.body_claim
        self.keeps_body = not is_secret or all(place.startswith("query:") for place in places)

    def headers(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return the header fields without their credentials."""
        return [(name, self._value_of(name, value)) for name, value in headers.fields]

    def query(self, query: bytes) -> bytes:
        """Return a query without its credentials."""
        return b"&".join(map(self._parameter, query.split(b"&"))) if query else query

    def _value_of(self, name: bytes, value: bytes) -> bytes:
        if name in self._shown:
            # A token that covers no body proves any other one as well.
            return value.rpartition(b".")[0] + b"." + MASK if self._is_bearer else value
        is_secret = name in self._hidden or name in _ALWAYS or _TELLING.search(name.decode("latin-1"))
        return MASK if is_secret else value

    def _parameter(self, parameter: bytes) -> bytes:
        encoded, equals, value = parameter.partition(b"=")
        name = unquote_plus(encoded.decode("latin-1"))
        if name in self._shown_parameters or not value:
            return parameter
        is_secret = name in self._hidden_parameters or _TELLING.search(name)
        return encoded + equals + (MASK if is_secret else value)
