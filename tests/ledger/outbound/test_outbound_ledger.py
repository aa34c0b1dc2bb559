"""A short run of the ledger of the way out; ``make ledger-outbound`` is the long one."""

from __future__ import annotations

from pathlib import Path

from ledger.outbound.run import Plan, run
from support.postgresql_server import PostgreSQLServer
from support.rabbitmq_server import RabbitMQServer


def test_every_delivery_is_accounted_for(
    tmp_path: Path,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
    postgresql_server: PostgreSQLServer,
    postgres_url: str,
) -> None:
    """Through kills and faults none is lost, made up, repeated without need, late, too early or out of order."""
    plan = Plan(kills=4, faults=1, seed=20_261_130)

    balance = run(plan, tmp_path, rabbitmq_server, rabbitmq_url, postgresql_server, postgres_url, print)

    assert balance.is_good, balance.explain()
