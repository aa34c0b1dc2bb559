"""``gateway secrets``: which secrets providers sign with, and which can be removed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson
import typer

from gateway.cli.common import find_provider, load_with_dev_secrets, run
from gateway.cli.event_page import Page
from gateway.config import Config
from gateway.config.discovery import find_config
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import DIM, GREEN, RED, YELLOW, one_line
from gateway.operations.journal_reading import reading_journal
from gateway.operations.plain import plain
from gateway.operations.secrets import SecretEvidence, Verdict, is_overdue, secret_evidence
from gateway.operations.wording import ago, times

_MARKS: dict[Verdict, tuple[str, str]] = {
    "in_use": ("✓", GREEN),
    "quiet": ("…", YELLOW),
    "safe_to_remove": ("✗", RED),
    "never_used": ("-", DIM),
}


def run_secrets(path: Path, provider: str | None, *, as_json: bool) -> None:
    """Print the evidence; exit with 1 if a secret can be removed that has been configured for more than 30 days."""
    silence_logs()
    config, _ = load_with_dev_secrets(path)
    if provider is not None:
        find_provider(config, find_config(path), provider)
    now = time.time()
    evidence = run(_evidence(config, provider or "", now))
    page = Page()
    for each in evidence:
        if as_json:
            overdue = {"is_overdue": is_overdue(each, now)}
            typer.echo(orjson.dumps({**plain(each), **overdue}).decode())
        else:
            _print(page, each, now)
    if not evidence:
        typer.echo("no provider has a secret in the configuration", err=True)
    if any(is_overdue(each, now) for each in evidence):
        raise typer.Exit(1)


async def _evidence(config: Config, provider: str, now: float) -> list[SecretEvidence]:
    async with reading_journal(config) as journal:
        return await asyncio.to_thread(secret_evidence, config, journal, now=now, provider=provider)


def _print(page: Page, each: SecretEvidence, now: float) -> None:
    mark, style = _MARKS[each.verdict]
    name = f"{one_line(each.provider)}  secret {each.slot}  {each.fingerprint}"
    page.line(f"{page.styled(mark, style)} {name}")
    page.text(each.text, first="  ", hanging=2)
    known = [f"matched {times(each.last_day)} in 24 hours, {times(each.last_fortnight)} in 14 days"]
    if each.configured_at is not None:
        known.append(f"first seen {ago(each.configured_at, now)}")
    page.text(", ".join(known), first="  ", hanging=2, style=DIM)
