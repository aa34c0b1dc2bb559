"""Measure floor, gateway and common recipe, then workers and other consumers, in one run."""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench import (
    attack,
    contenders,
    handling,
    journal,
    machine,
    outages,
    outbound,
    outbound_bulk,
    report,
    samples,
    spool,
)
from bench.broker import Queue
from bench.contenders import NAMES, NotInstalledError, PeerMissingError, Surroundings
from bench.grid import Grid
from bench.measure import OPEN_LOOP_RATE, Measurements, Scale
from bench.packed_claims import use_few_hashes
from bench.workers import Workers
from support.programs import ProgramMissingError
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer

_FULL = Scale(rounds=5, events=10_000, alone=2_000, scheduled=5_000, forged=10_000, handled=5_000)
_QUICK = Scale(rounds=2, events=2_000, alone=300, scheduled=1_000, forged=2_000, handled=1_000)
_SOAK_STEP = 100_000
_HASH_BITS = 8
"""The bits that choose the hash of a claim: 256 hashes, of which a round makes none anew."""

_WORKERS = "workers"
_JOURNAL = "journal"
_OUTBOUND = "outbound"
_PARTS = (*NAMES, _WORKERS, _JOURNAL, _OUTBOUND)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark as the command line says."""
    options = _parse(arguments)
    console = Console()
    base = _QUICK if options.quick else _FULL
    scale = Scale(
        rounds=options.rounds or base.rounds,
        events=options.events or base.events,
        alone=base.alone,
        scheduled=base.scheduled,
        forged=base.forged,
        handled=options.workers or base.handled,
    )
    try:
        if {"gateway", _WORKERS} & set(options.only):
            contenders.gateway_command()
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            limits = _journal(directory, options, console)  # alone, before there are servers
            limits += _outbound(directory, options, console)
            measurements, redis, rabbitmq = _prepare(stack, directory, options.only, console)
            if measurements.records:
                measurements.run(scale)
            soaks = {}
            spooling = None
            for record in measurements.records:
                if options.soak and record.contender.name == options.soak_on:
                    soaks[record.contender.name] = measurements.soak(record, options.soak, _SOAK_STEP)
                # Before the spool, which has RabbitMQ killed: its processor time is counted no more.
                if options.attack and record.contender.name == "gateway":
                    limits += attack.measure(measurements, record, scale.rounds, console.print).grids()
                if options.spool and rabbitmq and record.contender.name == "gateway":
                    spooling = spool.measure(
                        measurements, record, rabbitmq, options.spool, OPEN_LOOP_RATE, console.print
                    )
            measurements.stop()
            handlings = []
            if _WORKERS in options.only and redis and rabbitmq:
                workers = Workers(directory, redis, rabbitmq, console.print)
                handlings = workers.run(scale.rounds, scale.handled)
                limits += handling.grids(handlings, scale.handled)
            if options.faults and redis and rabbitmq:
                limits += outages.measure(measurements, redis, rabbitmq, scale.rounds, console.print).grids()
    except (NotInstalledError, ProgramMissingError) as error:
        console.print(f"[red]{error}[/red]")
        return 2

    records = measurements.records
    tables = (report.grids(records, soaks, spooling) if records else []) + limits
    servers = [record.contender.name for record in records]
    report.show(console, tables, servers)
    if records:
        console.print(f"\nThe generator used at most {report.generator_share(records):.0%} of a core.")
    if options.save:
        command = shlex.join(["python", "-m", "bench", *arguments])
        report.save(
            tables,
            names=servers,
            machine=machine.facts(),
            command=command,
            scale=scale,
            event_size=samples.TEMPLATE.stat().st_size,
        )
        console.print(f"Written to {report.RESULTS.name}")
    is_whole = not any(record.lost or record.unexpected for record in records)
    return 0 if is_whole and not any(record.wrong for record in handlings) else 1


def _journal(directory: Path, options: argparse.Namespace, console: Console) -> list[Grid]:
    if _JOURNAL not in options.only:
        return []
    return journal.measure(directory / "journal", options.journal, console.print)


def _outbound(directory: Path, options: argparse.Namespace, console: Console) -> list[Grid]:
    if _OUTBOUND not in options.only:
        return []
    part = 10 if options.quick else 1
    grids = outbound.measure(
        directory / "outbound",
        outbound.DELIVERIES // part,
        options.endpoints or outbound.ENDPOINTS // part,
        console.print,
    )
    if options.pending:
        grids += outbound_bulk.measure_pending(directory / "pending", options.pending, console.print)
    if options.attempts:
        grids += outbound_bulk.measure_lists(directory / "lists", options.attempts, console.print)
    return grids


def _prepare(
    stack: ExitStack, directory: Path, names: Sequence[str], console: Console
) -> tuple[Measurements, RedisServer | None, RabbitMQServer | None]:
    """Start the servers and the contenders; leaving `stack` ends them."""
    secret = f"whsec_{secrets.token_hex(16)}"
    surroundings = Surroundings(directory, secret)
    neighbours = {}
    redis = rabbitmq = None
    if set(names) - {"floor", _JOURNAL, _OUTBOUND}:
        console.print("starting Redis and RabbitMQ")
        redis = stack.enter_context(RedisServer())
        use_few_hashes(redis.url, _HASH_BITS)
        rabbitmq = stack.enter_context(RabbitMQServer())
        surroundings = Surroundings(directory, secret, redis.url, rabbitmq.url)
        neighbours = {"Redis": redis.pid, "RabbitMQ": rabbitmq.pid}
    queue = Queue(surroundings.rabbitmq_url)
    started = []
    for name in filter(NAMES.__contains__, names):
        console.print(f"starting {name}")
        try:
            contender = contenders.start(name, surroundings)
        except PeerMissingError as error:
            console.print(f"without {name}: {error}")
            continue
        stack.callback(contender.child.stop)
        started.append(contender)
        if contender.exchange:
            # After it is ready: the exchange is the contender's to declare.
            queue.bind(contender.exchange)
    return Measurements(started, surroundings, queue, neighbours, console.print), redis, rabbitmq


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=(
            "Compare the gateway with a server that does nothing (the floor) and with the usual recipe "
            "(FastAPI, redis-py, aio-pika, jsonschema), and its workers with plain aio-pika and FastStream. Starts its "
            "own Redis and RabbitMQ on private ports, takes a few minutes, and ends with 1 if an accepted event was "
            "lost, or one was not handled exactly once."
        ),
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=list(_PARTS),
        metavar="NAME,…",
        help=f"which of {', '.join(_PARTS)} to measure (default: all)",
    )
    parser.add_argument(
        "--rounds", type=_positive, help=f"rounds, of which the median is taken (default: {_FULL.rounds})"
    )
    parser.add_argument("--events", type=_positive, help=f"events in each round (default: {_FULL.events:,})")
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help=f"events that each consumer handles in each round (default: {_FULL.handled:,})",
    )
    parser.add_argument(
        "--journal",
        type=_positive,
        metavar="N",
        help=f"entries of the journal (default: {journal.ENTRIES:,}, or a tenth with --quick); 10000000 takes a "
        "quarter of an hour or so, and 6 GB",
    )
    parser.add_argument(
        "--endpoints",
        type=_positive,
        metavar="N",
        help=f"endpoints of the way out, of which a tenth hangs (default: {outbound.ENDPOINTS:,}, or a tenth with --quick)",
    )
    parser.add_argument(
        "--pending",
        type=_positive,
        default=0,
        metavar="N",
        help="see how soon the way out begins with N deliveries pending; 1000000 takes some minutes",
    )
    parser.add_argument(
        "--attempts",
        type=_positive,
        default=0,
        metavar="N",
        help="see how long lists of N deliveries take; 10000000 takes an hour or so, and 30 GB",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a look, not a measurement: little of everything, not saved"
    )
    parser.add_argument(
        "--soak",
        type=_positive,
        default=0,
        metavar="N",
        help=f"send N more events and note the memory every {_SOAK_STEP:,}; 1000000 takes a quarter of an hour or so",
    )
    parser.add_argument("--soak-on", choices=NAMES, help="whom to soak (default: the gateway if measured)")
    parser.add_argument(
        "--spool",
        type=_positive,
        default=0,
        metavar="N",
        help="send the gateway N more events while RabbitMQ is away, and see them drained",
    )
    parser.add_argument(
        "--attack",
        action="store_true",
        help="see what good senders of the gateway notice of 500 slow ones and 1,000 forgeries a second, and how "
        "much memory it takes under them and under 200 bodies of 1 MB; half a minute a round",
    )
    parser.add_argument(
        "--faults",
        action="store_true",
        help="see how long senders of the gateway wait while Redis or RabbitMQ is away, frozen or full, how long it "
        "takes until all is well again, and how long it takes to end; half a minute a round",
    )
    parser.add_argument(
        "--save",
        action=argparse.BooleanOptionalAction,
        help="write bench/RESULTS.md (default: when all are measured and not --quick)",
    )
    options = parser.parse_args(arguments)
    if options.journal is None:
        options.journal = journal.ENTRIES // (10 if options.quick else 1)
    if options.save is None:
        options.save = not options.quick and set(options.only) == set(_PARTS)
    for option in ("spool", "attack", "faults"):
        if getattr(options, option) and "gateway" not in options.only:
            parser.error(f"--{option} is of the gateway, but it is not among --only")
    if options.soak_on is None:
        options.soak_on = next(
            (name for name in ("gateway", "recipe", "floor") if name in options.only), None
        )
    if options.soak and options.soak_on not in options.only:
        parser.error(f"--soak-on {options.soak_on}, but it is not among --only")
    return options


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - set(_PARTS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(_PARTS)}")
    return [name for name in _PARTS if name in names]


def _positive(text: str) -> int:
    value = int(text.replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
