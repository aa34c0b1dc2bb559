"""SIGHUP with other endpoints: added, changed and removed ones, and a configuration that is wrong."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.outbound.models import DeliveryState
from support.receivers import Receiver, respond
from support.waiting import wait_until
from support.way_out_program import WayOutProgram, WayOutSite


@pytest.fixture
def receivers() -> Iterator[dict[str, Receiver]]:
    """Who listens, by name."""
    with Receiver() as first, Receiver() as second, Receiver(respond(503)) as failing:
        yield {"first": first, "second": second, "failing": failing}


def reload(program: WayOutProgram, site: WayOutSite, **urls: Receiver) -> None:
    """Have it deliver to these endpoints, and to no others."""
    site.receivers = urls
    site.configure({})
    program.child.signal(signal.SIGHUP)


def ids_of(receiver: Receiver) -> list[str]:
    """Return the ids of the events that arrived."""
    return [json.loads(each.body)["id"] for each in list(receiver.requests)]


def test_endpoints_are_added_changed_and_removed(tmp_path: Path, receivers: dict[str, Receiver]) -> None:
    """At once; what waits for an endpoint that is removed is cancelled, and what waits for a changed one goes to its new URL."""
    first, second, failing = receivers.values()
    site = WayOutSite(tmp_path, {"shop": first, "moving": failing, "leaving": failing})
    site.declare()
    with site.program() as program:
        site.publish([{"id": "evt_1"}])
        failing.wait_for(2)
        reload(program, site, shop=first, moving=second, joining=second)
        wait_until(lambda: ids_of(second) == ["evt_1"], message="what waited for `moving` is there")
        states = {each.endpoint: each.state for each in site.deliveries()}
        assert states["ep_leaving"] is DeliveryState.CANCELLED
        assert states["ep_moving"] is not DeliveryState.CANCELLED

        site.publish([{"id": "evt_2"}])
        wait_until(lambda: sorted(ids_of(second)) == ["evt_1", "evt_2", "evt_2"])
        wait_until(lambda: ids_of(first) == ["evt_1", "evt_2"])
        assert len(failing.requests) == 2
        assert program.stop() == 0
        assert "Traceback" not in program.stdout


def test_without_endpoints_it_ends_and_its_queues_get_nothing_more(
    tmp_path: Path, receivers: dict[str, Receiver]
) -> None:
    """What is published then is unrouted, as if there had never been an endpoint."""
    site = WayOutSite(tmp_path, {"shop": receivers["first"]})
    site.declare()
    with site.program() as program:
        program.wait_for('"event":"way out started"')
        reload(program, site)
        assert program.wait_for_end() == 0
    site.publish([{"id": "evt_late"}])
    assert site.waiting("agents.outbound") == 0
    assert site.waiting("agents.unrouted") == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shop": {"url": "https://169.254.169.254/latest", "allow_private": False}}, "endpoints.shop.url"),
        ({"shop": {"secrets": []}}, "endpoints.shop"),
    ],
)
def test_a_wrong_configuration_changes_nothing(
    tmp_path: Path, receivers: dict[str, Receiver], settings: dict[str, dict[str, object]], words: str
) -> None:
    """It is rejected in one line that says where."""
    first = receivers["first"]
    site = WayOutSite(tmp_path, {"shop": first})
    site.declare()
    with site.program() as program:
        program.wait_for('"event":"way out started"')
        good = site.path.read_text()
        site.configure(settings)
        program.child.signal(signal.SIGHUP)
        program.wait_for("configuration rejected")
        site.path.write_text(good)
        site.publish([{"id": "evt_1"}])
        first.wait_for(1)
        lines = [line for line in program.stdout.splitlines() if "configuration rejected" in line]
        assert len(lines) == 1
        assert words in lines[0]
        assert "Traceback" not in program.stdout
