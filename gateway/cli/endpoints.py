"""``gateway endpoints``: see, test, enable, disable and pause the endpoints that events are POSTed to."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson
import typer

from gateway.cli.attempt_lines import print_attempt
from gateway.cli.common import load_with_dev_secrets, run
from gateway.cli.event_page import Page
from gateway.cli.tables import print_table
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.journal.query_language import QueryError, parse_moment
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import BOLD, GREEN, RED, YELLOW, one_line, printable_json
from gateway.operations import endpoint_tests, endpoints
from gateway.operations.endpoint_models import EndpointView
from gateway.operations.outbound import Refused, opened_store
from gateway.operations.wording import ago, count, span
from gateway.outbound.models import EndpointState
from gateway.outbound.outcomes import Outcome
from gateway.outbound.store import Store

Result = TypeVar("Result")

_MARKS = {
    EndpointState.ENABLED: ("✓", GREEN),
    EndpointState.PAUSED: ("…", YELLOW),
    EndpointState.DISABLED: ("✗", RED),
}


def load_way_out(path: Path) -> Config:
    """Load the configuration for a command on endpoints or deliveries, and turn logs off.

    Raises:
        OperatorError: Nothing is delivered to endpoints with this configuration.
    """
    silence_logs()
    config, _ = load_with_dev_secrets(path)
    if not config.has_way_out:
        raise OperatorError(
            f"{path} has no endpoints; add one below `endpoints`, or set outbound.enabled to true for those of the API"
        )
    return config


def ask(config: Config, question: Callable[[Store], Awaitable[Result]]) -> Result:
    """Open the store, ask it something, and close it.

    Raises:
        OperatorError: What is asked for is not there, or the database cannot be used.
    """

    async def asked() -> Result:
        async with opened_store(config) as store:
            try:
                return await question(store)
            except Refused as error:
                waiting = sorted(set(config.endpoints) - {each.name for each, _ in await store.endpoints()})
                if error.reason != "not_found" or not waiting:
                    raise
                raise OperatorError(
                    f"{error}; no gateway has started yet with {', '.join(waiting)} of the configuration: run gateway serve"
                ) from None

    return run(asked())


def to_json(value: Any) -> str:
    """Return a value as one line of JSON, in which everything invisible is escaped."""
    return printable_json(orjson.dumps(msgspec.to_builtins(value)).decode())


def run_list(path: Path, *, as_json: bool) -> None:
    """List the endpoints."""
    config, now = load_way_out(path), time.time()
    found = ask(config, lambda store: endpoints.endpoint_views(store, now=now))
    if as_json:
        for each in found:
            typer.echo(to_json(each))
        return
    if not found:
        names = ", ".join(sorted(config.endpoints))
        typer.echo(
            f"no gateway has started yet with the endpoints of {path} ({names}): run gateway serve"
            if names
            else f"there is no endpoint yet; add one below `endpoints` in {path}, or make one in the console",
            err=True,
        )
        return
    print_table(
        ("ENDPOINT", "STATE", "PENDING", "HELD", "DEAD", "LAST RESULT", "URL"),
        [_row(each, now) for each in found],
    )


def run_show(path: Path, name: str, *, as_json: bool) -> None:
    """Show an endpoint."""
    config, now = load_way_out(path), time.time()
    _print(ask(config, lambda store: endpoints.show_endpoint(store, name, now=now)), now, as_json=as_json)


def run_test(path: Path, name: str, event_type: str, *, as_json: bool) -> None:
    """Send a test event; exit with 1 if the endpoint does not take it."""
    config = load_way_out(path)
    attempt = ask(
        config, lambda store: endpoint_tests.send_test(config, store, name, event_type, now=time.time())
    )
    if as_json:
        typer.echo(to_json(attempt))
    else:
        print_attempt(Page(), attempt)
    if attempt.outcome != Outcome.DELIVERED:
        raise typer.Exit(1)


def run_enable(path: Path, name: str, resume: str, *, is_tested: bool, as_json: bool) -> None:
    """Enable an endpoint."""
    config, now = load_way_out(path), time.time()
    try:
        since = {"all": 0.0, "none": None}[resume] if resume in {"all", "none"} else parse_moment(resume, now)
    except QueryError as error:
        raise typer.BadParameter(f"{error}; or all, or none", param_hint="--resume") from None
    view = ask(
        config,
        lambda store: endpoint_tests.enable(config, store, name, since=since, is_tested=is_tested, now=now),
    )
    _print(view, now, as_json=as_json)


def run_state(path: Path, name: str, state: str, *, as_json: bool) -> None:
    """Disable or pause an endpoint."""
    config, now = load_way_out(path), time.time()
    view = ask(config, lambda store: endpoints.set_state(store, name, EndpointState(state), now=now))
    _print(view, now, as_json=as_json)


def _row(each: EndpointView, now: float) -> tuple[str, ...]:
    state = "failing" if each.state is EndpointState.ENABLED and each.circuit == "open" else each.state.value
    numbers = (f"{each.pending:,}", f"{each.held:,}", f"{each.dead:,}")
    return (one_line(each.name or each.id), state, *numbers, _last(each, now), one_line(each.url))


def _last(each: EndpointView, now: float) -> str:
    if each.failing_since is not None:
        return f"{count(each.failures, 'failure')}, since {ago(each.failing_since, now)}"
    return "none yet" if each.succeeded_at is None else f"delivered {ago(each.succeeded_at, now)}"


def _print(each: EndpointView, now: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(to_json(each))
        return
    page = Page()
    page.line(f"{page.styled(one_line(each.title), BOLD)}  {one_line(each.id)}")
    page.text(each.description)
    mark, style = _MARKS[each.state]
    reason = f" ({each.reason})" if each.reason else ""
    page.text(
        f"{each.state.value}{reason}, {_last(each, now)}", first=f"{page.styled(mark, style)} ", hanging=2
    )
    page.blank()
    oldest = "" if each.oldest_pending is None else f", the oldest accepted {ago(each.oldest_pending, now)}"
    page.fact("url", each.url)
    page.fact("events", ", ".join(pattern for one in each.subscriptions for pattern in one.events))
    page.fact("waiting", f"{each.pending:,} pending{oldest}; {each.held:,} held; {each.dead:,} dead")
    if each.closed_until is not None and each.circuit == "open":
        page.fact("circuit", f"open, the next attempt in {span(each.closed_until - now)}")
    page.fact("format", f"{each.format.value}{f', signed as {each.sign_as}' if each.sign_as else ''}")
    if each.format != "original":
        page.fact("signature", each.signature.value)
    if each.public_key:
        page.fact("public key", each.public_key)
    if each.header_names:
        page.fact("headers", ", ".join(each.header_names))
    limit = "no limit" if each.rate is None else f"{each.rate:g} a second"
    page.fact("rate", f"{limit}, {each.concurrency} at a time, {span(each.timeout)} for each")
    if each.ordering != "none":
        page.fact("order", f"by {each.ordering}; after a dead one: {each.on_dead}")
    page.fact("tenant", each.tenant)
    for secret in each.secrets:
        ends = "" if secret.expires_at is None else f", expires in {span(max(secret.expires_at - now, 0))}"
        page.fact("secret", f"{secret.fingerprint}  {secret.id}{ends}")
    page.fact("made", "in the configuration" if each.is_configured else "through the API")
