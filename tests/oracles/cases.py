"""What some libraries need that an adapter's sample and a made-up secret do not give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.schemes.scheme import SecretPair


@dataclass(frozen=True)
class Material:
    """What an adapter's libraries are asked with.

    Attributes:
        sample: the event, where it is not the adapter's own choice.
        secrets: the sender's and the receiver's, where a made-up one does not do.
        url: where the request goes.
        parameters: what both are told besides.
        prefix: what the library has before the secret that we do not.
    """

    sample: str | None = None
    secrets: SecretPair | None = None
    url: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    def theirs(self, pair: SecretPair) -> str:
        """The secret as the library has it."""
        return self.prefix + pair.receiver


MATERIAL: dict[str, Material] = {}
