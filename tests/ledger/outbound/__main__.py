"""Run the ledger of the way out at length."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ledger import report
from ledger.outbound.run import Plan, run
from support.postgresql_server import PostgreSQLServer
from support.rabbitmq_server import RabbitMQServer


def main(arguments: Sequence[str]) -> int:
    """Run it as the command line says; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m ledger.outbound",
        description=(
            "Deliver events of an agent to receivers that fail, kill the way out meanwhile and let its servers fail, and "
            "account for every event. Starts its own PostgreSQL and RabbitMQ on private ports."
        ),
    )
    parser.add_argument("--kills", type=int, default=300, help="kills of the way out (default: %(default)s)")
    parser.add_argument("--faults", type=int, default=40, help="faults of the servers (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10_000), help="of all choices (default: a new one)"
    )
    options = parser.parse_args(arguments)
    console = Console()
    logging.disable(logging.CRITICAL)  # a client of a broker that is being maltreated has no news
    console.print(f"seed {options.seed}; starting PostgreSQL and RabbitMQ")
    with (
        tempfile.TemporaryDirectory(prefix="ledger-") as folder,
        RabbitMQServer() as rabbitmq,
        PostgreSQLServer() as postgresql,
    ):
        database = postgresql.database_url(postgresql.create_database())
        plan = Plan(options.kills, options.faults, options.seed)
        balance = run(plan, Path(folder), rabbitmq, rabbitmq.url, postgresql, database, console.print)
    report.show(console, balance.rows)
    if not balance.is_good:
        console.print(balance.explain(), markup=False)
    return 0 if balance.is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
