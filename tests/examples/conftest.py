"""A gateway for the example agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway_process import GatewayProcess, Secrets


@pytest.fixture(params=["embedded", "servers"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GatewayProcess]:
    """With everything embedded, and on RabbitMQ and Redis."""
    servers = {}
    if request.param == "servers":
        servers = {name: request.getfixturevalue(name) for name in ("redis_url", "rabbitmq_url")}
    with GatewayProcess(tmp_path, Secrets(), **servers) as process:
        yield process
