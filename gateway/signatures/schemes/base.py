"""The contracts of all signature schemes: description, scheme and verifier.

A description (:class:`SchemeSpec`, from YAML) makes a :class:`Scheme`. The scheme signs, and bound to secrets it makes a
:class:`Verifier`.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeyRequest
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.secrets import SecretPair

LARGE = 256 * 1024
"""Bytes from which on a body is digested without a copy, and in another thread than the event loop's."""

WHOLE_BODY = "body:"
"""The place that means the whole body."""


class Verifier(Protocol):
    """A scheme bound to its secrets.

    Attributes:
        fetched: the cache of fetched keys; None if the keys are configured.
    """

    fetched: FetchedKeys | None

    def verify(self, request: RawRequest, now: float) -> int:
        """Return the slot, from 0, of the secret that signed ``request``. ``now`` is in Unix seconds.

        Raises:
            SignatureRejected: No secret signed the request, or its timestamp is outside the tolerance.
            KeyNeeded: A key has to be fetched first and passed to :meth:`learn`.
        """

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """Store the answer to a key request, received at ``now`` in Unix seconds.

        Raises:
            ValueError: The answer is not the key that was requested.
        """


class StaticVerifier(Verifier):
    """A verifier whose keys are all configured. It keeps no state, so that any thread may call it."""

    fetched: FetchedKeys | None = None

    @override
    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        raise ValueError(f"no key was requested, and none is accepted from {request.url}")


class Scheme(Protocol):
    """The way in which one family of senders signs."""

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = ...) -> Verifier:
        """Return a verifier for the active secrets and the parameters that the adapter declares.

        Raises:
            SecretFormatError: A secret is not in the format of the scheme.
        """

    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = ...
    ) -> Signed:
        """Sign ``request`` as a sender who knows ``secret`` does at ``now``, in Unix seconds.

        For public keys ``secret`` is the private key in PEM.

        Raises:
            SecretFormatError: The secret is not in the format of the scheme.
            ValueError: The body has no room for a signature that belongs into it.
        """


NO_PARAMETERS: Mapping[str, str] = {}
"""The parameters of an adapter that declares none."""


def is_sandbox(parameters: Mapping[str, str]) -> bool:
    """Return whether the parameters select the sender's sandbox instead of its production system."""
    return parameters.get("environment") == "sandbox"


class SchemeSpec(BaseModel, ABC):
    """The description of a way of signing, and the properties that all families have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs_url(self) -> bool:
        """Whether the signature covers the URL that the sender called."""
        return False

    @property
    def is_body_bound(self) -> bool:
        """Whether the signature covers the body. If not, a captured signature proves any body."""
        return True

    @property
    def signed_places(self) -> Sequence[str]:
        """The places in the body that the signature covers; :data:`WHOLE_BODY` for all of it."""
        return (WHOLE_BODY,) if self.is_body_bound else ()

    @property
    def is_body_partly_signed(self) -> bool:
        """Whether a body may contain unsigned data beside the signed data."""
        return bool(self.signed_places) and WHOLE_BODY not in self.signed_places

    @property
    def template(self) -> str:
        """The template of the signed bytes. A challenge of that form must never be signed for an unauthenticated client."""
        return "{body}"

    @property
    def has_timestamp(self) -> bool:
        """Whether the signature covers a timestamp. If not, replays pass."""
        return False

    @property
    def timestamp_tolerance(self) -> float | None:
        """The maximum seconds between the signed timestamp and the clock; None if that is not configurable."""
        return None

    def with_tolerance(self, seconds: float) -> Self:
        """Return a copy with another :attr:`timestamp_tolerance`.

        Raises:
            ValueError: The scheme has no configurable tolerance.
        """
        raise ValueError("tolerance is for senders that sign when they send")

    @property
    def needs_secret(self) -> bool:
        """Whether verifying needs a configured secret. If not, the keys are fetched."""
        return True

    @property
    def fetches_keys(self) -> bool:
        """Whether the keys of the sender are fetched unless they are pinned."""
        return not self.needs_secret

    @property
    def needed_parameters(self) -> Sequence[str]:
        """The parameters that verifying needs. The adapter has to declare them as required."""
        return ()

    def make_secret(self) -> SecretPair:
        """Make a secret to try the scheme with. The default is valid as text, hexadecimal and base64."""
        secret = secrets.token_hex(32)
        return SecretPair(secret, secret)

    @abstractmethod
    def scheme_for(self, layout: Layout) -> Scheme:
        """Return the scheme for bodies with the given layout."""

    def signs_headers(self, names: Sequence[bytes]) -> bool:
        """Return whether the signature covers the first of these header fields (lower case) that is present."""
        return not names

    @abstractmethod
    def describe(self) -> str:
        """Describe in a few words how the sender signs."""


class TimedSchemeSpec(SchemeSpec):
    """The description of a signature that covers a timestamp, with a ``tolerance`` of its own.

    Subclasses declare the field, so that each has it in its own place in the reference.
    """

    if TYPE_CHECKING:
        tolerance: float

    @property
    @override
    def has_timestamp(self) -> bool:
        return True

    @property
    @override
    def timestamp_tolerance(self) -> float:
        return self.tolerance

    @override
    def with_tolerance(self, seconds: float) -> Self:
        return self.model_copy(update={"tolerance": seconds})
