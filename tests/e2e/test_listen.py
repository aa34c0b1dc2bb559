"""`gateway listen`: verified events on a laptop, from a cursor, on a terminal and in a pipe, from here and from elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe
import yaml
from standardwebhooks import Webhook

from gateway.events.message import Message
from gateway.publishers import Retention
from gateway.publishers.sqlite import SqlitePublisher
from gateway.transport.embedded import Database
from support.console_pages import PagesConsole
from support.gateway_process import Program, run_gateway
from support.receivers import Receiver, respond
from support.terminal import Terminal
from support.waiting import wait_until

SETTINGS = {
    "redis": {"url": "embedded"},
    "rabbitmq": {"url": "embedded"},
    "archive": {"enabled": True},
    "providers": {"stripe": {"adapter": "stripe", "secrets": ["whsec_for-these-tests-alone"]}},
}


def event_of(number: int, key: str = "stripe.invoice.paid") -> Message:
    """Return an event as the gateway publishes it; its summary is hostile."""
    data = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "invoice.paid",
        "data": {"object": {"n": number}},
    }
    event = {
        "specversion": "1.0",
        "provider": "stripe",
        "adapter": "stripe",
        "id": f"evt_{number}",
        "source": "/stripe",
        "type": "com.stripe.invoice.paid",
        "eventtype": "invoice.paid",
        "receivedat": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "summary": "Stripe: \x1b[2J\u202e paid",
        "datacontenttype": "application/json",
        "data": data,
    }
    return Message(
        "webhooks", key, f"evt_{number}", "com.stripe.invoice.paid", {}, json.dumps(event).encode()
    )


class Gateway:
    """The data directory of an embedded gateway that has published something.

    Args:
        folder: Where its configuration is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.yaml").write_text(yaml.safe_dump({**SETTINGS, "data_dir": "var"}))
        (folder / "var").mkdir(mode=0o700)

    def publish(self, *messages: Message) -> None:
        """Publish events as the gateway does."""

        async def publish() -> None:
            publisher = SqlitePublisher(
                Database(self.folder / "var"), "webhooks", Retention(86_400.0, 1 << 30)
            )
            await publisher.start()
            try:
                for each in messages:
                    await publisher.publish(each)
            finally:
                await publisher.stop()

        asyncio.run(publish())


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """A gateway with one event."""
    made = Gateway(tmp_path)
    made.publish(event_of(1))
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The application."""
    with Receiver(respond(200, b"\x1b[31mthanks")) as made:
        yield made


def test_events_come_as_the_provider_sends_them(gateway: Gateway, receiver: Receiver) -> None:
    """Stripe's own library verifies them with the secret that is printed; the rest is in the line."""
    words = ("listen", f"{receiver.port}/hooks", "--as-sender", "--since", "1h")
    with Program(gateway.folder, *words) as program:
        (request,) = receiver.wait_for(1)
        wait_until(lambda: "evt_1" in program.stdout)
        gateway.publish(event_of(2))
        receiver.wait_for(2)
        wait_until(lambda: "evt_2" in program.stdout)
    secret = re.search(r"verify stripe with the secret (\S+)", program.stderr)

    assert secret
    verified = stripe.Webhook.construct_event(request.body, request.headers["stripe-signature"], secret[1])
    assert verified["id"] == "evt_1"
    assert request.target == "/hooks"
    line = next(line for line in program.stdout.splitlines() if "evt_1" in line)
    assert "stripe.invoice.paid" in line
    assert "200 in" in line
    raw = program.stdout_path.read_text("utf-8")
    assert "\x1b" not in raw
    assert "\u202e" not in raw


def test_standard_webhooks_is_the_default(gateway: Gateway, receiver: Receiver) -> None:
    """Its library verifies the CloudEvent."""
    with Program(gateway.folder, "listen", str(receiver.port), "--since", "1h") as program:
        (request,) = receiver.wait_for(1)
        wait_until(lambda: "evt_1" in program.stdout)
    secret = re.search(r"verify Standard Webhooks with the secret (\S+)", program.stderr)

    assert secret
    event = Webhook(secret[1]).verify(request.body, request.headers)
    assert event["data"]["id"] == "evt_1"


def test_it_goes_on_where_it_ended(gateway: Gateway, receiver: Receiver) -> None:
    """With the same secret; nothing twice, nothing missed, only what matches, and nothing of before the first run."""
    words = ("listen", str(receiver.port), "--match", "stripe.invoice.*")
    with Program(gateway.folder, *words) as program:
        wait_until(lambda: "Press Ctrl-C" in program.stderr)
        time_of_start = time.time()
        wait_until(lambda: time.time() > time_of_start + 1)  # received times have whole seconds here
        gateway.publish(event_of(2), event_of(3, "stripe.charge.failed"))
        wait_until(lambda: "evt_2" in program.stdout)
    first_secret = re.search(r"with the secret (\S+)", program.stderr)
    gateway.publish(event_of(4))
    with Program(gateway.folder, *words) as again:
        wait_until(lambda: "evt_4" in again.stdout)
    second_secret = re.search(r"with the secret (\S+)", again.stderr)

    assert [json.loads(each.body)["id"] for each in receiver.requests] == ["evt_2", "evt_4"]
    assert first_secret
    assert second_secret
    assert first_secret[1] == second_secret[1]
    (kept,) = (gateway.folder / "var" / "listen").iterdir()
    assert kept.stat().st_mode & 0o077 == 0


def test_an_application_that_is_away_is_told(gateway: Gateway, receiver: Receiver) -> None:
    """And the next event is sent all the same."""
    receiver.behave(respond(500), respond(204))
    gateway.publish(event_of(2))
    with Program(gateway.folder, "listen", str(receiver.port), "--since", "1h") as program:
        wait_until(lambda: "evt_2" in program.stdout)
    first, second = (line for line in program.stdout.splitlines() if "evt_" in line)

    assert "500 in" in first
    assert "204 in" in second


def test_the_terminal_shows_resends_edits_and_filters(gateway: Gateway, receiver: Receiver) -> None:
    """And is given back as it was."""
    editor = gateway.folder / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/"n": 1/"n": 42/\' "$1"\n')
    editor.chmod(0o700)
    extra = {"EDITOR": str(editor), "NO_COLOR": "1"}
    words = ("listen", f"{receiver.port}/hooks", "--since", "1h")
    with Terminal(*words, cwd=gateway.folder, extra=extra, columns=100) as terminal:
        terminal.wait_for("evt_1")
        receiver.wait_for(1)
        terminal.press("r")
        receiver.wait_for(2)
        terminal.press("\r")
        terminal.wait_for("\\u001b[31mthanks")
        terminal.press("q")
        terminal.press("e")
        receiver.wait_for(3)
        terminal.wait_for("(edited)")
        terminal.press("s")
        terminal.wait_for("verify Standard Webhooks with the secret whsec_")
        terminal.press("q")
        terminal.press("fnothing")
        terminal.wait_for("filter: nothing_")
        terminal.press("\r")
        terminal.wait_for("Nothing matches")
        terminal.press("q")
        assert terminal.process.wait(30) == 0
    bodies = [json.loads(each.body) for each in receiver.requests]

    assert [each["data"]["data"]["object"]["n"] for each in bodies] == [1, 1, 42]
    assert "\u202e" not in terminal.output


def test_from_another_gateway_with_a_token(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through its API, with a cursor of its own; its secrets are of this machine."""
    here = tmp_path / "here"
    here.mkdir()
    other = Gateway(tmp_path)
    other.publish(event_of(1))
    console = PagesConsole(tmp_path / "var", SETTINGS, is_empty=True)
    token = console.token("operator")
    with console.served() as address:
        extra = {"HOME": str(here), "GATEWAY_TOKEN": token}
        words = ("listen", str(receiver.port), "--from", address, "--since", "1h")
        with Program(here, *words, extra=extra) as program:
            receiver.wait_for(1)
            wait_until(lambda: "evt_1" in program.stdout)
            other.publish(event_of(2))
            wait_until(lambda: "evt_2" in program.stdout)
        viewer = run_gateway(*words, cwd=here, extra={**extra, "GATEWAY_TOKEN": console.token("viewer")})
        nobody = run_gateway(*words, cwd=here, extra={**extra, "GATEWAY_TOKEN": "whgw_x"})
        missing = run_gateway(*words, cwd=here, extra={"HOME": str(here)})
    actions = [each.action for each in console.access.audit.entries()]
    console.access.close()

    assert [json.loads(each.body)["id"] for each in receiver.requests] == ["evt_1", "evt_2"]
    assert "archive.follow" in actions
    assert token not in program.stdout + program.stderr
    for done, reason in ((viewer, "role operator"), (nobody, "unknown"), (missing, "--token")):
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    assert (here / ".local" / "state" / "webhook-gateway").is_dir()


@pytest.mark.parametrize("target", ["web", "0", "70000", "3000 /x", "http://127.0.0.1:3000"])
def test_only_a_port_of_this_machine_is_a_target(gateway: Gateway, target: str) -> None:
    """Anything else is invalid usage."""
    done = run_gateway("listen", target, cwd=gateway.folder)

    assert done.returncode == 2
    assert "3000/hooks" in done.stderr


def test_without_an_archive_it_says_what_to_set(gateway: Gateway) -> None:
    """One line."""
    path = gateway.folder / "config.yaml"
    path.write_text(path.read_text().replace("enabled: true", "enabled: false"))
    done = run_gateway("listen", "3000", cwd=gateway.folder)

    assert done.returncode == 1
    assert "archive.enabled" in done.stderr
