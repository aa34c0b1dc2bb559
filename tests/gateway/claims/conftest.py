"""A Redis for one test, which it may break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from support.redis_server import RedisServer
from support.requirements import require


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Start a Redis that no other test uses."""
    require("redis-server")
    with RedisServer() as server:
        yield server


@pytest.fixture
def raw(own_redis: RedisServer) -> Iterator[redis.Redis]:
    """Open a client with all permissions, to set the server up and to break it."""
    with redis.Redis.from_url(own_redis.url) as client:
        yield client
