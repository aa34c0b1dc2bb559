"""No schema that loads lets a body stop the gateway, and none that would can be loaded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from hostile.inputs_schema import INPUTS, REFUSED, USABLE
from hostile.signed import acme
from hostile.target import Input, Target
from hostile.wire import converse
from support.gateway_process import GatewayProcess, Secrets, configuration, run_gateway
from support.senders import order

ACME = configuration(0, 0, {})["providers"]["acme"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A gateway with a provider for each usable schema."""
    folder = tmp_path_factory.mktemp("gateway")
    providers = configuration(0, 0, {})["providers"]
    for name, schema in USABLE.items():
        (folder / f"{name}.json").write_text(json.dumps(schema), "utf-8")
        providers[name] = {**ACME, "schema": f"{name}.json"}
    providers["strict"]["on_invalid"] = "reject"
    with GatewayProcess(folder, Secrets(), overrides={"providers": providers}) as gateway:
        yield Target(gateway)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What the program says to all refused schemas at once, and to one that is usable."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "good.json").write_bytes(b"{}")
    providers = {"good": {**ACME, "schema": "good.json"}}
    for _, name, content, _ in REFUSED:
        (folder / f"{name}.json").write_bytes(content)
        providers[name] = {**ACME, "schema": f"{name}.json"}
    config = configuration(0, 1, {}) | {"providers": providers}
    (folder / "config.yaml").write_text(json.dumps(config), "utf-8")
    return run_gateway("check", "--config", "config.yaml", cwd=folder, extra=Secrets().environment())


@pytest.mark.parametrize("hostile", INPUTS, ids=str)
def test_bodies_get_the_verdict_of_their_schema(target: Target, hostile: Input) -> None:
    """Each input gets its answer, and the gateway is as well as before."""
    target.expect(hostile)


@pytest.mark.parametrize(("number", "name", "problem"), [(row[0], row[1], row[3]) for row in REFUSED])
def test_dangerous_schemas_are_refused_at_load(
    checked: subprocess.CompletedProcess[str], number: int, name: str, problem: str
) -> None:
    """Each is refused with its own reason, before anything is fetched, matched or served."""
    lines = [line for line in checked.stderr.splitlines() if f" providers.{name}.schema: " in line]

    assert checked.returncode == 3
    assert any(problem in line for line in lines), checked.stderr
    assert "Traceback" not in checked.stderr
    assert "providers.good" not in checked.stderr


def test_what_is_said_of_a_broken_body_is_short_and_says_no_value(target: Target) -> None:
    """Input 116: the first ten places, in the log; in the answer nothing, and a value of the body nowhere."""
    wire = acme(target.secrets, order(id="broken", note="personal-data")).to("/webhooks/strict")
    exchange = converse(target.address, bytes(wire))
    target.expect_well()
    (line,) = (line for line in target.gateway.request_lines() if line.get("event_id") == "broken")

    assert json.loads(exchange.replies[0].body) == {
        "status": "rejected",
        "reason": "schema_mismatch",
        "id": "broken",
    }
    assert 0 < len(line["cause"].split("; ")) <= 10
    assert "personal-data" not in target.gateway.stdout
