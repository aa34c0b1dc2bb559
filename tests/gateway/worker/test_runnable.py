"""Workers inside a program of one's own: beside other tasks, in a block, and as the whole of a script."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway.config.discovery import load_without_secrets
from gateway.errors import OperatorError
from gateway.worker import Event, Worker
from support.agents import Place
from support.gateway_process import Program, environment
from support.waiting import PATIENCE, wait_until, wait_until_async


@pytest.fixture
def config(place: Place, tmp_path: Path) -> Path:
    """Return a configuration with the backends of ``place``, whose provider's secret is not set."""
    return written(tmp_path, place)


def written(folder: Path, place: Place) -> Path:
    """Write a configuration with the backends of ``place``; return its path."""
    path = folder / "gateway.yaml"
    content = {
        "data_dir": str(place.folder),
        "rabbitmq": {"url": place.rabbitmq_url or "embedded"},
        "redis": {"url": place.redis_url or "embedded"},
        "providers": {"stripe": {"adapter": "stripe", "secrets": ["${STRIPE_WEBHOOK_SECRET}"]}},
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


class Agent:
    """A worker that notes what it handles.

    Attributes:
        worker: the worker.
        begun: the ids of the events whose handler has begun.
        done: the ids of the events whose handler has ended.
        release: set to let the handlers end.
    """

    def __init__(self, *, grace: float = 30.0, events: str = "stripe.#") -> None:
        self.worker = Worker("agent", [events], grace=grace)
        self.begun: list[str] = []
        self.done: list[str] = []
        self.release = asyncio.Event()
        self.worker.on("#")(self._handle)

    async def _handle(self, event: Event) -> None:
        self.begun.append(event.id)
        await self.release.wait()
        self.done.append(event.id)


async def declared(place: Place) -> None:
    """Declare the queue, so that what is published before the worker runs is not unrouted."""
    await place.queue_of(Agent().worker).check()


async def test_a_task_runs_a_worker_until_it_is_cancelled(place: Place, config: Path) -> None:
    """What it was handling is finished first, and is done for the next one."""
    await declared(place)
    agent = Agent()
    task = asyncio.create_task(agent.worker.run(config))
    await place.publish("evt_1")
    await wait_until_async(lambda: agent.begun)

    task.cancel()
    await asyncio.sleep(0.2)
    assert not task.done()
    agent.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert agent.done == ["evt_1"]
    other = Agent()
    other.release.set()
    async with other.worker.running(config):
        await place.publish("evt_1", "evt_2")
        await wait_until_async(lambda: other.done)
    assert other.done == ["evt_2"]


async def test_a_second_cancellation_gives_events_back_at_once(place: Place, config: Path) -> None:
    """Although the grace would be half a minute; nothing of the worker stays behind."""
    await declared(place)
    agent = Agent()
    task = asyncio.create_task(agent.worker.run(config))
    await place.publish("evt_1")
    await wait_until_async(lambda: agent.begun)

    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert agent.done == []
    agent.release.set()
    async with agent.worker.running(config):
        await wait_until_async(lambda: agent.done)
    assert agent.begun == ["evt_1", "evt_1"]


async def test_events_beyond_the_grace_return_to_the_queue(place: Place, config: Path) -> None:
    """At the end of the block."""
    await declared(place)
    agent = Agent(grace=0.1)
    async with agent.worker.running(load_without_secrets(config)):
        await place.publish("evt_1")
        await wait_until_async(lambda: agent.begun)

    agent.release.set()
    async with agent.worker.running(config):
        await wait_until_async(lambda: agent.done)
    assert agent.begun == ["evt_1", "evt_1"]


async def test_a_worker_is_a_block_with_the_configuration_of_the_environment(
    place: Place, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another, but not twice at a time."""
    monkeypatch.setenv("GATEWAY_CONFIG", str(config))
    await declared(place)
    agent = Agent()
    agent.release.set()
    for number in range(2):
        async with agent.worker as entered:
            assert entered is agent.worker
            with pytest.raises(RuntimeError, match="running already"):
                await agent.worker.__aenter__()
            await place.publish(f"evt_{number}")
            await wait_until_async(lambda: f"evt_{number}" in agent.done)  # noqa: B023 -- called at once
    assert agent.done == ["evt_0", "evt_1"]


async def test_signals_stay_with_the_program(place: Place, config: Path) -> None:
    """The loop is somebody else's, and so is its task factory."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    factory = asyncio.get_running_loop().get_task_factory()
    async with Agent().worker.running(config):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        async with Agent().worker.running(config):
            await asyncio.sleep(0.05)
    assert asyncio.get_running_loop().get_task_factory() is factory


async def test_a_worker_that_fails_cancels_its_block_and_says_why(
    rabbitmq_url: str, redis_url: str, tmp_path: Path
) -> None:
    """In one line; a block that waits for ever is not left alone."""
    place = Place(tmp_path, rabbitmq_url, redis_url)
    await place.queue_of(Worker("agent", ["github.#"])).check()
    path = written(tmp_path, place)
    was_cancelled = True

    async def wait_beside_the_worker() -> None:
        nonlocal was_cancelled
        async with Agent().worker.running(path):
            try:
                await asyncio.wait_for(asyncio.Event().wait(), PATIENCE)
            except TimeoutError:
                was_cancelled = False

    with pytest.raises(OperatorError, match="declared for other events") as raised:
        await wait_beside_the_worker()
    assert was_cancelled
    assert len(str(raised.value).splitlines()) == 1
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def test_an_error_of_the_block_is_its_own(place: Place, config: Path) -> None:
    """The worker ends, and the error is raised unchanged."""
    with pytest.raises(LookupError):
        async with Agent().worker.running(config):
            raise LookupError


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
async def test_mistakes_are_one_line_each(place: Place, config: Path, tmp_path: Path) -> None:
    """No file, no handlers, and a loop that runs already."""
    with pytest.raises(OperatorError, match="nowhere"):
        await Agent().worker.run(tmp_path / "nowhere.yaml")
    with pytest.raises(OperatorError, match="has no handlers"):
        await Worker("agent", ["#"]).run(config)
    with pytest.raises(RuntimeError, match=r"await worker\.run"):
        Agent().worker.run_sync(config)


_SCRIPT = """
    import sys
    from gateway.worker import Event, Worker

    worker = Worker("agent", ["stripe.#"])

    @worker.on("#")
    def handle(event: Event) -> None:
        print("got", event.id, flush=True)

    worker.run_sync(sys.argv[1])
    print("after", flush=True)
"""


async def test_a_script_runs_a_worker_until_a_signal(place: Place, config: Path, tmp_path: Path) -> None:
    """And continues after it."""
    await declared(place)
    script = tmp_path / "agent.py"
    script.write_text(textwrap.dedent(_SCRIPT), "utf-8")
    program = Program(tmp_path, str(config))
    program.program = (sys.executable, str(script))
    with program:
        await place.publish("evt_1")
        wait_until(lambda: "got evt_1" in program.stdout)
        assert program.stop() == 0
        assert "after" in program.stdout.splitlines()
        assert '"worker ended"' in program.stdout


def test_a_script_with_a_mistake_ends_with_one_line(tmp_path: Path) -> None:
    """And the exit code of the command."""
    script = tmp_path / "agent.py"
    script.write_text(textwrap.dedent(_SCRIPT), "utf-8")
    done = subprocess.run(
        [sys.executable, str(script), "nowhere.yaml"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere.yaml" in done.stderr


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
async def test_a_web_application_has_a_worker_for_its_lifetime(place: Place, config: Path) -> None:
    """As the page for FastAPI shows."""
    await declared(place)
    agent = Agent()
    agent.release.set()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with agent.worker.running(config):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/done")
    async def done() -> list[str]:
        return agent.done

    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as http:
        await place.publish("evt_1")
        await wait_until_async(lambda: agent.done)
        answer = await http.get("http://app/done")
    assert answer.json() == ["evt_1"]
