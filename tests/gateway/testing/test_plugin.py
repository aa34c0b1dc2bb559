"""The fixtures, in a project that uses them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PLUGINS = ("gateway.pytest_plugin", "pytest_asyncio.plugin", "anyio.pytest_plugin")

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
CONFIG = """
providers:
  shop: {adapter: stripe, secrets: ["${SECRET_OF_THE_SHOP}"]}
"""
TESTS = """
import pytest
from gateway.worker import Event, Worker

worker = Worker("agent", ["shop.#"])

@worker.on("shop.invoice.*")
def handle(event: Event) -> None: ...

async def use(webhook_gateway, webhook_sample, webhook_worker):
    async with webhook_worker(worker) as agent:
        outcome = await agent.deliver(webhook_sample("shop", "invoice.paid"))
        assert outcome.name == "handled"
        assert (await webhook_gateway.send("shop", "charge.refunded")).status == 202
        await agent.drain()
        assert [each.name for each in agent.outcomes] == ["handled", "unhandled"]

@pytest.mark.asyncio
async def test_in_asyncio(webhook_gateway, webhook_sample, webhook_worker):
    await use(webhook_gateway, webhook_sample, webhook_worker)

@pytest.mark.anyio
async def test_in_anyio(webhook_gateway, webhook_sample, webhook_worker):
    await use(webhook_gateway, webhook_sample, webhook_worker)

def test_without_a_loop(webhook_sample, webhook_gateway):
    assert webhook_sample("shop").provider == "shop"
    assert webhook_gateway.events == []

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def run(folder: Path) -> str:
    """Return the output of pytest in ``folder``, with the plugin loaded and warnings as errors."""
    plugins = [argument for plugin in PLUGINS for argument in ("-p", plugin)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *plugins],
        cwd=folder,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixtures_work_with_every_way_to_run_coroutines(tmp_path: Path) -> None:
    """With strict pytest-asyncio and with anyio, on the providers of a configuration without secrets."""
    (tmp_path / "pytest.ini").write_text(INI + "asyncio_mode = strict\nwebhook_config = gateway.yaml\n")
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    (tmp_path / "test_agent.py").write_text(TESTS)

    assert "3 passed" in run(tmp_path)


def test_the_plugin_loads_nothing_before_it_is_used() -> None:
    """Neither the gateway nor its dependencies: every run of pytest in the environment loads the plugin."""
    code = "import pytest, sys; before = set(sys.modules); import gateway.pytest_plugin; print(set(sys.modules) - before)"
    loaded = subprocess.check_output(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, text=True
    )

    assert set(re.findall(r"'([^']+)'", loaded)) <= {"gateway", "gateway.pytest_plugin", "__future__"}
