"""Fingerprints tell secrets apart, are the same in all processes, and reveal nothing."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.journal.fingerprints import KEY_FILE, Fingerprints

SECRET = "whsec_0123456789abcdef"


def test_a_secret_keeps_its_fingerprint(tmp_path: Path) -> None:
    """After a restart, and for each process."""
    first = Fingerprints(tmp_path)

    assert first.of(SECRET) == Fingerprints(tmp_path).of(SECRET)
    assert first.of(SECRET) != first.of(SECRET + "x")
    assert len(first.of(SECRET)) == 8
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_fingerprint_needs_the_key(tmp_path: Path) -> None:
    """Nobody finds a secret in a list of likely ones without it."""
    found = {Fingerprints(tmp_path / str(number)).of("password") for number in range(20)}

    assert len(found) == 20
    assert hashlib.sha256(b"password").hexdigest()[:8] not in found


def test_processes_that_start_together_make_one_key(tmp_path: Path) -> None:
    """And leave nothing else behind."""
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: Fingerprints(tmp_path).of(SECRET), range(50)))

    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_damaged_key_is_an_error(tmp_path: Path) -> None:
    """It is not replaced silently: all fingerprints would change."""
    (tmp_path / KEY_FILE).write_bytes(b"short")

    with pytest.raises(OSError, match="delete it"):
        Fingerprints(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == b"short"


def test_a_secret_that_is_no_text_has_one(tmp_path: Path) -> None:
    """A half surrogate pair raises nothing."""
    assert len(Fingerprints(tmp_path).of("\ud800")) == 8
