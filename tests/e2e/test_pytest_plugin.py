"""The installed gateway in somebody else's pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio
from gateway.worker import Worker

worker = Worker("agent", ["stripe.#"])
worker.on("stripe.invoice.paid")(lambda event: None)

def test_the_handler(webhook_gateway, webhook_worker):
    async def use():
        async with webhook_worker(worker) as agent:
            await webhook_gateway.send("stripe", "invoice.paid")
            await agent.drain()
            return agent.outcomes
    assert [outcome.name for outcome in asyncio.run(use())] == ["handled"]
"""


def test_pytest_has_the_fixtures_where_the_gateway_is_installed(tmp_path: Path) -> None:
    """Without being told; no warning comes of it, and `-p no:webhook_gateway` leaves them out."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "test_agent.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]

    def run(*arguments: str) -> str:
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        ).stdout

    assert "1 passed" in run()
    assert "fixture 'webhook_gateway' not found" in run("-p", "no:webhook_gateway")
