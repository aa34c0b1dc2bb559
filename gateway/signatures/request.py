"""A request before and after its sender is proven.

``RawRequest`` becomes ``VerifiedRequest`` only in :meth:`gateway.adapters.adapter.BoundAdapter.verify`; every later
step takes the second, so that unverified data cannot get there by mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.signatures.rejections import MalformedRequest

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
        signed: what of the event the signature was found to cover, in canonical form, told by a verifier whose
            signature covers something else than the body as it came. None where the raw body is what is signed
            (with or without a moment, an id or an address beside it), and where a proof says nothing of one event
            (tokens, HTTP Basic). Equal signed content gives equal bytes, whatever differs that nobody signed:
            members and fields beside it, their order, percent escapes, white space, spelling of a name. What tells
            events apart is in it. What only tells attempts apart is not, such as the moment of sending and a nonce,
            unless the sender signs nothing else: then that is all by which another use of a signature is noticed.
        signed_items: the same for each event of a batch, in the order of the batch, where each is signed by itself.
            Where a batch is signed as a whole, the bytes of its items are as canonical as that.
        rewritten: its JSON as senders write it anew to sign it, by style, once that has been worked out.
    """

    __slots__ = (
        "body", "headers", "method", "path", "query", "rewritten", "signed", "signed_items", "url",
    )  # fmt: skip

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
        self.rewritten: dict[str, bytes] | None = None
        self.signed_items: list[bytes] | None = None


class VerifiedRequest:
    """A request whose sender is proven.

    Attributes:
        headers: the header fields; the signature covers only those that the scheme names.
        query: what stands behind the question mark, as sent.
        body: the verified bytes.
        secret_slot: the position, from 0, of the configured secret that matched.
        signed: what the signature covers, where that is not the body as it came (:attr:`RawRequest.signed`): anybody
            who has seen the request can send it with another body, or with the same in another spelling.
        signed_items: the same for each event of a batch, where each is signed by itself.
    """

    __slots__ = ("body", "headers", "query", "secret_slot", "signed", "signed_items")

    def __init__(self, request: RawRequest, secret_slot: int, *, proof: object) -> None:
        if proof is not PROOF:
            raise TypeError("only an adapter's verify() makes a VerifiedRequest")
        self.headers = request.headers
        self.query = request.query
        self.body = request.body
        self.secret_slot = secret_slot
        self.signed = request.signed
        self.signed_items = request.signed_items
