"""Public keys on disk, so that a start needs no fetch: one file for each provider, shared by all processes.

Whoever can write these files decides which keys are believed. So they are 0600, in a folder that is 0700, and what
others can write is not read; what is read is checked again, as if it had just been fetched.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog

from gateway.signatures.schemes.fetched_keys import KeptKey
from gateway.signatures.schemes.key_cache import MAX_KEYS, REFRESH_DELAY

FOLDER = "keys"
"""The folder in ``data_dir``."""

_MAX_FILE = 4 * 1024 * 1024
"""Bytes of a file; sixteen answers of 64 KiB, each escaped, are less."""

_LOCK = ".lock"

log = structlog.get_logger()


class KeyFile:
    """The keys of one provider on disk.

    Args:
        data_dir: the folder of the gateway's data.
        provider: the provider's name.
        scope: what they are keys of; those of another scope are not read, and are replaced.
    """

    def __init__(self, data_dir: Path, provider: str, scope: str) -> None:
        self._path = data_dir / FOLDER / f"{provider}.json"
        self._scope = scope
        self._seen: tuple[int, int, int] | None = None
        self._trouble = ""

    def read_new(self, now: float) -> list[KeptKey]:
        """Return what stands there, unless it is what was returned before; nothing where it cannot be used."""
        try:
            found = self._path.stat()
            version = found.st_ino, found.st_mtime_ns, found.st_size
            if version == self._seen:
                return []
            self._seen = version
            return self._read(now)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            self._warn(str(error))
            return []

    def write(self, keys: list[KeptKey], now: float) -> None:
        """Write ``keys`` down beside those that other processes have written; of one name the newer counts.

        What cannot be written is logged, and is no reason for anything else to fail.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self._path.parent / _LOCK):
                self._replace(self._merge(keys, now))
        except OSError as error:
            self._warn(str(error))
        else:
            self._trouble = ""

    def _merge(self, keys: list[KeptKey], now: float) -> list[KeptKey]:
        try:
            theirs = self._read(now)
        except (OSError, ValueError):  # there is no file, or none that is worth keeping
            theirs = []
        newest = {key.name: key for key in sorted([*theirs, *keys], key=lambda key: key.fetched_at)}
        return sorted(newest.values(), key=lambda key: key.fetched_at)[-MAX_KEYS:]

    def _read(self, now: float) -> list[KeptKey]:
        file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as source:  # noqa: PTH123 -- of a descriptor
            found = os.fstat(file)
            is_ours = found.st_uid in {0, os.geteuid()} and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not stat.S_ISREG(found.st_mode) or not is_ours:
                raise ValueError(f"{self._path} could have been written by somebody else")
            if found.st_size > _MAX_FILE:
                raise ValueError(f"{self._path} is larger than any that was written here")
            return self._parse(orjson.loads(source.read(_MAX_FILE)), now)

    def _parse(self, document: Any, now: float) -> list[KeptKey]:
        if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
            raise ValueError(f"{self._path} is no file of keys")  # noqa: TRY004 -- of a file, not of a caller
        if document.get("scope") != self._scope:
            return []
        keys = [_parse_key(entry, now) for entry in document["keys"][:MAX_KEYS]]
        if None in keys:
            raise ValueError(f"{self._path} is no file of keys")
        return [key for key in keys if key]

    def _replace(self, keys: list[KeptKey]) -> None:
        document = {
            "scope": self._scope,
            "keys": [
                {"name": key.name, "fetched_at": key.fetched_at, "content": key.content.decode("latin-1")}
                for key in keys
            ],
        }
        new = self._path.with_name(f".{self._path.name}.new")  # one at a time, by the lock
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(file, "wb") as output:  # noqa: PTH123 -- of a descriptor
            output.write(orjson.dumps(document))
            output.flush()
            os.fsync(output.fileno())
        new.replace(self._path)

    def _warn(self, problem: str) -> None:
        if problem != self._trouble:
            self._trouble = problem
            log.warning("keys on disk", problem=problem)


def _parse_key(entry: Any, now: float) -> KeptKey | None:
    """The key in an entry, None where there is none; one from the future was fetched at a time that nobody knows."""
    if not isinstance(entry, dict):
        return None
    name, content, fetched_at = entry.get("name"), entry.get("content"), entry.get("fetched_at")
    if type(name) is not str or type(content) is not str or not isinstance(fetched_at, int | float):
        return None
    try:
        answer = content.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return KeptKey(name, answer, float(fetched_at) if fetched_at <= now else now - REFRESH_DELAY)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Within the block no other process writes."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
