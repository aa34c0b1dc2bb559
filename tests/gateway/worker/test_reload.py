"""`gateway worker --reload`: a new version of the worker after each change of its source files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.worker import Worker
from support.agents import Place
from support.gateway_process import GatewayProcess, Program, Secrets
from support.waiting import wait_until

AGENT = """
import asyncio
import pathlib
from gateway.worker import Event, Worker
from {prompts} import VERSION

worker = Worker("agent", ["stripe.#"])

@worker.on("#")
async def handle(event: Event) -> None:
    print("begin", event.id, VERSION, flush=True)
    while event.id == "evt_slow" and not pathlib.Path("release").exists():
        await asyncio.sleep(0.02)
    print("end", event.id, VERSION, flush=True)
"""


class Agent:
    """A worker in files that a test changes.

    Attributes:
        folder: where they are.
        prompts: the file with the version.
        program: the command.
        place: the queue.
    """

    def __init__(self, folder: Path, package: str) -> None:
        self.folder = folder
        home = folder / package if package else folder
        home.mkdir(exist_ok=True)
        (home / "agent.py").write_text(AGENT.format(prompts=f"{package}.prompts" if package else "prompts"))
        self.prompts = home / "prompts.py"
        self.write("VERSION = 1\n")
        config = GatewayProcess(folder, Secrets()).config
        target = f"{package}.agent:worker" if package else "agent:worker"
        self.program = Program(folder, "worker", target, "--reload", "--config", str(config))
        self.place = Place(folder / "var")

    def write(self, text: str) -> None:
        """Replace the file, as editors do."""
        draft = self.folder / "draft"
        draft.write_text(text, "utf-8")
        draft.replace(self.prompts)

    def wait_for_start(self, number: int) -> None:
        """Wait until the worker has been started so often."""
        wait_until(lambda: self.program.stdout.count('"worker started"') == number)

    async def handles(self, event_id: str, version: int) -> None:
        """Publish an event, and wait until this version has handled it."""
        await self.place.publish(event_id)
        wait_until(lambda: f"end {event_id} {version}" in self.program.stdout)


@pytest.fixture(params=["", "billing"], ids=["module", "package"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    """Return a worker in a module of its own, or in a package."""
    return Agent(tmp_path, request.param)


async def test_a_change_starts_the_new_version_and_what_is_in_flight_finishes(agent: Agent) -> None:
    """Also a change of a module that the worker imports; an event is handled by one version only."""
    await agent.place.queue_of(Worker("agent", ["stripe.#"])).check()
    with agent.program as program:
        await agent.handles("evt_1", 1)
        await agent.place.publish("evt_slow")
        wait_until(lambda: "begin evt_slow 1" in program.stdout)

        agent.write("VERSION = 2\n")
        wait_until(lambda: "prompts.py changed; restarting" in program.stderr)
        (agent.folder / "release").touch()
        agent.wait_for_start(2)
        await agent.handles("evt_2", 2)

        assert program.stdout.count("end evt_slow 1") == 1
        assert "begin evt_slow 2" not in program.stdout
        assert program.stop() == 0
    assert "worker ended" in program.stdout.splitlines()[-1]


async def test_a_syntax_error_is_shown_and_the_worker_goes_on(tmp_path: Path) -> None:
    """As it was before, until the mistake is corrected."""
    agent = Agent(tmp_path, "")
    await agent.place.queue_of(Worker("agent", ["stripe.#"])).check()
    with agent.program as program:
        await agent.handles("evt_1", 1)
        agent.write("VERSION = = 2\n")
        wait_until(lambda: "still running as before" in program.stderr)
        await agent.handles("evt_2", 1)

        agent.write("VERSION = 3\n")
        agent.wait_for_start(2)
        await agent.handles("evt_3", 3)
        assert program.stop() == 0
    assert f"{agent.prompts}:1: invalid syntax" in program.stderr


async def test_a_worker_that_cannot_start_waits_for_a_change(tmp_path: Path) -> None:
    """Its traceback is shown; the configuration counts as a file, too."""
    agent = Agent(tmp_path, "")
    await agent.place.queue_of(Worker("agent", ["stripe.#"])).check()
    agent.write("raise LookupError('at import')\n")
    config = tmp_path / "config.yaml"
    good = config.read_text("utf-8")
    with agent.program as program:
        wait_until(lambda: "ended with exit code 1; waiting for a change" in program.stderr)
        assert "LookupError: at import" in program.stderr

        agent.write("VERSION = 2\n")
        await agent.handles("evt_1", 2)
        config.write_text("nonsense: true\n", "utf-8")
        wait_until(lambda: "ended with exit code 3; waiting for a change" in program.stderr)
        config.write_text(good, "utf-8")
        await agent.handles("evt_2", 2)
        assert program.stop() == 0


def test_an_ended_reloader_leaves_no_worker(tmp_path: Path) -> None:
    """The signal reaches the worker."""
    agent = Agent(tmp_path, "")
    with agent.program as program:
        wait_until(lambda: "worker started" in program.stdout)
        children = Path(f"/proc/{program.child.pid}/task/{program.child.pid}/children")
        (worker,) = children.read_text().split() if children.exists() else [""]
        assert program.stop() == 0
    if worker:
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker), 0)
