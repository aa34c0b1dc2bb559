"""The balance as a table on the screen and as a page in the repository."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ledger.balance import Balance, Row

_VERDICTS = {None: "", True: "kept", False: "BROKEN"}

_METHOD = """\
Providers of six kinds (Stripe, GitHub, OpenAI, Standard Webhooks, Svix, a custom one) send distinct signed events. Each is
sent until it is answered 2xx, or its provider's retry schedule is exhausted; GitHub never retries. The times between
attempts are divided by 5,000. Meanwhile faults strike the gateway, Redis, RabbitMQ, the connections to them and the
listener, at random moments and for random times; several targets may be hit at once. A consumer drains the queue that most
events are bound for, the unrouted queue and the quarantine. In the end the faults stop, leases expire, the last retries are
made, and the spool is drained; then every event is accounted for.
"""


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for row in rows:
        table.add_row(row.title, row.value, _VERDICTS[row.is_good])
    console.print(table)


def save(balance: Balance, path: Path, *, machine: Mapping[str, str], command: str) -> None:
    """Write the page; the history of the runs is the history of the file."""
    parts = [
        "# Fault-injection soak test",
        f"Written by `{command}` on {dt.datetime.now(dt.UTC):%Y-%m-%d}.",
        "\n".join(f"- {name}: {value}" for name, value in machine.items()),
        _METHOD.strip(),
        "\n".join(["| | | |", "| --- | ---: | --- |", *map(_in_markdown, balance.rows)]),
    ]
    path.write_text("\n\n".join(parts) + "\n")


def _in_markdown(row: Row) -> str:
    title = row.title.replace("  ", "&emsp;", 1)
    return f"| {title} | {row.value} | {_VERDICTS[row.is_good]} |"
