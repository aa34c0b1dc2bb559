"""The backends that workers run on in these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.agents import Place


@pytest.fixture
def servers(tmp_path: Path, rabbitmq_url: str, redis_url: str) -> Place:
    """Return RabbitMQ and Redis."""
    return Place(tmp_path / "var", rabbitmq_url, redis_url)


@pytest.fixture(params=["embedded", "servers"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return the embedded database, then RabbitMQ and Redis."""
    if request.param == "embedded":
        return Place(tmp_path / "var")
    servers: Place = request.getfixturevalue("servers")
    return servers
