"""Where workers run in these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.agents import Place


@pytest.fixture(params=["embedded", "servers"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The embedded database, or RabbitMQ and Redis."""
    if request.param == "embedded":
        return Place(tmp_path / "var")
    return Place(
        tmp_path / "var", request.getfixturevalue("rabbitmq_url"), request.getfixturevalue("redis_url")
    )
