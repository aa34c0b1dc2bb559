"""The spool on a disk that is full: it takes no more, and can still be drained."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.publishers import PublishUnavailable
from gateway.publishers.spool.disk_reserve import DiskReserve
from support.spooling import Broker, make_message, spooling
from support.waiting import wait_until_async


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six mebibytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def take_the_rest(folder: Path) -> Path:
    """Another program fills the disk."""
    path = folder / "other"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
    return path


async def test_a_full_disk_refuses_and_is_drained_with_the_room_that_was_kept(small_disk: Path) -> None:
    """Every event that was accepted is published once, and with room again others are accepted."""
    broker = Broker("away")
    async with spooling(small_disk, broker) as publisher:
        accepted = 0
        with suppress(PublishUnavailable):
            for number in range(10_000):
                await publisher.publish(make_message(number, 2000))
                accepted += 1
        assert 0 < accepted < 10_000
        assert not publisher.is_accepting
        assert "full" in publisher.unavailable_reason
        other = take_the_rest(small_disk)
        broker.unavailable_reason = ""

        await wait_until_async(lambda: publisher.spooled == 0, message="the spool is drained")
        assert [message.message_id for message in broker.messages] == [f"evt_{n}" for n in range(accepted)]
        other.unlink()
        broker.unavailable_reason = "away"
        await wait_until_async(lambda: publisher.is_accepting, message="events are accepted again")
        await publisher.publish(make_message(1))


@pytest.mark.parametrize("size", [0, 1, 3 * 1024**2 + 1])
def test_a_reserve_takes_its_room_once_until_it_is_given_up(tmp_path: Path, size: int) -> None:
    """One of no size takes none, and lets go what another had taken."""
    path = tmp_path / "spool.reserve"
    path.write_bytes(b"of another size")
    reserve = DiskReserve(path, size)
    assert reserve.acquire()
    assert (path.stat().st_size if path.exists() else 0) == size
    assert reserve.release() is (size > 0)
    assert not reserve.release()


def test_a_reserve_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    """It is made another time."""
    reserve = DiskReserve(tmp_path / "no such folder" / "spool.reserve", 10)
    assert not reserve.acquire()
