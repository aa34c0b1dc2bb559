"""The brokers on whose queues an operator acts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.letter_queues import Broker, embedded, rabbit


@pytest.fixture(params=["embedded", "rabbitmq"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """Each of the brokers."""
    if request.param == "rabbitmq":
        async with rabbit(tmp_path, request.getfixturevalue("rabbitmq_url")) as real:
            yield real
    else:
        async with embedded(tmp_path) as ours:
            yield ours
