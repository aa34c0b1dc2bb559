"""The consumers in Node.js and Go, as the page prints them, where their toolchains and clients can be had."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from aio_pika.exceptions import ChannelClosed

from support.agents import Dead, Place, envelope, message_of
from support.consumers import is_consumed
from support.gateway_process import Program
from support.repository import ROOT
from support.waiting import PATIENCE, wait_until

PAGE = (ROOT / "docs/how-to/agents/other-languages.md").read_text("utf-8")
AMQPLIB, AMQP091 = "amqplib@2.3.1", "github.com/rabbitmq/amqp091-go@v1.16.0"
EVENTS = [
    envelope("evt_1", subject="pi_1"),
    b"not an event",
    b'{"source": "/stripe", "id": "evt_2"}',
    envelope("evt_1", subject="pi_1"),
    envelope("evt_3", subject="pi_3"),
]


def tool(name: str, *folders: str) -> str:
    """Return the path of a program; skip the test where there is none."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *folders]))
    return found or pytest.skip(f"{name} is not installed")


def prepare(folder: Path, *commands: list[str]) -> None:
    """Run commands that fetch the client; skip the test where they cannot."""
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE * 3
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"{command[0]} took too long")
        if done.returncode:
            pytest.skip(f"{' '.join(command[:3])} failed: {done.stderr[-200:]}")


def printed(folder: Path, name: str) -> None:
    """Save the program that the page prints under this name."""
    (program,) = re.findall(rf"<!-- program: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    (folder / name).write_text(program, "utf-8")


def node(folder: Path) -> list[str]:
    """Prepare the program for Node.js; return its command."""
    program = tool("node")
    printed(folder, "agent.mjs")
    prepare(folder, [tool("npm"), "install", "--no-fund", "--no-audit", "--ignore-scripts", AMQPLIB])
    return [program, "agent.mjs"]


def go(folder: Path) -> list[str]:
    """Build the program in Go; return its command."""
    program = tool("go", "/usr/local/go/bin")
    printed(folder, "main.go")
    prepare(folder, [program, "mod", "init", "agent"], [program, "get", AMQP091])
    built = subprocess.run(
        [program, "build", "-o", "agent"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return [str(folder / "agent")]


@pytest.mark.parametrize(("language", "queue"), [(node, "node-agent"), (go, "go-agent")])
def test_events_are_handled_once_and_what_cannot_be_is_put_aside(
    language: object, queue: str, tmp_path: Path, rabbitmq_url: str
) -> None:
    """As the examples in Python do."""
    assert callable(language)
    command: list[str] = language(tmp_path)
    place = Place(tmp_path, rabbitmq_url)
    dead: list[Dead] = []

    def are_dead() -> bool:
        dead.extend(asyncio.run(place.dead(queue)))
        return len(dead) == 2

    program = Program(tmp_path, *command[1:] or [""], extra={"RABBITMQ_URL": rabbitmq_url})
    program.program = (command[0],)
    with program:
        wait_until(lambda: asyncio.run(is_consumed(rabbitmq_url, queue)), PATIENCE, forgive=(ChannelClosed,))
        asyncio.run(publish(place))
        wait_until(are_dead, PATIENCE)
        program.wait_for("evt_3 about pi_3", PATIENCE)
        written = program.stdout
        assert program.stop() == 0

    no_event, failed = sorted(dead, key=lambda message: EVENTS[1] not in message.body)
    assert no_event.body == EVENTS[1]
    assert b"evt_2" in failed.body
    reasons = [message.headers["x-death"][0]["reason"] for message in (no_event, failed)]
    assert reasons == ["rejected", "delivery_limit"]
    assert written.count("evt_1 about pi_1") == 1


async def publish(place: Place) -> None:
    """Publish the events as the gateway does."""
    async with place.publishing() as publisher:
        for body in EVENTS:
            await publisher.publish(message_of(body, "stripe.payment_intent.succeeded"))
