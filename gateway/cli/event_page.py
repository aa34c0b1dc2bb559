"""One event on a terminal: how it stands, its timeline and what belongs to it; and the answer if there is none."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import typer

from gateway.cli.entry_lines import MARKS, local_time
from gateway.journal.entry import Entry
from gateway.observability.terminal import BOLD, DIM, RED, has_color, is_terminal, one_line, paint
from gateway.operations.event_models import EventView, NotFound, Related, Step
from gateway.operations.wording import count, span

_STYLES = re.compile(r"\x1b\[[0-9;]*m")

_MAX_WIDTH = 110
"""Columns of the widest text: longer lines are hard to read."""

_WIDE = 60
"""Columns from which on the delays between steps have a column."""

_MAX_RELATED = 5
"""Events of the same subject, account or request that are named."""


def print_event(view: EventView, now: float) -> None:
    """Print all that is known of an event."""
    page = Page()
    named = "  ".join(filter(None, (view.provider, view.type)))
    page.line(f"{page.styled(one_line(view.event_id), BOLD)}  {one_line(named)}")
    page.text(view.summary)
    page.blank()
    mark, style = MARKS[view.tone]
    page.text(view.headline, first=f"{page.styled(mark, style)} ", hanging=2)
    page.blank()
    for step in view.steps:
        _print_step(page, step, now)
    facts = list(_facts(view))
    if facts:
        page.blank()
        for name, text in facts:
            page.fact(name, text)
    for note in view.notes:
        page.blank()
        page.text(note, first=page.styled("Note: ", DIM), hanging=6)


def _print_step(page: Page, step: Step, now: float) -> None:
    mark, style = MARKS[step.tone]
    moment = local_time(step.at, now)
    delay = (
        "" if step.delay is None else f"+{span(step.delay)}" if step.delay >= 0 else f"-{span(-step.delay)}"
    )
    if page.width >= _WIDE:
        head, indent = f"{moment}  {delay:>12}  ", len(moment) + 16
    else:
        head, indent = f"{moment} ", len(moment) + 1
    page.text(
        step.text,
        first=f"{page.styled(head, DIM)}{page.styled(mark, style)} ",
        hanging=min(indent + 2, page.width // 2),
    )
    below = min(indent + 2, page.width // 2)
    for text in (step.detail, f"trace {step.trace}" if step.trace else ""):
        page.text(text, first=" " * below, hanging=below, style=DIM)


def _facts(view: EventView) -> Iterator[tuple[str, str]]:
    for name, text in (
        ("subject", view.subject),
        ("account", view.account),
        ("queues", ", ".join(view.queues)),
    ):
        if text:
            yield name, text
    yield from _related(view.related)
    if view.other_providers:
        others = ", ".join(view.other_providers)
        yield (
            "same id",
            f"{others} has an event with this id too; see it with --provider {shlex.quote(view.other_providers[0])}",
        )
    for place in view.places[:2]:
        yield "payload", place.text


def _related(related: Related) -> Iterator[tuple[str, str]]:
    if related.request_total > 1:
        others = count(related.request_total - 1, "other event")
        yield "request", f"with {others}: {_ids(related.request)}"
    if related.subject:
        yield "same subject", _ids(related.subject)
    if related.account:
        yield "same account", _ids(related.account)


def _ids(entries: Sequence[Entry]) -> str:
    named = [f"{entry.event_id} ({entry.type})" for entry in entries[:_MAX_RELATED]]
    return ", ".join(named) + (", …" if len(entries) > _MAX_RELATED else "")


def print_missing(missing: NotFound) -> None:
    """Print what is known around an id that the journal does not have."""
    page = Page()
    page.line(page.styled(one_line(missing.event_id), BOLD))
    page.text(missing.headline, first=f"{page.styled('✗', RED)} ", hanging=2)
    page.blank()
    for sentence in missing.sentences:
        page.text(sentence, first="- ", hanging=2)
    if missing.similar:
        similar = ", ".join(f"{event_id} ({provider})" for event_id, provider in missing.similar)
        page.text(f"The journal has similar ids: {similar}.", first="- ", hanging=2)
    if missing.next_steps:
        page.blank()
        page.line(page.styled("What to do", BOLD))
        for step in missing.next_steps:
            page.text(step, first="- ", hanging=2)


class Page:
    """Standard output: wrapped and coloured on a terminal, whole lines in a pipe. All text is escaped."""

    def __init__(self) -> None:
        self._is_wrapped = is_terminal(sys.stdout)
        self._has_color = has_color(sys.stdout)
        columns = shutil.get_terminal_size().columns if self._is_wrapped else _MAX_WIDTH
        self.width = min(columns, _MAX_WIDTH)

    def styled(self, text: str, style: str) -> str:
        """Return a text in a style, if there are colours."""
        return paint(text, style) if self._has_color else text

    def blank(self) -> None:
        """Print an empty line."""
        typer.echo()

    def line(self, text: str) -> None:
        """Print a line as it is; the caller has escaped it."""
        typer.echo(text)

    def fact(self, name: str, text: str) -> None:
        """Print a name and a text in two columns."""
        indent = 14 if self.width >= _WIDE else 2
        if indent == 2:
            typer.echo(self.styled(name, DIM))
            self.text(text, first="  ", hanging=2)
        else:
            self.text(text, first=self.styled(f"{name:<14}", DIM), hanging=indent)

    def text(self, text: str, *, first: str = "", hanging: int = 0, style: str = "") -> None:
        """Print a text behind ``first``; further lines begin with ``hanging`` blanks."""
        clean = one_line(text)
        if not clean:
            return
        if not self._is_wrapped:
            typer.echo(f"{first}{clean}")
            return
        # The first line has the mark and the moment before it, which are as wide as the indent of the others or wider.
        lead = _visible(first)
        lines = textwrap.wrap(
            clean,
            max(self.width - 1, hanging + 12),
            initial_indent="\0" * lead,
            subsequent_indent=" " * hanging,
            break_on_hyphens=False,
        ) or [""]
        lines[0] = lines[0].replace("\0", "", lead)
        for number, line in enumerate(lines):
            shown = self.styled(line, style) if style else line
            typer.echo(f"{first}{shown}" if number == 0 else shown)


def _visible(text: str) -> int:
    """Return the columns of a text without the codes of its colours."""
    return len(_STYLES.sub("", text))
