"""What `gateway listen` remembers between two runs: where it was, and the secrets that the application verifies with."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from gateway.adapters import registry
from gateway.errors import OperatorError
from gateway.outbound.secrets import make_secret
from gateway.transport.private_files import make_private_folder, private_opener

STANDARD = "Standard Webhooks"
"""The name of the secret for Standard Webhooks, beside those of adapters."""


class SecretPairs(msgspec.Struct):
    """A secret as its two sides hold it.

    Attributes:
        sender: What requests are signed with.
        receiver: What the application verifies with.
    """

    sender: str
    receiver: str


class Remembered(msgspec.Struct):
    """What is in the file.

    Attributes:
        cursor: Where to go on; empty for a new beginning.
        secrets: The secrets by adapter.
    """

    cursor: str = ""
    secrets: dict[str, SecretPairs] = {}


class Memory:
    """The file.

    Args:
        folder: Its folder, which only its owner may read.
        name: What tells this listener from others: the gateway, and the address that it sends to.

    Raises:
        OperatorError: It cannot be read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"listen-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
        try:
            self.content = msgspec.json.decode(self.path.read_bytes(), type=Remembered)
        except FileNotFoundError:
            self.content = Remembered()
        except (OSError, msgspec.MsgspecError) as error:
            raise OperatorError(f"{self.path} cannot be read: {error}; delete it to begin anew") from error

    def secret_for(self, adapter: str) -> SecretPairs:
        """Return the secret that an adapter's requests are signed with, made at its first use."""
        if adapter not in self.content.secrets:
            if adapter in set(registry.names()) - {registry.GENERIC}:
                made = registry.load(adapter).spec.signature.make_secret()
                pair = SecretPairs(made.sender, made.receiver)
            else:
                text = make_secret() if adapter == STANDARD else os.urandom(32).hex()
                pair = SecretPairs(text, text)
            self.content.secrets[adapter] = pair
            self.save()
        return self.content.secrets[adapter]

    def move_to(self, cursor: str) -> None:
        """Remember where to go on."""
        if cursor != self.content.cursor:
            self.content.cursor = cursor
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            OperatorError: It cannot be written.
        """
        try:
            make_private_folder(self.path.parent)
            draft = self.path.with_suffix(".new")
            with open(draft, "wb", opener=private_opener) as file:
                file.write(msgspec.json.encode(self.content))
            draft.replace(self.path)
        except OSError as error:
            raise OperatorError(f"{self.path} cannot be written: {error}") from error


def state_folder() -> Path:
    """Return the folder for a listener that has no data directory of a gateway."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "webhook-gateway"
