"""``gateway deliveries``: what was sent to endpoints, and the way to send it again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import typer

from gateway.cli.attempt_lines import outcome_line, print_attempt
from gateway.cli.endpoints import ask, load_way_out, to_json
from gateway.cli.event_page import Page
from gateway.cli.tables import print_rows
from gateway.devtools.formatting import format_count
from gateway.journal.query_language import parse_moment
from gateway.observability.terminal import BOLD, one_line
from gateway.operations import deliveries, delivery_replays
from gateway.operations.delivery_models import AttemptView, DeliveryView
from gateway.operations.delivery_replays import ReplayPlan, read_where
from gateway.operations.outbound import find_endpoint, keys_of
from gateway.operations.plain import iso
from gateway.outbound.models import DeliveryState, Operation
from gateway.outbound.store import DeliveryFilter, Store

_PAGE = 250
"""Deliveries that are read at a time."""


class Conditions(NamedTuple):
    """Which deliveries, as the options say it.

    Attributes:
        endpoint: The endpoint's id or name; None for all.
        states: The names of states; none for all.
        pattern: A pattern of routing keys; None for all.
        event_id: The event's id; None for all.
        since: When they were accepted at the earliest; None for no limit.
        until: Before when they were accepted; None for no limit.
    """

    endpoint: str | None
    states: list[str]
    pattern: str | None
    event_id: str | None
    since: str | None
    until: str | None


class ReplayOptions(NamedTuple):
    """How a replay is made.

    Attributes:
        where: Conditions on the events as JSON, alternatives; none for all.
        limit: The most deliveries; None for all.
        rate: Deliveries that become due in a second.
        as_new: Whether the receiver gets new ids.
        dry_run: Whether the deliveries are only to be counted.
    """

    where: list[str]
    limit: int | None
    rate: float
    as_new: bool
    dry_run: bool


def run_list(path: Path, conditions: Conditions, limit: int, *, as_json: bool) -> None:
    """List deliveries, newest first."""
    config = load_way_out(path)
    wanted = _filter(conditions)

    async def read(store: Store) -> list[DeliveryView]:
        chosen = wanted
        if conditions.endpoint:
            endpoint, _ = await find_endpoint(store, conditions.endpoint)
            chosen = wanted._replace(endpoint=endpoint.id)
        found: list[DeliveryView] = []
        after = ""
        while len(found) < limit:
            page = await deliveries.list_deliveries(
                store, chosen, after=after, limit=min(_PAGE, limit - len(found))
            )
            found += page.deliveries
            after = page.next
            if not after:
                break
        return found

    found = ask(config, read)
    if as_json:
        for each in found:
            typer.echo(to_json(each))
        return
    if not found:
        typer.echo("no delivery matches", err=True)
        return
    print_rows(
        ("DELIVERY", "ACCEPTED", "STATE", "ENDPOINT", "LAST RESULT", "EVENT"), [_row(each) for each in found]
    )


def run_show(path: Path, delivery_id: str, *, as_json: bool) -> None:
    """Show a delivery with its attempts."""
    config = load_way_out(path)

    async def read(store: Store) -> tuple[DeliveryView, list[AttemptView]]:
        view = await deliveries.show_delivery(store, delivery_id)
        return view, await deliveries.attempts_of(store, delivery_id)

    view, attempts = ask(config, read)
    if as_json:
        typer.echo(to_json({**msgspec.to_builtins(view), "attempt_list": msgspec.to_builtins(attempts)}))
        return
    page = Page()
    page.line(
        f"{page.styled(one_line(view.id), BOLD)}  {one_line(view.type)} to {one_line(_endpoint_of(view))}"
    )
    page.text(_state(view))
    page.blank()
    page.fact("event", view.event_id or "forgotten")
    page.fact("webhook-id", view.webhook_id)
    page.fact("accepted", iso(view.created_at))
    if view.operation:
        page.fact("replay", view.operation)
    for attempt in attempts:
        page.blank()
        print_attempt(page, attempt)


def run_redeliver(path: Path, delivery_id: str, *, retries: bool, as_json: bool) -> None:
    """Begin a new round of attempts."""
    config = load_way_out(path)
    view = ask(config, lambda store: deliveries.redeliver(config, store, delivery_id, retries=retries))
    if as_json:
        typer.echo(to_json(view))
    else:
        once = "" if retries else ", for one attempt"
        typer.echo(f"{one_line(view.id)} is due now{once}, to {one_line(_endpoint_of(view))}")


def run_replay(path: Path, conditions: Conditions, options: ReplayOptions, *, as_json: bool) -> None:
    """Begin a new round of many deliveries, or count them."""
    config, endpoint = load_way_out(path), conditions.endpoint or ""
    where = [each for text in options.where for each in read_where(text)]
    plan = ReplayPlan(_filter(conditions), where, options.limit, options.rate, options.as_new)
    if options.dry_run:
        number = ask(config, lambda store: delivery_replays.count_replay(store, endpoint, plan))
        text = f"{_count(number)} would begin anew"
        typer.echo(to_json({"count": number}) if as_json else text)
        return
    operation: Operation = ask(
        config,
        lambda store: delivery_replays.replay(config, store, endpoint, plan, now=time.time()),
    )
    if as_json:
        typer.echo(to_json(operation))
    else:
        typer.echo(f"{_count(operation.total)} begin anew: {operation.id}")


def _filter(conditions: Conditions) -> DeliveryFilter:
    now = time.time()
    return DeliveryFilter(
        event_id=conditions.event_id or "",
        states=tuple(map(_state_of, conditions.states)),
        keys=keys_of(conditions.pattern),
        since=parse_moment(conditions.since, now) if conditions.since else None,
        until=parse_moment(conditions.until, now) if conditions.until else None,
    )


def _state_of(text: str) -> DeliveryState:
    try:
        return DeliveryState(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a state; there are {', '.join(DeliveryState)}", param_hint="--state"
        ) from None


def _row(view: DeliveryView) -> tuple[str, ...]:
    last = outcome_line(view.outcome, view.status) if view.outcome else "none yet"
    event = f"{view.type} {view.event_id}" if view.type else "forgotten"
    return (
        view.id,
        iso(view.created_at),
        view.state.value,
        one_line(_endpoint_of(view)),
        last,
        one_line(event),
    )


def _state(view: DeliveryView) -> str:
    tried = f", {format_count(view.attempts, 'failed attempt')} in this round" if view.attempts else ""
    due = f", due {iso(view.due_at)}" if view.state is DeliveryState.PENDING else ""
    ended = f" at {iso(view.ended_at)}" if view.ended_at is not None else ""
    return f"{view.state.value}{ended}{due}{tried}"


def _endpoint_of(view: DeliveryView) -> str:
    return view.endpoint_title or view.endpoint


def _count(number: int) -> str:
    return f"{number:,} {'delivery' if number == 1 else 'deliveries'}"
