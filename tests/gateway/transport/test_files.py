"""Reading files of a bounded size."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.transport.files import FileTooLarge, read_file


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    """The limit is inclusive."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    assert read_file(path, 3) == b"abc"


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    """One byte more is too much, and the error reads like those of the operating system."""
    path = tmp_path / "file"
    path.write_bytes(b"abcd")

    with pytest.raises(FileTooLarge, match="File too large") as caught:
        read_file(path, 3)
    assert caught.value.strerror == "File too large"


def test_a_device_without_end_is_refused() -> None:
    """It is read no further than the limit."""
    with pytest.raises(FileTooLarge):
        read_file(Path("/dev/zero"), 1024)


def test_an_unreadable_file_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    """Callers report its text."""
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "missing", 3)
