"""Fixtures for pytest, made from :mod:`gateway.testing`.

Every run of pytest in an environment with the gateway loads this module: it imports the gateway only when a fixture is
used.
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
    """Add the ini option that names a configuration file."""
    parser.addini(
        _CONFIG,
        "The gateway's configuration file with the providers for the fixtures; without it, every adapter is a provider.",
        type="string",
        default="",
    )


@pytest.fixture
def webhook_gateway(pytestconfig: pytest.Config) -> MemoryGateway:
    """Return a gateway in memory with the providers of ``webhook_config``, or else with every adapter."""
    from gateway.testing import MemoryGateway

    config = str(pytestconfig.getini(_CONFIG))
    return MemoryGateway(pytestconfig.rootpath / config if config else None)


@pytest.fixture
def webhook_sample(webhook_gateway: MemoryGateway) -> Callable[..., Event]:
    """Return a function that makes events as a worker gets them: ``webhook_sample("stripe", "invoice.paid")``."""
    return webhook_gateway.sample


@pytest.fixture
def webhook_worker(webhook_gateway: MemoryGateway) -> Callable[[Worker], MemoryWorker]:
    """Return a function that makes a worker in memory, which gets the events of ``webhook_gateway``."""
    from gateway.testing import MemoryWorker

    return lambda worker: MemoryWorker(worker, webhook_gateway)
