"""What is kept encrypted, and its keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.errors import OperatorError
from gateway.outbound.sealing import FILE_NAME, Sealer, keys_in

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


@pytest.mark.parametrize("value", [b"", b"whsec_secret", bytes(range(256)) * 20])
def test_what_is_sealed_opens(value: bytes) -> None:
    """Each time it looks different, and nothing of it can be read."""
    sealer = Sealer([OLD])
    sealed = [sealer.seal(value, "ep_1", "sec_1") for _ in range(2)]

    assert [sealer.open(each, "ep_1", "sec_1") for each in sealed] == [value, value]
    assert sealed[0] != sealed[1]
    assert not value or value not in sealed[0]


def test_what_is_sealed_opens_for_its_owner_alone() -> None:
    """Rows that somebody exchanges or changes are noticed."""
    sealer = Sealer([OLD])
    sealed = sealer.seal(b"secret", "ep_1", "sec_1")
    changed = [
        sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :] for place in range(len(sealed))
    ]

    for owner, name in (("ep_2", "sec_1"), ("ep_1", "sec_2"), ("ep_1\nsec_1", "")):
        with pytest.raises(OperatorError, match="cannot be decrypted"):
            sealer.open(sealed, owner, name)
    for each in (*changed, b"", sealed[:10], sealed[:-1]):
        with pytest.raises(OperatorError, match="ep_1: sec_1"):
            sealer.open(each, "ep_1", "sec_1")


def test_keys_are_exchanged() -> None:
    """The newest seals, the others open as long as they are there."""
    old = Sealer([OLD]).seal(b"secret", "ep_1", "sec_1")
    both = Sealer([NEW, OLD])
    new = both.seal(both.open(old, "ep_1", "sec_1"), "ep_1", "sec_1")

    assert (both.is_newest(old), both.is_newest(new)) == (False, True)
    assert Sealer([NEW]).open(new, "ep_1", "sec_1") == b"secret"
    with pytest.raises(OperatorError, match=r"add the former key to outbound\.keys"):
        Sealer([NEW]).open(old, "ep_1", "sec_1")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]])
def test_keys_need_their_size(keys: list[bytes]) -> None:
    """No key is made longer or shorter in silence."""
    with pytest.raises(OperatorError, match="32 bytes"):
        Sealer(keys)


def test_a_data_directory_has_a_key_of_its_own(tmp_path: Path) -> None:
    """It is made once, and nobody else can read it."""
    folder = tmp_path / "data"
    keys = keys_in(folder)

    assert keys == keys_in(folder)
    assert [len(key) for key in keys] == [32]
    assert keys != keys_in(tmp_path / "other")
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_a_file_of_keys_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the line, and without what stands there."""
    keys_in(tmp_path)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write("cGFzc3dvcmQ=\n")

    with pytest.raises(OperatorError, match=f"{FILE_NAME}:2: this is no key") as raised:
        keys_in(tmp_path)

    assert "cGFz" not in str(raised.value)
    assert "\n" not in str(raised.value)
