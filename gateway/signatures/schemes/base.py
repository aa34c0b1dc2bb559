"""What all signature schemes share: how they are described and bound to secrets, and strict reading of their fields.

A candidate signature is never decoded. Ours is encoded and compared in constant time, so that junk, other
alphabets, missing padding and non-canonical last characters fail without a rule for each of them.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeyRequest
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.secrets import SecretPair

LARGE = 256 * 1024
"""Bytes of a body from which on it is not copied to be digested, and digested while others are answered."""

WHOLE_BODY = "body:"
"""The place that is the body itself."""


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


class StaticVerifier(Verifier):
    """The part of a verifier whose keys are all configured."""

    fetched: FetchedKeys | None = None

    @override
    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        raise ValueError(f"no key was requested, and none is accepted from {request.url}")


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
"""The parameters of an adapter that declares none."""


def is_sandbox(parameters: Mapping[str, str]) -> bool:
    """Return whether the parameters select the sender's sandbox instead of its production system."""
    return parameters.get("environment") == "sandbox"


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
