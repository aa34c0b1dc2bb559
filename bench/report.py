"""The numbers as a table on the screen and as a page in the repository."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.contenders import TITLES
from bench.grid import NOTHING, TIMES, Grid, mebibytes
from bench.measure import CONNECTIONS, OPEN_LOOP_RATE, Burst, Record, Scale
from bench.spool import Spooling

_TIMES_FLOOR = f"{TIMES} floor"

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"

_METHOD = """\
Every event is a distinct Stripe event of {size} bytes with a signature of its own, sent by a generator in a
process of its own over {connections} keep-alive connections, each of which sends its next request when it has
its answer. The contenders run side by side and take turns, {rounds} rounds of {events:,} events each; the table
shows medians. CPU is user plus system time of the server process, its threads and children included. It is the
figure to compare, and so are those of Redis and RabbitMQ next to it: events/s depends on what else the cores had to
do, and the generator, Redis and RabbitMQ are on the same ones. Nothing is pinned to a core: with fewer cores than
busy processes pinning would only decide who waits for whom. Redis and RabbitMQ are private instances on loopback,
Redis without persistence, RabbitMQ with two schedulers. Every message goes to a quorum queue, is confirmed,
counted, and compared with the number of accepted events.
"""


def grids(
    records: Sequence[Record], soaks: dict[str, list[tuple[int, int]]], spooling: Spooling | None
) -> list[Grid]:
    """Arrange what was measured."""
    floor = next((record.cpu for record in records if record.contender.name == "floor"), None)
    found = [_throughput(records, floor), _latency(records), _other(records, floor)]
    for name, marks in soaks.items():
        rows = [(f"{events:,}", mebibytes(size)) for events, size in marks]
        found.append(Grid(f"Soak of the {name}", ("events", "resident MiB"), rows))
    if spooling:
        found.append(_spool(spooling))
    return found


def _spool(spooling: Spooling) -> Grid:
    answers = (
        ("all connections, RabbitMQ away", spooling.accepting),
        (f"{OPEN_LOOP_RATE:.0f}/s, RabbitMQ away", spooling.scheduled),
        (f"{OPEN_LOOP_RATE:.0f}/s, while the spool is drained", spooling.beside),
    )
    rows = [
        (name, f"{result.rate:,.0f}", *(f"{each:.1f}" for each in (result.p50, result.p99, result.p999)))
        for name, result in answers
    ]
    drained = f"{spooling.drained:,} spooled events drained", f"{spooling.drained / spooling.seconds:,.0f}"
    rows.append((*drained, NOTHING, NOTHING, NOTHING))
    return Grid("Spool of the gateway (latency in ms)", ("", "events/s", "p50", "p99", "p99.9"), rows)


def _throughput(records: Sequence[Record], floor: float | None) -> Grid:
    rows = [
        (
            record.contender.name,
            f"{record.median(lambda burst: burst.result.rate):,.0f}",
            f"{record.cpu:.0f}",
            _ratio(record.cpu, floor),
            _neighbour(record, "Redis"),
            _neighbour(record, "RabbitMQ"),
            f"{record.median(lambda burst: burst.result.p50):.1f}",
            f"{record.median(lambda burst: burst.result.p99):.1f}",
            f"{record.median(lambda burst: burst.result.p999):.1f}",
        )
        for record in records
    ]
    columns = ("", "events/s", "CPU", _TIMES_FLOOR, "Redis", "RabbitMQ", "p50", "p99", "p99.9")
    return Grid(f"{CONNECTIONS} connections, closed loop (CPU in µs per event, latency in ms)", columns, rows)


def _latency(records: Sequence[Record]) -> Grid:
    rows = []
    for record in records:
        alone, scheduled = record.alone, record.scheduled
        assert alone is not None
        assert scheduled is not None
        rows.append(
            (
                record.contender.name,
                *(f"{value:.2f}" for value in (alone.result.p50, alone.result.p99)),
                *(f"{value:.2f}" for value in (scheduled.result.p99, scheduled.result.p999)),
            )
        )
    rate = f"{OPEN_LOOP_RATE:.0f}/s"
    columns = ("", "p50", "p99", f"{rate} p99", "p99.9")
    return Grid(f"Latency in ms: one connection; {rate} in open loop", columns, rows)


def _other(records: Sequence[Record], floor: float | None) -> Grid:
    rows = [
        (
            record.contender.name,
            f"{record.forged.cpu_per_answer:.0f}" if record.forged else NOTHING,
            _ratio(record.forged.cpu_per_answer, floor) if record.forged else NOTHING,
            mebibytes(record.idle_bytes),
            mebibytes(record.final_bytes),
            f"{record.accepted:,}",
            NOTHING if record.lost is None else f"{record.lost:,}",
            ", ".join(f"{count:,} {what}" for what, count in record.unexpected.items()) or "none",
        )
        for record in records
    ]
    columns = (
        "",
        "CPU",
        _TIMES_FLOOR,
        "idle",
        "after",
        "accepted",
        "lost",
        "unexpected",
    )
    return Grid("Refusing a forgery (CPU in µs); resident memory (MiB); losses", columns, rows)


def _neighbour(record: Record, name: str) -> str:
    if record.contender.exchange is None:
        return NOTHING
    return f"{record.median(lambda burst: burst.neighbour_cpu_per_answer(name)):.0f}"


def _ratio(cpu: float, floor: float | None) -> str:
    return f"{cpu / floor:.1f}" if floor else NOTHING


def generator_share(records: Sequence[Record]) -> float:
    """Return the largest share of a core that the generator used; near 1, it was the limit."""

    def share(burst: Burst) -> float:
        return burst.result.generator_cpu / burst.result.seconds

    return max(share(burst) for record in records for burst in record.rounds)


def show(console: Console, tables: Sequence[Grid], names: Sequence[str]) -> None:
    """Print the tables."""
    for grid in tables:
        console.print()
        console.print(grid.on_screen())
    console.print()
    for name in names:
        console.print(f"{name}: {TITLES[name]}")


def save(
    tables: Sequence[Grid],
    *,
    names: Sequence[str],
    machine: dict[str, str],
    command: str,
    scale: Scale,
    event_size: int,
) -> None:
    """Write the page; the history of the numbers is the history of this file."""
    now = dt.datetime.now(dt.UTC)
    method = _METHOD.format(
        size=event_size, connections=CONNECTIONS, rounds=scale.rounds, events=scale.events
    )
    parts = [
        "# Results",
        f"Written by `{command}` on {now:%Y-%m-%d}.",
        _list(machine),
        "Compared:",
        _list({name: TITLES[name] for name in names}),
        *(grid.in_markdown() for grid in tables),
        "## How it was measured",
        method.strip(),
    ]
    RESULTS.write_text("\n\n".join(parts) + "\n")


def _list(entries: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in entries.items())
