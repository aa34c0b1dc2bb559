"""What is remembered of secrets for longer than the journal keeps entries: when each was first and last seen.

The names are fingerprints. A command or page that shows the evidence writes the file, at most once a minute for each change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.transport.private_files import private_opener

FILE_NAME = "secrets.json"

MAX_SECRETS = 5000
"""Secrets that are remembered. Beyond that those configured first are forgotten."""

_RESOLUTION = 60.0
"""Seconds that a last match has to be newer for the file to be written again."""


class Seen(msgspec.Struct, array_like=True, frozen=True):
    """When a secret was seen.

    Attributes:
        first: When it was first found in the configuration, in Unix seconds.
        last_match: When a request last matched it; None if none did.
    """

    first: float
    last_match: float | None = None


class SecretHistory:
    """The history in the folder of the journal. A folder that does not exist, or may not be written, has none.

    Args:
        folder: The folder of the journal.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def note(self, matches: Mapping[str, float | None], now: float) -> dict[str, Seen]:
        """Remember secrets, and return what is known of them.

        Args:
            matches: The last match of each secret that is configured, by `<provider>/<fingerprint>`.
            now: The time, in Unix seconds.
        """
        known = self._read()
        found: dict[str, Seen] = {}
        is_changed = False
        for name, last_match in matches.items():
            before = known.get(name)
            newer = _later(before.last_match if before else None, last_match)
            found[name] = Seen(before.first if before else now, newer)
            is_changed |= before is None or (newer or 0.0) >= (before.last_match or 0.0) + _RESOLUTION
        if is_changed:
            self._write(known | found)
        return found

    def _read(self) -> dict[str, Seen]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Seen])
        except (OSError, msgspec.MsgspecError):
            return {}

    def _write(self, known: dict[str, Seen]) -> None:
        kept = dict(sorted(known.items(), key=lambda each: each[1].first)[-MAX_SECRETS:])
        draft = self._path.with_name(f"{FILE_NAME}.{os.getpid()}")
        with suppress(OSError):  # without the file, the journal knows as much as it keeps
            with open(draft, "wb", opener=private_opener) as file:
                file.write(msgspec.json.encode(kept))
            draft.replace(self._path)


def _later(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
