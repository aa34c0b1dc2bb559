"""A request before and after its sender is proven.

``RawRequest`` becomes ``VerifiedRequest`` only in :meth:`gateway.adapters.adapter.BoundAdapter.verify`; every later
step takes the second, so that unverified data cannot get there by mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import msgspec

from gateway.signatures.rejections import MalformedRequest

PROOF = object()
"""The token that makes a VerifiedRequest. Only the adapter uses it."""


class Headers:
    """The header fields of one request; names are lower-case bytes, as ASGI gives them.

    Reading a repeated field raises instead of choosing one: a proxy may have read the other.

    Attributes:
        fields: all fields, in their order.
        get: returns the value of the field of a name (lower case), or None if it is absent. Raises MalformedRequest if
            the field is repeated. Where none is, it is the dictionary's own method: a request is asked a dozen times.
    """

    __slots__ = ("_by_name", "_repeated", "fields", "get")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self.fields = fields
        self._by_name = by_name = dict(fields)
        self._repeated: Collection[bytes] = ()
        self.get: Callable[[bytes], bytes | None] = by_name.get
        if len(by_name) != len(fields):
            counts = Counter(name for name, _ in fields)
            self._repeated = {name for name, count in counts.items() if count > 1}
            self.get = self._get_single

    def _get_single(self, name: bytes) -> bytes | None:
        if name in self._repeated:
            raise MalformedRequest(f"header {name.decode('latin-1')} is repeated")
        return self._by_name.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of all fields ``name`` (lower case), in their order."""
        return [value for field, value in self.fields if field == name]

    def __contains__(self, name: bytes) -> bool:
        """Return whether the field ``name`` (lower case) is present."""
        return name in self._by_name

    def is_repeated(self, name: bytes) -> bool:
        """Return whether the field ``name`` (lower case) is repeated."""
        return name in self._repeated


class RawRequest(msgspec.Struct, kw_only=True, eq=False):
    """One request as received. Its sender is not proven.

    Attributes:
        method: the HTTP method, upper case.
        url: the URL that the sender called, with the query, as far as it is known.
        path: the path as sent, with its percent-encoding.
        query: the query string as sent.
        headers: the header fields.
        body: the bytes of the body.
        signed: the signed content of the event in canonical form. Verifiers set it if the signature covers anything but
            the received body. It is None if the raw body is signed (with or without a timestamp, an id or a URL), and
            if the proof covers no event at all (tokens, HTTP Basic). Equal signed content gives equal bytes, whatever
            unsigned parts differ: other members and fields, their order, percent escapes, white space, the spelling of
            a name. It contains what distinguishes events. It does not contain what only distinguishes attempts, such as
            the time of sending or a nonce, unless the sender signs nothing else: then only that reveals a second use
            of a signature.
        signed_items: the same for each event of a batch, in the order of the batch, if each is signed by itself. If a
            batch is signed as a whole, the bytes of its items are canonical already.
        rewritten: the JSON of the body as senders write it before they sign it, by style; a cache.
        signed_at: the signed timestamp in Unix seconds, once it is verified; None if there is none.
    """

    body: bytes
    headers: Headers
    method: str = "POST"
    path: str = "/"
    query: bytes = b""
    url: str = ""
    signed: bytes | None = None
    rewritten: dict[str, bytes] | None = None
    signed_items: list[bytes] | None = None
    signed_at: float | None = None


class VerifiedRequest:
    """A request whose sender is proven.

    Attributes:
        headers: the header fields; the signature covers only those that the scheme names.
        query: the query string as sent.
        body: the verified bytes.
        secret_slot: the position, from 0, of the configured secret that matched.
        signed: the signed content, if that is not the received body (:attr:`RawRequest.signed`): anybody who has seen
            the request can send it with another body, or with the same body in another spelling.
        signed_items: the same for each event of a batch, if each is signed by itself.
        signed_at: the signed timestamp in Unix seconds; None if there is none.
    """

    __slots__ = ("body", "headers", "query", "secret_slot", "signed", "signed_at", "signed_items")

    def __init__(self, request: RawRequest, secret_slot: int, *, proof: object) -> None:
        if proof is not PROOF:
            raise TypeError("only an adapter's verify() makes a VerifiedRequest")
        self.headers = request.headers
        self.query = request.query
        self.body = request.body
        self.secret_slot = secret_slot
        self.signed = request.signed
        self.signed_items = request.signed_items
        self.signed_at = request.signed_at
