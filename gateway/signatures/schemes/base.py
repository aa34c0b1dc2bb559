"""What all signature schemes share: how they are described and bound to secrets, and strict reading of their fields.

A candidate signature is never decoded. Ours is encoded and compared in constant time, so that junk, other
alphabets, missing padding and non-canonical last characters fail without a rule for each of them.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict

from gateway.signatures.rejections import SignatureFault, SignatureRejected
from gateway.signatures.request import Headers, RawRequest

if TYPE_CHECKING:
    from gateway.signatures.schemes.key_cache import FetchedKeys
    from gateway.signatures.schemes.layout import Layout

MAX_CANDIDATES = 5
"""Signatures in one request that are looked at; a sender that rotates its secret sends two."""

MAX_ELEMENTS = 32
"""Elements of a list in one header field; senders have a moment and some signatures in it."""

LARGE = 256 * 1024
"""Bytes of a body from which on it is not copied to be digested, and digested while others are answered."""

WHOLE_BODY = "body:"
"""The place that is the body itself."""

_LONGEST_SECONDS = 12


class Signed(NamedTuple):
    """What a sender who knows the secret makes of a request.

    Attributes:
        headers: the header fields that it adds.
        body: the body, with the signature in it where the scheme puts it there.
        query: the query, likewise.
    """

    headers: dict[str, str]
    body: bytes
    query: bytes = b""


class SecretPair(NamedTuple):
    """A secret as its two sides have it; the same for both unless there is a private and a public key.

    Attributes:
        sender: what the sender signs with.
        receiver: what is configured here.
    """

    sender: str
    receiver: str


class KeyRequest(NamedTuple):
    """A public key that is to be fetched before a request can be verified. The scheme has pinned its host.

    Attributes:
        url: its address, https.
        key_id: which key it is, where the address does not say it.
        body: what is to be POSTed there; None for a GET.
        headers: header fields to be sent, such as the media type of the body.
        is_known: whether the key was good before, or its address is chosen by the adapter alone; those that
            strangers can make up must not use up what may be asked for these.
    """

    url: str
    key_id: str = ""
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_known: bool = False

    def __repr__(self) -> str:
        return f"KeyRequest({self.url!r}, {self.key_id!r})"  # the rest may be secret


class KeyNeeded(Exception):
    """A request cannot be judged before a key is known. It is no verdict, and nothing that a sender is told."""

    def __init__(self, request: KeyRequest) -> None:
        super().__init__(request.url)
        self.request = request


class Verifier(Protocol):
    """A scheme bound to its secrets.

    Attributes:
        fetched: its keys where they are fetched; None where they are configured.
    """

    fetched: FetchedKeys | None

    def verify(self, request: RawRequest, now: float) -> int:
        """The slot, from 0, of the secret that signed ``request``; ``now`` is in Unix seconds.

        Raises:
            SignatureRejected: none did, or not within the tolerance.
            KeyNeeded: a key has to be fetched first, and given to :meth:`learn`.
        """

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """Remember what a key request was answered with, at ``now`` in Unix seconds.

        Raises:
            ValueError: it is not the key that was asked for.
        """


class StaticVerifier:
    """The part of a verifier whose keys are all configured."""

    fetched: FetchedKeys | None = None

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`Verifier.learn`."""
        raise ValueError(f"no key was asked for, and none is taken from {request.url}")


class Scheme(Protocol):
    """How one family of senders signs."""

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = ...) -> Verifier:
        """A verifier for the given active secrets, and the parameters that the adapter declares.

        Raises:
            SecretFormatError: a secret is not in the format of the scheme.
        """

    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = ...
    ) -> Signed:
        """``request`` as a sender who knows ``secret`` sends it at ``now``, in Unix seconds."""


NO_PARAMETERS: Mapping[str, str] = {}


class SchemeSpec(BaseModel, ABC):
    """How a sender signs: what every family tells of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs_url(self) -> bool:
        """Whether the address that the sender called is signed."""
        return False

    @property
    def is_body_bound(self) -> bool:
        """Whether the body is signed; else a captured signature proves any body."""
        return True

    @property
    def signed_places(self) -> Sequence[str]:
        """The places in the body that are signed, :data:`WHOLE_BODY` for all of it."""
        return (WHOLE_BODY,) if self.is_body_bound else ()

    @property
    def is_body_partly_signed(self) -> bool:
        """Whether a body may hold data that nobody has signed beside data that is signed."""
        return bool(self.signed_places) and WHOLE_BODY not in self.signed_places

    @property
    def template(self) -> str:
        """What is signed, with fields in braces; a challenge of that form must not be signed for anybody."""
        return "{body}"

    @property
    def has_moment(self) -> bool:
        """Whether it is signed when the request was sent; else replays pass."""
        return False

    @property
    def moment_tolerance(self) -> float | None:
        """Seconds that the signed moment may be from our clock; None where nothing says so."""
        return getattr(self, "tolerance", None) or getattr(
            getattr(self, "timestamp", None), "tolerance", None
        )

    def with_tolerance(self, seconds: float) -> Self:
        """Return the same scheme with another :attr:`moment_tolerance`.

        Raises:
            ValueError: nothing of that kind is signed.
        """
        if self.moment_tolerance is None:
            raise ValueError("tolerance is for senders that sign when they send")
        if "tolerance" in type(self).model_fields:
            return self.model_copy(update={"tolerance": seconds})
        timestamp = getattr(self, "timestamp", None)
        return self.model_copy(update={"timestamp": timestamp.model_copy(update={"tolerance": seconds})})  # type: ignore[union-attr]

    @property
    def needs_secret(self) -> bool:
        """Whether nothing can be verified without a configured secret; else the keys are fetched."""
        return True

    @property
    def fetches_keys(self) -> bool:
        """Whether the sender's keys are fetched, unless they are configured."""
        return not self.needs_secret

    @property
    def needed_parameters(self) -> Sequence[str]:
        """The parameters without which nothing can be verified; the adapter has to declare them."""
        return ()

    def make_secret(self) -> SecretPair:
        """A new secret to try the scheme with; this one is text, hexadecimal and base64 at once."""
        secret = secrets.token_hex(32)
        return SecretPair(secret, secret)

    @abstractmethod
    def scheme_for(self, layout: Layout) -> Scheme:
        """The scheme, for bodies that are laid out as told."""

    def signs_headers(self, names: Sequence[bytes]) -> bool:
        """Whether the first of these fields (lower case) that is present is signed."""
        return not names

    @abstractmethod
    def describe(self) -> str:
        """How it signs, in a few words for people."""


def single(headers: Headers, name: bytes, missing: SignatureFault) -> bytes:
    """The value of a field that the verdict depends on.

    Raises:
        SignatureRejected: it is absent or empty (``missing``), or stands there twice.
    """
    if headers.is_repeated(name):
        raise SignatureRejected("signature_ambiguous")
    value = headers.get(name)
    if not value:
        raise SignatureRejected(missing)
    return value


def join_signed(parts: Sequence[bytes]) -> bytes:
    """Join what is signed in several parts, such that no two lists of parts give the same bytes."""
    return parts[0] if len(parts) == 1 else b"".join([b"%d:%b" % (len(part), part) for part in parts])


def split_elements(
    value: bytes, separator: bytes, fault: SignatureFault = "too_many_signatures"
) -> list[bytes]:
    """Split a list in a header field into its elements.

    Raises:
        SignatureRejected: there are more than :data:`MAX_ELEMENTS` (``fault``).
    """
    if value.count(separator) >= MAX_ELEMENTS:
        raise SignatureRejected(fault)
    return value.split(separator)


def longest_timestamp(units_per_second: int) -> int:
    """The number of digits that a moment has at most, in a unit."""
    return _LONGEST_SECONDS + len(str(units_per_second)) - 1


def read_timestamp(text: bytes, longest: int) -> int:
    """A signed timestamp: ASCII digits and nothing else.

    Raises:
        SignatureRejected: it is empty, or has signs, spaces, fractions, exponents, other digits, more than
            ``longest`` of them, or leading zeros, which could be the end of what is signed before it.
    """
    if not text:
        raise SignatureRejected("timestamp_missing")
    if len(text) > longest or not text.isdigit() or text.startswith(b"0"):
        raise SignatureRejected("timestamp_malformed")
    return int(text)


def check_tolerance(timestamp: float, now: float, tolerance: float) -> None:
    """Refuse a signature made more than ``tolerance`` seconds before or after ``now``.

    Raises:
        SignatureRejected: it is too old, or in the future.
    """
    age = int(now) - timestamp
    if age > tolerance:
        raise SignatureRejected("timestamp_too_old")
    if -age > tolerance:
        raise SignatureRejected("timestamp_in_future")
