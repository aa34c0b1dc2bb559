"""Attempts on a terminal. The answer of an endpoint is untrusted text: escaped, and each line behind a mark."""

from __future__ import annotations

from gateway.cli.event_page import Page
from gateway.observability.terminal import DIM, GREEN, RED, printable
from gateway.operations.delivery_models import AttemptView
from gateway.operations.plain import iso
from gateway.outbound.outcomes import Outcome

_MAX_LINES = 20
"""Lines of an answer that are shown."""


def outcome_line(outcome: str, status: int | None, ms: float | None = None) -> str:
    """Return how an attempt ended, in a few words."""
    words = [outcome.replace("_", " ")]
    if status is not None:
        words.append(str(status))
    if ms is not None:
        words.append(f"in {ms:.0f} ms")
    return " ".join(words)


def print_attempt(page: Page, attempt: AttemptView) -> None:
    """Print an attempt: when, how it ended, its phases, and the beginning of the answer."""
    is_success = attempt.outcome == Outcome.DELIVERED
    mark = page.styled("✓" if is_success else "✗", GREEN if is_success else RED)
    kind = "test" if attempt.test else f"attempt {attempt.number}"
    ended = outcome_line(attempt.outcome, attempt.status, attempt.ms)
    page.text(f"{iso(attempt.at)}  {kind}  {ended}", first=f"{mark} ", hanging=2)
    facts = [f"{phase} {ms:.0f} ms" for phase, ms in attempt.phases.items()]
    if attempt.address:
        facts.append(f"to {attempt.address}")
    if attempt.trigger != "auto" and not attempt.test:
        facts.append(f"trigger {attempt.trigger}")
    if attempt.retry_after is not None:
        facts.append(f"asked to be spared for {attempt.retry_after:.0f} s")
    if attempt.next_at is not None:
        facts.append(f"next at {iso(attempt.next_at)}")
    page.text(", ".join(facts), first="  ", hanging=2, style=DIM)
    lines = attempt.excerpt.splitlines()
    for line in lines[:_MAX_LINES]:
        page.line(f"  {page.styled('|', DIM)} {printable(line)}")
    if len(lines) > _MAX_LINES:
        page.line(f"  {page.styled('|', DIM)} … {len(lines) - _MAX_LINES} more lines; --json has all")
