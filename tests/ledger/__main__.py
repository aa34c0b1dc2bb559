"""Run the ledger test at length, and keep its result."""

from __future__ import annotations

import argparse
import logging
import secrets
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench import machine
from ledger import report
from ledger.clusters import ClusteredServers
from ledger.run import Plan, Servers, run
from ledger.single import SingleServers
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer

_PAGE = Path(__file__).resolve().parents[2] / "docs/explanation/fault-injection.md"


def main(arguments: Sequence[str]) -> int:
    """Run it as the command line says; 1 when a promise was broken."""
    options = _parse(arguments)
    console = Console()
    # What the consumer's library has to say about a broker that is being maltreated is no news.
    logging.disable(logging.CRITICAL)
    console.print(f"seed {options.seed}; starting {'clusters' if options.clusters else 'Redis and RabbitMQ'}")
    plan = Plan(
        options.events, options.faults, options.kills, options.seed, options.connections, options.rate
    )
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder, ExitStack() as stack:
        servers: Servers
        if options.clusters:
            servers = stack.enter_context(ClusteredServers(options.seed))
        else:
            redis, rabbitmq = stack.enter_context(RedisServer()), stack.enter_context(RabbitMQServer())
            servers = stack.enter_context(SingleServers(redis, rabbitmq, rabbitmq.url))
        balance = run(plan, Path(folder), servers, console.print)
        report.show(console, balance.rows)
        if not balance.is_good:
            console.print(balance.explain(), markup=False)
    if options.save:
        command = shlex.join(["python", "-m", "ledger", *arguments])
        report.save(balance, options.save, machine=machine.facts(), command=command)
        console.print(f"Written to {options.save}")
    return 0 if balance.is_good else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ledger",
        description=(
            "Send signed events as their providers do, with faults and kills meanwhile, and account for every event. "
            "Starts its own Redis, RabbitMQ and gateway on private ports."
        ),
    )
    parser.add_argument(
        "--events", type=_count, default=100_000, help="new events, at least (default: %(default)s)"
    )
    parser.add_argument(
        "--faults", type=_count, default=50, help="faults beside the kills, at least (default: %(default)s)"
    )
    parser.add_argument(
        "--kills", type=_count, default=30, help="kills of the gateway, at least (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10_000), help="of all choices (default: a new one)"
    )
    parser.add_argument(
        "--connections", type=_count, default=32, help="of the senders (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="new events a second (default: as many as go)"
    )
    parser.add_argument(
        "--clusters",
        action="store_true",
        help="three nodes of RabbitMQ and a Redis behind Sentinels, which are killed, frozen and restarted",
    )
    parser.add_argument(
        "--save", type=Path, nargs="?", const=_PAGE, help=f"write a page, {_PAGE.name} unless told"
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    return int(text.replace("_", ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
