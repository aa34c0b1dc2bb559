"""``gateway outbound``: run the way out by itself, see how it is, and manage its database."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import typer

from gateway.backends import open_outbound_store
from gateway.cli.common import parse_log_format, run
from gateway.cli.endpoints import ask, load_way_out, to_json
from gateway.cli.event_page import Page
from gateway.cli.metrics import serve_metrics
from gateway.cli.tables import print_table
from gateway.config import Config, load_config
from gateway.errors import OperatorError
from gateway.hosting.outbound.process import run_way_out
from gateway.hosting.session import end_on_signal
from gateway.observability.logs import configure_logs
from gateway.observability.outbound_counters import OutboundReader, outbound_counters
from gateway.observability.shared_memory import PRIVATE, SharedCounters
from gateway.observability.terminal import GREEN, YELLOW, one_line
from gateway.operations.endpoint_models import EndpointView
from gateway.operations.outbound import database_errors_told
from gateway.operations.outbound_state import OutboundState, outbound_state
from gateway.operations.wording import ago, count, span
from gateway.outbound.store.answers import Tables


def run_run(path: Path, log_format: str | None, metrics: str | None) -> None:
    """Deliver events until a signal ends it, or the configuration wants no way out any more."""
    logs = parse_log_format(log_format)

    def read() -> Config:
        return load_config(path)

    config = read()
    if not config.has_way_out:
        raise OperatorError(f"{path} has no endpoints, and outbound.enabled is not true")
    configure_logs(logs, exception_messages=config.log.exception_messages)
    counters = outbound_counters(PRIVATE)
    if metrics:
        serve_metrics(metrics, OutboundReader(counters))
    run(_deliver(config, read, counters))


async def _deliver(config: Config, read: Callable[[], Config], counters: SharedCounters) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    end_on_signal(stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    await run_way_out(config, read, counters, stop, reload)


def run_show(path: Path, *, as_json: bool) -> None:
    """Print how the way out is; exit with 1 if not all endpoints have an owner."""
    config = load_way_out(path)
    state = ask(config, lambda store: outbound_state(config, store))
    if as_json:
        typer.echo(to_json(state))
    else:
        _print(state)
    if state.shards_owned < state.shards:
        raise typer.Exit(1)


def run_migrate(path: Path, *, dry_run: bool) -> None:
    """Bring the tables to the version of this program."""
    config = load_way_out(path)
    tables = run(_tables(config, changes=not dry_run))
    if tables.found == tables.wanted:
        typer.echo(f"the tables have version {tables.found} already; nothing to do")
    elif dry_run:
        typer.echo(f"the tables have version {tables.found}; they would be migrated to {tables.wanted}")
    else:
        typer.echo(f"migrated the tables from version {tables.found} to {tables.wanted}")


def run_rekey(path: Path) -> None:
    """Encrypt with the newest key what an older one has encrypted."""
    config = load_way_out(path)
    changed = ask(config, lambda store: store.rekey())
    if changed:
        typer.echo(
            f"encrypted {count(changed, 'value')} anew; no older key of outbound.keys is needed any more"
        )
    else:
        typer.echo("everything is encrypted with the newest key; no older one is needed")


async def _tables(config: Config, *, changes: bool) -> Tables:
    store = open_outbound_store(config)
    with database_errors_told():
        try:
            return await (store.migrate() if changes else store.tables())
        finally:
            await store.stop()


def _print(state: OutboundState) -> None:
    page = Page()
    is_owned = state.shards_owned == state.shards
    mark, style = ("✓", GREEN) if is_owned else ("!", YELLOW)
    page.text(_headline(state), first=f"{page.styled(mark, style)} ", hanging=2)
    page.blank()
    page.fact("database", f"{state.database}, version {state.tables} of its tables")
    page.fact("endpoints", _counts(state.states) or "none yet")
    if state.circuits:
        page.fact("circuits", _counts(state.circuits))
    page.fact(
        "waiting", f"{state.pending:,} pending{_oldest(state)}; {state.held:,} held; {state.dead:,} dead"
    )
    if state.owners:
        page.blank()
        print_table(
            ("PROCESS", "SHARDS", "LEASE"),
            [
                (one_line(each.name), str(each.shards), f"for {span(max(each.lease_ends_at - state.at, 0))}")
                for each in state.owners
            ],
        )
    if state.in_trouble:
        page.blank()
        print_table(
            ("ENDPOINT", "STATE", "PENDING", "HELD", "DEAD"), [_row(each) for each in state.in_trouble]
        )


def _headline(state: OutboundState) -> str:
    if not state.owners:
        return "No process delivers. Start the gateway, or `gateway outbound run`."
    if state.shards_owned == state.shards:
        number = len(state.owners)
        return "One process delivers to all endpoints." if number == 1 else f"{number} processes deliver."
    return (
        f"{state.shards - state.shards_owned} of {state.shards} shards of endpoints have no owner. If this lasts longer than "
        "15 seconds, look at the logs of the processes that should deliver."
    )


def _oldest(state: OutboundState) -> str:
    if state.oldest_pending is None:
        return ""
    return (
        f", the oldest accepted {ago(state.oldest_pending, state.at)} for {one_line(state.oldest_endpoint)}"
    )


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name.replace('_', '-')}" for name, number in sorted(numbers.items()))


def _row(each: EndpointView) -> tuple[str, ...]:
    state = f"circuit {each.circuit.replace('_', '-')}" if each.state == "enabled" else each.state.value
    reason = f" ({each.reason})" if each.reason else ""
    return (one_line(each.title), state + reason, f"{each.pending:,}", f"{each.held:,}", f"{each.dead:,}")
