"""Fetched public keys: the port between the schemes, which name an address, and the gateway, which fetches it.

A scheme pins the host of every address that it names. Only the answer of that address enters the cache, never
anything from a request.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class KeyRequest(NamedTuple):
    """A request for a public key that is needed to verify a webhook. The scheme has pinned its host.

    Attributes:
        url: the address, https.
        key_id: the name of the key, if the address does not contain it.
        body: the body to POST; None for a GET.
        headers: header fields to send, such as the media type of the body.
        is_known: whether the key was good before, or only the adapter chose its address. Keys that anybody can make
            up must not use up the rate limit of these.
    """

    url: str
    key_id: str = ""
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_known: bool = False

    def __repr__(self) -> str:
        return f"KeyRequest({self.url!r}, {self.key_id!r})"  # the body and the headers may hold credentials


class KeyNeeded(Exception):
    """Raised when a request cannot be judged before a key is fetched. It is no verdict, and no sender sees it."""

    def __init__(self, request: KeyRequest) -> None:
        super().__init__(request.url)
        self.request = request


class KeptKey(NamedTuple):
    """A key in the form that survives a restart. It is parsed and checked again before it is used.

    Attributes:
        name: the name by which requests refer to it.
        content: the answer of its address.
        fetched_at: the time of that answer, in Unix seconds.
    """

    name: str
    content: bytes
    fetched_at: float


class FetchedKeys(Protocol):
    """The fetched keys of one sender.

    Attributes:
        scope: what the keys belong to, such as an address; keys of another scope are never restored.
        version: a number that grows whenever :meth:`kept` changes.
    """

    scope: str
    version: int

    def request(self, name: str, now: float) -> KeyRequest:
        """Return the next request on the way to the key ``name``.

        Raises:
            SignatureRejected: No key of this sender has such a name.
        """

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """Store the answer to a request, received at ``now`` in Unix seconds.

        Raises:
            ValueError: The answer is not the key that was requested.
        """

    def due(self, now: float) -> list[str]:
        """List the keys to fetch again now, so that no request ever waits for them."""

    def kept(self) -> list[KeptKey]:
        """List the keys that should survive a restart."""

    def restore(self, key: KeptKey, now: float) -> None:
        """Load a kept key, unless a newer one is present.

        Raises:
            ValueError: It is not, or no longer, a key of this sender.
        """
