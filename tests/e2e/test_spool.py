"""`gateway spool` as operators meet it: with and without a gateway, and with damage."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support import senders
from support.gateway_process import PROGRAM, GatewayProcess, Program, Secrets
from support.ports import free_port
from support.rabbitmq_server import RabbitMQServer
from support.senders import post
from support.spooling import fill

ExpectClean = Callable[..., None]


@pytest.fixture
def nowhere(tmp_path: Path, fresh_secrets: Secrets) -> GatewayProcess:
    """A gateway whose RabbitMQ is not there, not started."""
    url = f"amqp://127.0.0.1:{free_port()}/"
    return GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=url, wait_ready=False)


def data_dir(gateway: GatewayProcess) -> Path:
    """Where its spool is."""
    return gateway.directory / "var"


def spoil(gateway: GatewayProcess, statement: str) -> None:
    """Change the file behind the gateway's back."""
    with closing(sqlite3.connect(data_dir(gateway) / "spool-0.db")) as connection, connection:
        connection.execute(statement)


def a_delivery(gateway: GatewayProcess) -> senders.Delivery:
    """An event that nobody has seen."""
    return senders.stripe(gateway.secrets.stripe, senders.stripe_event())


@pytest.mark.parametrize("words", [["show"], ["verify"], ["export"], ["drain"]])
def test_without_a_spool_nothing_waits(nowhere: GatewayProcess, words: list[str]) -> None:
    """Exit code 0, a line that says so, and no file made."""
    done = nowhere.run("spool", *words)

    assert done.returncode == 0
    assert "nothing is spooled: there is no spool in" in done.stderr
    assert not data_dir(nowhere).exists()


def test_a_running_gateway_is_looked_into_and_not_interfered_with(
    nowhere: GatewayProcess, expect_clean: ExpectClean
) -> None:
    """What was accepted is shown, verified and exported beside it; draining is the gateway's own business."""
    with nowhere:
        deliveries = [a_delivery(nowhere) for _ in range(3)]
        assert [post(nowhere.url, delivery).status_code for delivery in deliveries] == [202] * 3
        shown, verified, exported, drained = (
            nowhere.run("spool", command) for command in ("show", "verify", "export", "drain")
        )
        assert post(nowhere.url, a_delivery(nowhere)).status_code == 202

    assert shown.stdout.splitlines()[0].endswith("spool-0.db: in use by a gateway")
    assert [line.split()[:2] for line in shown.stdout.splitlines()[1:]] == [
        ["spooled", "3"],
        ["size", shown.stdout.split("size")[1].split()[0]],
        ["corrupt", "none"],
    ]
    assert (verified.returncode, verified.stdout.partition(": ")[2]) == (0, "3 events, no damage found\n")
    events = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [event["message_id"] for event in events] == [delivery.event_id for delivery in deliveries]
    assert [json.loads(event["body"])["id"] for event in events] == [event["message_id"] for event in events]
    assert (drained.returncode, drained.stderr.count("\n")) == (1, 1)
    assert "is in use by a gateway" in drained.stderr
    expect_clean(shown.stdout, verified.stdout, drained.stderr)


def test_a_second_gateway_in_the_same_folder_is_told_so(nowhere: GatewayProcess) -> None:
    """In one line, and it ends."""
    with nowhere:
        second = nowhere.run(
            "serve", "--bind", f"127.0.0.1:{free_port()}", "--admin-bind", f"127.0.0.1:{free_port()}"
        )

    assert second.returncode == 3
    assert "spool-0.db belongs to another gateway; give each its own data_dir" in second.stderr
    assert second.stderr.count("\n") == 1


async def test_what_waits_is_drained_without_a_gateway(
    tmp_path: Path, fresh_secrets: Secrets, rabbitmq_url: str
) -> None:
    """Of all workers that there were; what is damaged is set aside, told, and can be exported."""
    for slot in range(2):
        await fill(tmp_path / "var", 30, slot=slot, slots=2)
    gateway = GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=rabbitmq_url)
    spoil(gateway, "UPDATE spool SET body = x'ff00' WHERE id = 3")

    verified = gateway.run("spool", "verify")
    assert verified.returncode == 1
    assert "spool-0.db: row 3 does not match its digest\n" in verified.stdout
    assert "spool-1.db: 30 events, no damage found\n" in verified.stdout
    drained = gateway.run("spool", "drain")
    assert (drained.returncode, drained.stdout) == (1, "59 events published, 0 left\n")
    assert "1 event set aside; see `gateway spool export --corrupt`" in drained.stderr
    again = gateway.run("spool", "drain")
    assert (again.returncode, again.stdout) == (0, "0 events published, 0 left\n")
    exported = gateway.run("spool", "export", "--corrupt", "--output", "corrupt.jsonl")
    assert (exported.returncode, exported.stdout) == (0, "")
    (row,) = [json.loads(line) for line in (tmp_path / "corrupt.jsonl").read_text().splitlines()]
    assert (row["row"], row["reason"]) == (3, "does not match its digest")
    assert row["body_base64"] == "/wA="
    assert json.loads(row["head"])[2] == "evt_2"
    assert gateway.run("spool", "verify").returncode == 1
    kept = gateway.run("spool", "export", "--output", "corrupt.jsonl")
    assert (kept.returncode, kept.stderr) == (1, "corrupt.jsonl: File exists\n")


async def test_what_was_set_aside_is_drained_again_when_its_cause_is_gone(
    tmp_path: Path, fresh_secrets: Secrets, rabbitmq_url: str
) -> None:
    """Only where an operator says so, and only what is not damaged."""
    await fill(tmp_path / "var", 3)
    gateway = GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=rabbitmq_url)
    spoil(gateway, "INSERT INTO corrupt SELECT *, 'too large', 0 FROM spool WHERE id < 3")
    spoil(gateway, "DELETE FROM spool WHERE id < 3")
    spoil(gateway, "UPDATE corrupt SET body = x'ff00' WHERE id = 1")

    drained = gateway.run("spool", "drain")
    assert (drained.returncode, drained.stdout) == (0, "1 event published, 0 left\n")
    again = gateway.run("spool", "drain", "--corrupt")
    assert (again.returncode, again.stdout) == (0, "1 event published, 0 left\n")
    (left,) = gateway.run("spool", "export", "--corrupt").stdout.splitlines()
    assert json.loads(left)["row"] == 1


async def test_whoever_reads_an_export_may_have_enough(nowhere: GatewayProcess) -> None:
    """As in `gateway spool export | head`: that is no damage of the spool."""
    await fill(data_dir(nowhere), 500)

    done = subprocess.run(
        ["/bin/sh", "-c", f"'{PROGRAM}' spool export --config '{nowhere.config}' | head -n 1"],
        cwd=nowhere.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert json.loads(done.stdout)["row"] == 1
    assert done.stderr == ""


def test_a_file_that_is_no_spool_is_told_in_one_line(nowhere: GatewayProcess) -> None:
    """With what will become of it."""
    data_dir(nowhere).mkdir()
    (data_dir(nowhere) / "spool-0.db").write_bytes(b"no database" * 1000)
    for words in ("show", "verify", "export"):
        done = nowhere.run("spool", words)
        assert done.returncode == 1
        assert "file is not a database; if the file is damaged, its gateway recovers" in done.stderr


async def test_a_drain_that_is_interrupted_says_what_is_left(
    tmp_path: Path, fresh_secrets: Secrets, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """Ctrl-C loses nothing: the rest is published by the next drain."""
    await fill(tmp_path / "var", 50)
    gateway = GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=rabbitmq_url)
    rabbitmq_server.suspend()
    try:
        with Program(tmp_path, "spool", "drain", extra=gateway.variables) as program:
            program.wait_for("50 events to publish")
            assert program.stop(signal.SIGINT) == 130
            assert "50 left" in program.stdout
    finally:
        rabbitmq_server.resume()
    drained = gateway.run("spool", "drain")
    assert (drained.returncode, drained.stdout) == (0, "50 events published, 0 left\n")


async def test_damage_is_logged_as_an_error_and_the_rest_is_published(
    tmp_path: Path, fresh_secrets: Secrets, rabbitmq_url: str
) -> None:
    """By the gateway that finds it."""
    await fill(tmp_path / "var", 5)
    process = GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=rabbitmq_url)
    spoil(process, "UPDATE spool SET body = x'00' WHERE id = 2")
    with process:
        process.wait_for("spool drained")

        (line,) = [line for line in process.log_lines() if line["level"] == "error"]
    assert (line["event"], line["spool"], line["row"], line["reason"]) == (
        "spool row set aside",
        "spool-0.db",
        2,
        "does not match its digest",
    )
