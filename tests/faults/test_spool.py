"""The disk under the spool fails: what was accepted is published in the end, and what cannot be kept is refused."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from support.fault_proxy import Direction
from support.gateway_process import GatewayProcess, Section
from support.ports import free_ports
from support.rig import LENIENT, Rig
from support.waiting import wait_until

NewRig = Callable[[Mapping[str, Section]], AbstractContextManager[Rig]]


@pytest.fixture(scope="module")
def spooling_rig(new_rig: NewRig) -> Iterator[Rig]:
    """A gateway with a small spool."""
    with new_rig(LENIENT | {"spool": {"max_size": "200KiB"}}) as rig:
        yield rig


@pytest.fixture
def rig(spooling_rig: Rig) -> Rig:
    """The gateway of the module, in good order, and without its broker."""
    spooling_rig.renew()
    spooling_rig.broker.refuse()
    return spooling_rig


@pytest.fixture
def fragile_rig(rig: Rig) -> Iterator[Rig]:
    """The same, with a new disk for those who come after."""
    yield rig
    rig.broker.heal()
    rig.gateway.kill()
    shutil.rmtree(rig.gateway.directory / "var")
    rig.gateway.start()


def spool_of(rig: Rig) -> Path:
    """The file that the spool is in."""
    (path,) = (rig.gateway.directory / "var").glob("spool*.db")
    return path


def is_ready(rig: Rig) -> bool:
    """Whether it says that it can accept events."""
    return rig.gateway.get("/readyz").status_code == 200


@contextmanager
def no_file_grows(rig: Rig, size: int) -> Iterator[None]:
    """Its files cannot be written beyond ``size`` bytes: an error of the disk that goes away."""
    pid = rig.gateway.child.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_a_full_spool_refuses_events_and_drains_when_the_broker_is_back(rig: Rig) -> None:
    """It is not ready while it is full, and takes events again when it is not."""
    answers = rig.send_all(rig.events(40, size=10_000), at_once=2)

    assert set(answers) == {"202 accepted", "503 broker_unavailable"}
    assert answers.count("202 accepted") >= 10

    def is_refused() -> bool:
        """Send one more: a late confirm may have made room for it in the spool."""
        return rig.send_all(rig.events(1, size=10_000)) == ["503 broker_unavailable"]

    wait_until(lambda: is_refused() and not is_ready(rig), message="the spool is full")
    rig.settle()
    assert is_ready(rig)


def test_a_disk_that_fails_refuses_events_until_it_works_again(rig: Rig) -> None:
    """What was accepted before and meanwhile is not harmed."""
    rig.send_all(rig.events(5))
    with no_file_grows(rig, 64 * 1024):
        answers = rig.send_all(rig.events(10, size=15_000), at_once=2)
        assert set(answers) <= {"202 accepted", "503 broker_unavailable"}
        assert answers[-1] == "503 broker_unavailable"
        assert not is_ready(rig)

    rig.settle()


def test_a_disk_that_fails_hinders_nobody_while_the_broker_is_there(rig: Rig) -> None:
    """The spool is not needed for what is confirmed."""
    rig.send_until_accepted(rig.event())
    rig.settle()  # it has arrived, so the gateway is connected; what it says of itself may be a moment old
    with no_file_grows(rig, 64 * 1024):
        assert set(rig.send_all(rig.events(20, size=15_000))) == {"202 accepted"}
    rig.settle()


@pytest.mark.parametrize(
    "damage",
    ["X'7B' || SUBSTR(body, 3)", "CAST(X'FF' || SUBSTR(body, 2) AS TEXT)"],
    ids=["other bytes", "a text that is none"],  # one bit tells the file whether a column is a text
)
def test_a_corrupt_row_is_set_aside_and_the_rest_is_published(fragile_rig: Rig, damage: str) -> None:
    """It is counted, logged, and kept."""
    rig = fragile_rig
    events = rig.events(9)
    assert set(rig.send_all(events, at_once=1)) == {"202 accepted"}
    rig.gateway.kill()
    with closing(sqlite3.connect(spool_of(rig), isolation_level=None)) as file:
        (damaged,) = file.execute("SELECT MIN(id) + 4 FROM spool").fetchone()
        file.execute(f"UPDATE spool SET body = {damage} WHERE id = ?", (damaged,))
    rig.broker.heal()
    rig.gateway.start()
    wait_until(lambda: rig.metric("webhook_spooled") == 0)

    with closing(sqlite3.connect(f"file:{spool_of(rig)}?mode=ro", uri=True)) as file:
        assert file.execute("SELECT id FROM corrupt").fetchall() == [(damaged,)]
    assert rig.metric("webhook_spool_corrupt") == 1
    assert "spool row set aside" in rig.gateway.stdout
    # Accepted, and beyond saving: the one loss that no program can prevent is told of, not hidden.
    rig.sent.pop(events[4].event_id)
    rig.settle()


def end_of_last_commit(log: bytes) -> int:
    """Where the frames end that SQLite would read: each names the salt of the log (https://sqlite.org/walformat.html)."""
    page_size, salt = int.from_bytes(log[8:12], "big"), log[16:24]
    end = 32
    while log[end + 8 : end + 16] == salt:
        end += 24 + page_size
    return end


@pytest.mark.parametrize("damage", ["a torn write follows", "the last page is torn off"])
def test_a_torn_log_costs_nothing_that_was_whole(fragile_rig: Rig, damage: str) -> None:
    """What was on disk before the damage is published as it was sent; the gateway starts by itself."""
    rig = fragile_rig
    events = rig.events(8, size=5_000)
    assert set(rig.send_all(events, at_once=1)) == {"202 accepted"}
    rig.gateway.kill()
    log = spool_of(rig).with_name(spool_of(rig).name + "-wal")
    content = log.read_bytes()
    content = content[: end_of_last_commit(content)]  # behind it may be what an earlier use of the log left
    log.write_bytes(content + content[32:4000] if damage == "a torn write follows" else content[:-100])
    rig.broker.heal()
    rig.gateway.start()

    if damage == "the last page is torn off":
        rig.sent.pop(events[-1].event_id)  # its commit is what was damaged
    rig.settle()


def test_a_second_gateway_on_the_same_folder_refuses_to_start(rig: Rig) -> None:
    """Two that drain one spool would publish everything twice."""
    ports = [f"127.0.0.1:{port}" for port in free_ports(2)]

    done = rig.gateway.run("serve", "--bind", ports[0], "--admin-bind", ports[1], timeout=30)

    assert done.returncode == 3
    assert "belongs to another gateway" in done.stderr
    rig.send_all(rig.events(3))
    rig.settle()


@pytest.fixture(scope="module")
def roomy_rig(new_rig: NewRig) -> Iterator[Rig]:
    """A gateway with a spool as large as it comes."""
    with new_rig(LENIENT) as rig:
        yield rig


def begin_to_drain(rig: Rig, backlog: int) -> None:
    """Have events wait for a broker that is away, and return when it is back and takes the first of them."""
    rig.renew()
    rig.broker.refuse()
    answers = rig.send_all(rig.events(backlog), at_once=32)
    assert set(answers) <= {"202 accepted", "ReadError"}  # a kept connection may end as it is used again
    assert answers.count("202 accepted") > 0.9 * backlog
    waiting = rig.metric("webhook_spooled")
    rig.broker.heal()
    rig.broker.delay(0.05, Direction.TO_CLIENT)  # so that it takes longer than a look at the metric is old
    wait_until(lambda: rig.metric("webhook_spooled") < waiting)


def test_live_events_are_not_held_up_by_the_backlog_of_an_outage(roomy_rig: Rig) -> None:
    """Oldest first, and live events between them."""
    rig = roomy_rig
    begin_to_drain(rig, 2000)

    left = []
    for event in rig.events(20):
        assert rig.send(event) == "202 accepted"
        left.append(rig.metric("webhook_spooled"))

    assert left[0] > 0  # it was answered, and most of the backlog still waits
    rig.settle()


def test_a_gateway_that_is_ended_in_the_middle_of_a_backlog_goes_on_with_it(roomy_rig: Rig) -> None:
    """By SIGTERM and by SIGKILL."""
    rig: Rig = roomy_rig
    gateway: GatewayProcess = rig.gateway
    begin_to_drain(rig, 1000)

    assert gateway.stop() == 0
    gateway.start()
    gateway.restart()

    rig.settle(most_copies=2)
