"""A short run of the ledger test; ``make ledger`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.run import Plan, run
from ledger.single import SingleServers
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer


@pytest.mark.timeout(400)
def test_every_event_is_accounted_for(
    tmp_path: Path,
    redis_server: RedisServer,
    redis_url: str,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
) -> None:
    """Through kills and faults none is lost, swallowed, garbled or made up, and none is refused for good."""
    plan = Plan(events=20_000, faults=20, kills=10, seed=20_250_115)

    with SingleServers(redis_server, rabbitmq_server, rabbitmq_url) as servers:
        balance = run(plan, tmp_path, servers, print)

    assert balance.is_good, balance.explain()
