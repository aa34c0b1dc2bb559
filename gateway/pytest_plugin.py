"""Fixtures for pytest, of what is in :mod:`gateway.testing`.

Every pytest on a machine loads this: it imports nothing of the gateway before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gateway.testing import MemoryGateway, MemoryWorker
    from gateway.worker import Event, Worker

_CONFIG = "webhook_config"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have the ini option."""
    parser.addini(
        _CONFIG,
        "The gateway's configuration, whose providers the fixtures know; every adapter when left out.",
        type="string",
        default="",
    )


@pytest.fixture
def webhook_gateway(pytestconfig: pytest.Config) -> MemoryGateway:
    """A gateway in memory, with the providers of ``webhook_config`` or else with every adapter."""
    from gateway.testing import MemoryGateway

    config = str(pytestconfig.getini(_CONFIG))
    return MemoryGateway(pytestconfig.rootpath / config if config else None)


@pytest.fixture
def webhook_sample(webhook_gateway: MemoryGateway) -> Callable[..., Event]:
    """Makes the events that a worker gets: ``webhook_sample("stripe", "invoice.paid")``."""
    return webhook_gateway.sample


@pytest.fixture
def webhook_worker(webhook_gateway: MemoryGateway) -> Callable[[Worker], MemoryWorker]:
    """Makes workers in memory, which get the events of ``webhook_gateway`` within their ``async with`` block."""
    from gateway.testing import MemoryWorker

    return lambda worker: MemoryWorker(worker, webhook_gateway)
