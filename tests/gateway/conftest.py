"""Fixtures for close-up tests: gateways in memory, on the event loop that the program runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from gateway import server
from support.served import Serve, Served


def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """For what serves the loop of the program, whose transports differ in their corners from asyncio's."""
    if "serve" in item.fixturenames:
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Starts gateways; after the test each must have let go of all that it held."""
    monkeypatch.setattr(server, "settle_memory", lambda: None)  # this process has other things to do
    gateways: list[Served] = []
    async with AsyncExitStack() as stack:
        logs = stack.enter_context(capture_logs())

        async def serve(**settings: Any) -> Served:
            gateways.append(Served(tmp_path, logs, **settings))
            await stack.enter_async_context(gateways[-1])
            return gateways[-1]

        yield serve
        for each in gateways:
            await each.expect_released()
