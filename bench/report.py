"""The numbers as a table on the screen and as a page in the repository."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Sequence

from rich.console import Console

from bench import page, samples
from bench.contenders import TITLES
from bench.grid import NOTHING, TIMES, Grid, mebibytes
from bench.measure import CONNECTIONS, CONSOLE, OPEN_LOOP_RATE, OPEN_LOOP_RATES, SIZES, Burst, Record, Scale
from bench.spool import Spooling

_TIMES_FLOOR = f"{TIMES} floor"
_PAIRED = """\
Where a cell has three numbers they are minimum, median and maximum of the rounds. A ratio to the floor is taken in
each round, because the speed of a shared machine changes from one to the next."""

RESULTS = page.RESULTS

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
    floor = next((record for record in records if record.contender.name == "floor"), None)
    found = [
        _throughput(records, floor),
        _sizes(records, floor),
        _latency(records),
        _other(records, floor),
        _memory(records),
    ]
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


def _throughput(records: Sequence[Record], floor: Record | None) -> Grid:
    rows = [
        (
            record.contender.name,
            f"{record.median(lambda burst: burst.result.rate):,.0f}",
            f"{record.median(lambda burst: burst.rate_per_core):,.0f}",
            spread([burst.cpu_per_answer for burst in record.rounds]),
            _paired(record.rounds, floor.rounds if floor else []),
            _neighbour(record, CONSOLE),
            _neighbour(record, "Redis"),
            _neighbour(record, "RabbitMQ"),
            *(f"{record.median(of):.1f}" for of in (_p50, _p99, _p999)),
        )
        for record in records
    ]
    columns = (
        "",
        "events/s",
        "per core",
        "CPU",
        _TIMES_FLOOR,
        CONSOLE,
        "Redis",
        "RabbitMQ",
        "p50",
        "p99",
        "p99.9",
    )
    title = f"{CONNECTIONS} connections, closed loop (CPU in µs per event, latency in ms)"
    return Grid(title, columns, rows, _PAIRED)


def _sizes(records: Sequence[Record], floor: Record | None) -> Grid:
    """Arrange the CPU by the size of the events, and what each further kilobyte costs."""
    rows = []
    for record in records:
        cells = []
        for size in SIZES:
            bursts = record.sized[size]
            cpu = statistics.median(burst.cpu_per_answer for burst in bursts)
            cells += [f"{cpu:,.0f}", _paired(bursts, floor.sized[size] if floor else [])]
        slopes = [slope(each) for each in (record, floor) if each]
        ratio = f"{slopes[0] / slopes[1]:.1f}" if len(slopes) > 1 else NOTHING
        rows.append((record.contender.name, *cells, f"{slopes[0]:.2f}", ratio))
    columns = [""]
    for size in SIZES:
        columns += [f"{size // 1000:,} KB", _TIMES_FLOOR]
    return Grid("Larger events (CPU in µs per event, and per KB)", [*columns, "per KB", _TIMES_FLOOR], rows)


def slope(record: Record) -> float:
    """Return the microseconds that each further kilobyte of an event costs, up to the largest size."""
    largest = statistics.median(burst.cpu_per_answer for burst in record.sized[SIZES[-1]])
    return (largest - record.cpu) / ((SIZES[-1] - samples.TEMPLATE.stat().st_size) / 1000)


def _latency(records: Sequence[Record]) -> Grid:
    rows = []
    for record in records:
        assert record.alone is not None
        bursts = [record.alone, *(record.scheduled[rate] for rate in OPEN_LOOP_RATES)]
        cells = [f"{of(burst):.2f}" for burst in bursts for of in (_p50, _p99)]
        rows.append((record.contender.name, *cells))
    columns = ["", "p50", "p99"]
    for rate in OPEN_LOOP_RATES:
        columns += [f"{rate:,.0f}/s p50", "p99"]
    return Grid("Latency in ms: one connection; fixed rates in open loop", columns, rows)


def _other(records: Sequence[Record], floor: Record | None) -> Grid:
    rows = [
        (
            record.contender.name,
            spread([burst.cpu_per_answer for burst in record.forged]),
            _paired(record.forged, floor.rounds if floor else []),
            f"{record.accepted:,}",
            NOTHING if record.lost is None else f"{record.lost:,}",
            ", ".join(f"{count:,} {what}" for what, count in record.unexpected.items()) or "none",
        )
        for record in records
    ]
    columns = ("", "CPU", _TIMES_FLOOR, "accepted", "lost", "unexpected")
    return Grid("Refusing a forgery (CPU in µs); losses", columns, rows)


def _memory(records: Sequence[Record]) -> Grid:
    rows = [
        (
            record.contender.name,
            mebibytes(record.idle_bytes),
            mebibytes(record.final_bytes),
            mebibytes(record.final_bytes - record.idle_bytes),
            mebibytes(record.largest_bytes),
            mebibytes(record.console_bytes) if record.console_bytes else NOTHING,
            f"{record.median(lambda burst: burst.redis_bytes_per_claim):.0f}"
            if record.contender.exchange
            else NOTHING,
        )
        for record in records
    ]
    columns = ("", "idle", "after", "growth", "after 1 MB", CONSOLE, "Redis")
    return Grid("Resident memory (MiB), and Redis' memory for each accepted event (bytes)", columns, rows)


def spread(values: Sequence[float]) -> str:
    """Return minimum, median and maximum as a cell; a dash if there are none."""
    if not values:
        return NOTHING
    lowest, middle, highest = min(values), statistics.median(values), max(values)
    return f"{lowest:.0f}{NOTHING}{middle:.0f}{NOTHING}{highest:.0f}"


def _paired(bursts: Sequence[Burst], floors: Sequence[Burst]) -> str:
    """Return how many times the floor's CPU of the same round it took: minimum, median and maximum."""
    pairs = zip(bursts, floors, strict=False)
    ratios = [burst.cpu_per_answer / floor.cpu_per_answer for burst, floor in pairs]
    if not ratios:
        return NOTHING
    return NOTHING.join(f"{each:.1f}" for each in (min(ratios), statistics.median(ratios), max(ratios)))


def _p50(burst: Burst) -> float:
    return burst.result.p50


def _p99(burst: Burst) -> float:
    return burst.result.p99


def _p999(burst: Burst) -> float:
    return burst.result.p999


def _neighbour(record: Record, name: str) -> str:
    if record.contender.exchange is None:
        return NOTHING
    used = record.median(lambda burst: burst.neighbour_cpu_per_answer(name))
    return f"{used:.0f}" if used else NOTHING


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
    page.refresh()


def _list(entries: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in entries.items())
