"""What a person sees: lines that fit the terminal, colours where they are wanted, and readable failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets
from support.senders import post
from support.terminal import Terminal
from support.waiting import wait_until

AGENT = """\
from gateway.worker import Worker

worker = Worker("agent", ["#"], attempts=1)

@worker.on("#")
async def remind(event):
    raise LookupError("no customer in " + event.id)
"""


@pytest.fixture(scope="module")
def gateway(module_folder: Path, module_secrets: Secrets) -> Iterator[GatewayProcess]:
    """One gateway on the embedded stores."""
    with GatewayProcess(module_folder, module_secrets) as process:
        yield process


def send(gateway: GatewayProcess) -> str:
    """Send an event of Stripe, and return its id."""
    event = senders.stripe_event()
    assert post(gateway.url, senders.stripe(gateway.secrets.stripe, event)).json()["status"] == "accepted"
    return str(json.loads(event)["id"])


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}], ids=["coloured", "NO_COLOR"])
def test_an_event_is_one_line_of_the_terminal(
    gateway: GatewayProcess, columns: int, more: dict[str, str]
) -> None:
    """Cut to its width, and coloured unless the environment says otherwise."""
    words = ("tail", "--config", str(gateway.config))
    with Terminal(*words, cwd=gateway.directory, extra=gateway.variables | more, columns=columns) as terminal:
        terminal.wait_for("Press Ctrl-C to stop.")
        send(gateway)
        terminal.wait_for(" stripe ")
        assert terminal.stop() == 0
        (line,) = [line for line in terminal.lines if " stripe " in line]

    assert cell_len(line) <= columns
    assert ("\x1b[36m" in terminal.output) == (not more)


def test_a_dumb_terminal_gets_plain_lines(gateway: GatewayProcess) -> None:
    """Whole, as in a pipe."""
    words = ("tail", "--config", str(gateway.config))
    extra = gateway.variables | {"TERM": "dumb"}
    with Terminal(*words, cwd=gateway.directory, extra=extra) as terminal:
        terminal.wait_for("Press Ctrl-C to stop.")
        event_id = send(gateway)
        terminal.wait_for(event_id)
        terminal.wait_for(" bytes")
        assert "\x1b" not in terminal.output


def test_a_handler_that_fails_is_explained_on_a_terminal(gateway: GatewayProcess) -> None:
    """In lines for people: the message, and the author's own line; the dead-letter queue keeps the place."""
    (gateway.directory / "agent.py").write_text(AGENT, "utf-8")
    words = ("worker", "agent:worker", "--config", str(gateway.config))
    with Terminal(*words, cwd=gateway.directory, extra=gateway.variables, columns=120) as terminal:
        terminal.wait_for("worker started")
        event_id = send(gateway)
        terminal.wait_for("in remind")
        assert terminal.stop() == 0
        (failed,) = [number for number, line in enumerate(terminal.lines) if "✗ agent" in line]
        assert f"LookupError: no customer in {event_id[:8]}" in terminal.lines[failed]
        assert terminal.lines[failed + 1].strip() == (
            'agent.py:7 in remind: raise LookupError("no customer in " + event.id)'
        )
        assert "site-packages" not in terminal.output

    listed = gateway.run("dead", "list", "agent")
    assert "LookupError at agent.py:7: failed 1 times" in listed.stdout
    assert "no customer" not in listed.stdout


@pytest.mark.parametrize("is_shown", [False, True])
def test_in_production_the_text_of_an_exception_is_logged_only_on_demand(
    tmp_path: Path, fresh_secrets: Secrets, is_shown: bool
) -> None:
    """It may quote the event."""
    gateway = GatewayProcess(
        tmp_path, fresh_secrets, overrides={"log": {"exception_messages": True}} if is_shown else {}
    )
    (tmp_path / "agent.py").write_text(AGENT, "utf-8")
    words = ("worker", "agent:worker", "--config", str(gateway.config))
    with gateway, Program(tmp_path, *words, extra=gateway.variables) as worker:
        worker.wait_for("worker started")
        event_id = send(gateway)
        wait_until(lambda: '"outcome":"dead"' in worker.stdout, message="it failed")
        (line,) = [json.loads(line) for line in worker.stdout.splitlines() if '"outcome":"dead"' in line]

    assert line["error"] == "LookupError"
    assert line.get("error_message") == (f"no customer in {event_id}" if is_shown else None)
