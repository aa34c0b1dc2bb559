"""A request before and after its sender is proven.

``RawRequest`` becomes ``VerifiedRequest`` only in :meth:`providers.adapter.BoundAdapter.verify`; every later
step takes the second, so that unverified data cannot get there by mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from providers.rejections import MalformedRequest

PROOF = object()
"""What makes a VerifiedRequest; for the adapter alone."""

_NOTHING: frozenset[bytes] = frozenset()


class Headers:
    """The header fields of one request; names are lower-case bytes, as ASGI gives them.

    A field that is asked for must stand alone: two of them mean that a proxy and we could read different
    ones, so asking raises instead of choosing.

    Attributes:
        fields: all of them, in their order.
    """

    __slots__ = ("_by_name", "_repeated", "fields")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self.fields = fields
        self._by_name = dict(fields)
        self._repeated: frozenset[bytes] = _NOTHING
        if len(self._by_name) != len(fields):
            counts = Counter(name for name, _ in fields)
            self._repeated = frozenset(name for name, count in counts.items() if count > 1)

    def get(self, name: bytes) -> bytes | None:
        """The value of the field ``name`` (lower case), or None when it is absent.

        Raises:
            MalformedRequest: the field stands there more than once.
        """
        if name in self._repeated:
            raise MalformedRequest(f"header {name.decode('latin-1')} is repeated")
        return self._by_name.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields ``name`` (lower case), in their order."""
        return [value for field, value in self.fields if field == name]

    def __contains__(self, name: bytes) -> bool:
        """Whether the field ``name`` (lower case) stands there at all."""
        return name in self._by_name

    def is_repeated(self, name: bytes) -> bool:
        """Whether the field ``name`` (lower case) stands there more than once."""
        return name in self._repeated


class RawRequest:
    """One request as it came, its sender not proven.

    Attributes:
        method: the HTTP method, upper case.
        url: the address that the sender called, as far as it is known, with the query.
        path: the path as sent, percent-encoding kept.
        query: what stands behind the question mark, as sent.
        headers: the header fields.
        body: the bytes of the body.
        signed: what the signature was found to cover, told by a verifier whose signature does not cover the body, or
            covers its JSON as it is written anew.
    """

    __slots__ = ("body", "headers", "method", "path", "query", "signed", "url")

    def __init__(
        self,
        *,
        body: bytes,
        headers: Headers,
        method: str = "POST",
        path: str = "/",
        query: bytes = b"",
        url: str = "",
    ) -> None:
        self.body = body
        self.headers = headers
        self.method = method
        self.path = path
        self.query = query
        self.url = url
        self.signed: bytes | None = None


class VerifiedRequest:
    """A request whose sender is proven.

    Attributes:
        headers: the header fields; the signature covers only those that the scheme names.
        query: what stands behind the question mark, as sent.
        body: the verified bytes.
        secret_slot: the position, from 0, of the configured secret that matched.
        signed: what the signature covers, where that is not the body: whoever has seen it can send it with any other.
    """

    __slots__ = ("body", "headers", "query", "secret_slot", "signed")

    def __init__(self, request: RawRequest, secret_slot: int, *, proof: object) -> None:
        if proof is not PROOF:
            raise TypeError("only an adapter's verify() makes a VerifiedRequest")
        self.headers = request.headers
        self.query = request.query
        self.body = request.body
        self.secret_slot = secret_slot
        self.signed = request.signed
