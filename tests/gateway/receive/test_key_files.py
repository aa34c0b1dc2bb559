"""Keys on disk: who can read and write them, what is believed of them, and how processes share them."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.receive.key_files import FOLDER, KeyFile
from gateway.signatures.schemes.fetched_keys import KeptKey
from gateway.signatures.schemes.key_cache import FRESHNESS, MAX_KEYS

NOW = 1_736_942_400.0
SCOPE = "plaid https://production.plaid.com"
KEY = KeptKey("key-1", b'{"key": "\xe9\x00"}', NOW - 60)


def file_in(folder: Path, provider: str = "bank", scope: str = SCOPE) -> KeyFile:
    """The file of a provider as a process that has just started has it."""
    return KeyFile(folder, provider, scope)


def path_in(folder: Path, provider: str = "bank") -> Path:
    """Where it is."""
    return folder / FOLDER / f"{provider}.json"


def document(**changes: Any) -> dict[str, Any]:
    """What stands in it, changed."""
    key = {"name": "key-1", "fetched_at": NOW - 60, "content": "x"}
    return {"scope": SCOPE, "keys": [key | changes]}


def put(folder: Path, content: bytes | dict[str, Any]) -> Path:
    """Write a file as nobody but the gateway should."""
    path = path_in(folder)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(0o600)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Byte for byte, once for each reader until it changes, and of the same scope and provider alone."""
    reader = file_in(tmp_path)
    assert reader.read_new(NOW) == []
    file_in(tmp_path).write([KEY], NOW)
    assert reader.read_new(NOW) == [KEY]
    assert reader.read_new(NOW) == []
    file_in(tmp_path).write([KEY._replace(fetched_at=NOW)], NOW)
    assert reader.read_new(NOW) == [KEY._replace(fetched_at=NOW)]
    assert file_in(tmp_path, "other").read_new(NOW) == []
    assert file_in(tmp_path, scope="plaid https://sandbox.plaid.com").read_new(NOW) == []


def test_nobody_else_can_read_or_write_them(tmp_path: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        file_in(tmp_path).write([KEY], NOW)
    finally:
        os.umask(before)
    folder = tmp_path / FOLDER
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"bank.json": 0o600, ".lock": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_can_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    """And is replaced when there is something to be kept."""
    put(tmp_path, document()).chmod(mode)
    file = file_in(tmp_path)
    with capture_logs() as logs:
        assert file.read_new(NOW) == []
    assert [line["event"] for line in logs] == ["keys on disk"]
    file.write([KEY], NOW)
    assert file_in(tmp_path).read_new(NOW) == [KEY]


def test_a_link_or_something_else_is_not_followed(tmp_path: Path) -> None:
    """Nor waited for."""
    target = put(tmp_path, document()).rename(tmp_path / "elsewhere")
    path_in(tmp_path).symlink_to(target)
    assert file_in(tmp_path).read_new(NOW) == []
    path_in(tmp_path).unlink()
    os.mkfifo(path_in(tmp_path))
    assert file_in(tmp_path).read_new(NOW) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 10_000,
        {"scope": SCOPE},
        {"scope": SCOPE, "keys": {}},
        {"scope": SCOPE, "keys": ["x"]},
        document(name=7),
        document(content=None),
        document(content="\u0100"),
        document(fetched_at="1"),
        b'{"scope": "%b", "keys": []}' % SCOPE.encode() + b" " * 5_000_000,
    ],
)
def test_what_is_no_file_of_keys_is_no_trouble(tmp_path: Path, content: Any) -> None:
    """It is said once, and written anew."""
    put(tmp_path, content)
    file = file_in(tmp_path)
    with capture_logs() as logs:
        assert file.read_new(NOW) == []
        assert file.read_new(NOW) == []
    assert [line["event"] for line in logs] == ["keys on disk"]
    file.write([KEY], NOW)
    assert file.read_new(NOW) == [KEY]


def test_a_key_from_the_future_is_of_an_age_that_nobody_knows(tmp_path: Path) -> None:
    """The clock was wrong when it was fetched: it is renewed at once, and gives way to one that is."""
    file_in(tmp_path).write([KEY._replace(fetched_at=NOW + 10**6)], NOW + 10**6)
    (key,) = file_in(tmp_path).read_new(NOW)
    assert key.fetched_at == NOW - FRESHNESS
    file_in(tmp_path).write([KEY._replace(fetched_at=NOW)], NOW)
    assert file_in(tmp_path).read_new(NOW) == [KEY._replace(fetched_at=NOW)]


def test_processes_do_not_take_each_others_keys_away(tmp_path: Path) -> None:
    """Many at a time; the newest stay when there are too many."""

    def write(number: int) -> None:
        file_in(tmp_path).write([KeptKey(f"key-{number}", b"x", NOW + number)], NOW + 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(MAX_KEYS)))
    names = {key.name for key in file_in(tmp_path).read_new(NOW + 100)}
    assert names == {f"key-{number}" for number in range(MAX_KEYS)}

    write(MAX_KEYS)
    names = {key.name for key in file_in(tmp_path).read_new(NOW + 100)}
    assert names == {f"key-{number}" for number in range(1, MAX_KEYS + 1)}


def test_a_process_that_died_while_it_wrote_leaves_what_was_there(tmp_path: Path) -> None:
    """And is in nobody's way."""
    file_in(tmp_path).write([KEY], NOW)
    (tmp_path / FOLDER / ".bank.json.new").write_bytes(b"half of")
    assert file_in(tmp_path).read_new(NOW) == [KEY]
    file_in(tmp_path).write([KEY._replace(fetched_at=NOW)], NOW)
    assert file_in(tmp_path).read_new(NOW) == [KEY._replace(fetched_at=NOW)]


def test_what_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    """Once for each trouble."""
    (tmp_path / "file").write_bytes(b"")
    file = file_in(tmp_path / "file")
    with capture_logs() as logs:
        file.write([KEY], NOW)
        file.write([KEY], NOW)
    assert [line["event"] for line in logs] == ["keys on disk"]
