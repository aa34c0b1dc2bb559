"""The outcome of signing: what a sender adds to a request."""

from __future__ import annotations

from typing import NamedTuple


class Signed(NamedTuple):
    """A request as its sender signs it.

    Attributes:
        headers: the header fields that the sender adds.
        body: the body, including the signature if the scheme puts it there.
        query: the query string, including the signature if the scheme puts it there.
    """

    headers: dict[str, str]
    body: bytes
    query: bytes = b""
