"""`gateway endpoints` and `gateway deliveries`: what they print, for people and for programs, and what they do."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.backends import open_outbound_store
from gateway.config import load_config
from gateway.outbound.models import DeliveryState
from support.delivery_scene import HEADER_VALUE, SECRET, Scene, endpoint_at, outbound
from support.gateway_process import PROGRAM, environment
from support.receivers import Receiver, respond
from support.waiting import PATIENCE

HOSTILE = "\x1b[2J\u202e<b>\x07"


class Site:
    """A configuration with endpoints and deliveries in its data directory, and commands on it.

    Args:
        folder: Where it is.
        port: A port of this machine that endpoints may have.
    """

    def __init__(self, folder: Path, port: int = 443) -> None:
        self.folder = folder
        settings = {
            "redis": {"url": "embedded"},
            "rabbitmq": {"url": "embedded"},
            "data_dir": str(folder / "var"),
            "outbound": outbound(port),
            "providers": {"stripe": {"adapter": "stripe", "secrets": ["whsec_for-these-tests-alone"]}},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        self.outputs: list[str] = []

    async def fill(self, url: str) -> None:
        """Write the scene into the store, and one more endpoint called `local`."""
        store = open_outbound_store(load_config(self.folder / "config.yaml"))
        await store.start()
        try:
            await Scene(store, HOSTILE).fill(time.time())
            await store.put_endpoint(endpoint_at(url, time.time(), "local"), 0)
        finally:
            await store.stop()

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command and return what it printed; its output has no secret and no escape of a stranger."""
        # Not by run_gateway, which takes the escapes away that must not be there.
        done = subprocess.run(
            [str(PROGRAM), *words],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stderr
        text = done.stdout + done.stderr
        assert SECRET not in text
        assert HEADER_VALUE not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "Traceback" not in text
        return done.stdout if code == 0 else text

    def lines(self, *words: str) -> list[Any]:
        """Run a command with `--json`, and return its objects."""
        return [json.loads(line) for line in self.run(*words, "--json").splitlines()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers with a hostile text."""
    with Receiver(respond(200, HOSTILE.encode())) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver) -> Site:
    """A site whose endpoint `local` is the receiver."""
    made = Site(tmp_path, receiver.port)
    asyncio.run(made.fill(receiver.url))
    return made


def test_endpoints_are_listed_and_shown(site: Site) -> None:
    """As a table and as objects; by name and by id."""
    text = site.run("endpoints", "list")
    found = {each["name"]: each for each in site.lines("endpoints", "list")}

    assert {"crm", "old", "theirs", "local"} <= found.keys()
    assert found["crm"]["dead"] == 1
    for word in ("crm", "failing", "disabled", "7 failures"):
        assert word in text
    shown = site.run("endpoints", "show", "crm")
    assert "circuit" in shown
    assert found["crm"]["secrets"][0]["fingerprint"] in shown
    assert site.lines("endpoints", "show", found["crm"]["id"])[0]["id"] == found["crm"]["id"]
    assert "there is no endpoint 'nobody'" in site.run("endpoints", "show", "nobody", code=1)


def test_a_test_event_is_sent(site: Site, receiver: Receiver) -> None:
    """The exit code says whether the endpoint took it; its answer is escaped."""
    text = site.run("endpoints", "test", "local")
    assert "delivered 200" in text
    assert "\\u001b[2J\\u202e<b>\\u0007" in text
    receiver.behave(respond(500))
    failed = site.run("endpoints", "test", "local", "gateway.test", code=1)

    assert "status 500" in failed
    first, second = receiver.wait_for(2)
    assert json.loads(first.body)["provider"] == "stripe"
    assert json.loads(second.body)["type"] == "gateway.test"


def test_endpoints_are_paused_disabled_and_enabled(site: Site, receiver: Receiver) -> None:
    """A disabled one takes a test event first."""
    assert site.lines("endpoints", "pause", "local")[0]["state"] == "paused"
    assert site.lines("endpoints", "disable", "local")[0]["state"] == "disabled"
    receiver.behave(respond(503))
    assert "does not take a test event" in site.run("endpoints", "enable", "local", code=1)
    assert site.lines("endpoints", "enable", "local", "--untested")[0]["state"] == "enabled"
    assert "enabled" in site.run("endpoints", "enable", "old", "--untested", "--resume", "none")
    assert site.lines("deliveries", "list", "--state", "held") == []


def test_deliveries_are_listed_and_shown(site: Site) -> None:
    """With filters; each attempt with its phases, and the answer as text."""
    dead = site.lines("deliveries", "list", "--state", "dead")
    assert [each["status"] for each in dead] == [503]
    assert len(site.lines("deliveries", "list", "--endpoint", "crm", "--since", "1h")) == 2
    assert len(site.lines("deliveries", "list", "--limit", "2")) == 2
    assert dead[0]["id"] in site.run("deliveries", "list")

    text = site.run("deliveries", "show", dead[0]["id"])
    for word in ("dead", "attempt 1", "timeout head", "attempt 2", "status 503", "tls 20 ms", "\\u001b[2J"):
        assert word in text
    (whole,) = site.lines("deliveries", "show", dead[0]["id"])
    assert [each["number"] for each in whole["attempt_list"]] == [1, 2]
    assert "is not a state" in site.run("deliveries", "list", "--state", "lost", code=2)
    assert "there is no delivery" in site.run("deliveries", "show", "dlv_x", code=1)


def test_deliveries_are_redelivered_and_replayed(site: Site) -> None:
    """One, and all that are dead; a dry run changes nothing."""
    (dead,) = site.lines("deliveries", "list", "--state", "dead")
    assert site.lines("deliveries", "replay", "crm", "--dry-run") == [{"count": 1}]
    assert "1 delivery would begin anew" in site.run("deliveries", "replay", "crm", "--dry-run")
    for where, count in (('{"/data/amount": {"eq": 2}}', 1), ('{"/data/amount": {"gt": 2}}', 0)):
        options = ("--where", where, "--limit", "5", "--dry-run")
        assert site.lines("deliveries", "replay", "crm", *options) == [{"count": count}]
    assert "where: is not JSON" in site.run("deliveries", "replay", "crm", "--where", "{", code=1)
    assert "did you mean crm?" in site.run("deliveries", "replay", "crn", "--dry-run", code=1)
    (operation,) = site.lines("deliveries", "replay", "crm", "--rate", "100")
    assert (operation["total"], operation["state"]) == (1, "running")
    (renewed,) = site.lines("deliveries", "list", "--id", dead["event_id"])
    assert (renewed["state"], renewed["operation"]) == (DeliveryState.PENDING, operation["id"])

    assert "is due now, to" in site.run("deliveries", "redeliver", dead["id"])
    assert "for one attempt" in site.run("deliveries", "redeliver", dead["id"], "--once")
    assert "or all, or none" in site.run("endpoints", "enable", "crm", "--resume", "soon", code=2)
    assert "rate" in site.run("deliveries", "replay", "crm", "--rate", "0", code=1)


def test_without_a_way_out_the_commands_say_what_to_set(tmp_path: Path) -> None:
    """One line."""
    site = Site(tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del config["outbound"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    text = site.run("endpoints", "list", code=1)
    assert "outbound.enabled" in text
    assert len(text.splitlines()) == 1
