"""Public keys on disk, so that a start needs no fetch: one file for each provider, shared by all processes.

These files decide which keys are trusted. So they are 0600 in a folder that is 0700, and a file that another user
can write is not read. What is read is checked as if it had just been fetched.
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
from gateway.signatures.schemes.key_cache import FRESHNESS, MAX_KEYS

FOLDER = "keys"
"""The folder below ``data_dir``."""

_MAX_FILE = 4 * 1024 * 1024
"""Bytes of a file. Sixteen responses of 64 KiB, escaped, are less."""

_LOCK = ".lock"

log = structlog.get_logger()


class KeyFile:
    """The keys of one provider on disk.

    Args:
        data_dir: the folder of the gateway's data.
        provider: the provider's name.
        scope: what the keys belong to; keys of another scope are ignored, and replaced.
    """

    def __init__(self, data_dir: Path, provider: str, scope: str) -> None:
        self._path = data_dir / FOLDER / f"{provider}.json"
        self._scope = scope
        self._seen: tuple[int, int, int] | None = None
        self._problem = ""

    def read_new(self, now: float) -> list[KeptKey]:
        """Return the keys in the file; none if it has not changed since the last call, or cannot be used."""
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
        """Merge ``keys`` into what other processes have written; of two with one name the newer one stays.

        A failure to write is logged and not raised: it must not fail anything else.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self._path.parent / _LOCK):
                self._replace(self._merge(keys, now))
        except OSError as error:
            self._warn(str(error))
        else:
            self._problem = ""

    def _merge(self, keys: list[KeptKey], now: float) -> list[KeptKey]:
        try:
            theirs = self._read(now)
        except (OSError, ValueError):  # no file, or none worth keeping
            theirs = []
        newest = {key.name: key for key in sorted([*theirs, *keys], key=lambda key: key.fetched_at)}
        return sorted(newest.values(), key=lambda key: key.fetched_at)[-MAX_KEYS:]

    def _read(self, now: float) -> list[KeptKey]:
        file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as source:  # noqa: PTH123 -- of a descriptor
            found = os.fstat(file)
            is_ours = found.st_uid in {0, os.geteuid()} and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not stat.S_ISREG(found.st_mode) or not is_ours:
                raise ValueError(f"{self._path} could have been written by another user")
            if found.st_size > _MAX_FILE:
                raise ValueError(f"{self._path} is larger than any the gateway writes")
            return self._parse(orjson.loads(source.read(_MAX_FILE)), now)

    def _parse(self, document: Any, now: float) -> list[KeptKey]:
        if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
            raise ValueError(f"{self._path} is not a file of keys")  # noqa: TRY004 -- of a file, not of a caller
        if document.get("scope") != self._scope:
            return []
        keys = [_parse_key(entry, now) for entry in document["keys"][:MAX_KEYS]]
        if None in keys:
            raise ValueError(f"{self._path} is not a file of keys")
        return [key for key in keys if key]

    def _replace(self, keys: list[KeptKey]) -> None:
        document = {
            "scope": self._scope,
            "keys": [
                {"name": key.name, "fetched_at": key.fetched_at, "content": key.content.decode("latin-1")}
                for key in keys
            ],
        }
        new = self._path.with_name(
            f".{self._path.name}.new"
        )  # only one exists at a time, because of the lock
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(file, "wb") as output:  # noqa: PTH123 -- of a descriptor
            output.write(orjson.dumps(document))
            output.flush()
            os.fsync(output.fileno())
        new.replace(self._path)

    def _warn(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("keys on disk", problem=problem)


def _parse_key(entry: Any, now: float) -> KeptKey | None:
    """Return the key in an entry, or None. A fetch in the future happened at an unknown time, so it counts as stale."""
    if not isinstance(entry, dict):
        return None
    name, content, fetched_at = entry.get("name"), entry.get("content"), entry.get("fetched_at")
    if type(name) is not str or type(content) is not str or not isinstance(fetched_at, int | float):
        return None
    try:
        answer = content.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return KeptKey(name, answer, float(fetched_at) if fetched_at <= now else now - FRESHNESS)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock that every process takes to write."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
