"""``gateway forget``: remove an event from the deduplication store, or its texts from the journal."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.cli.common import find_provider, run
from gateway.config.discovery import load_without_secrets
from gateway.config.resolve import adapter_of
from gateway.errors import OperatorError
from gateway.observability.logs import silence_logs
from gateway.operations.forget import forget_claim, forget_texts


def run_forget(path: Path, provider: str, event_id: str, *, in_journal: bool = False) -> None:
    """Remove the event.

    Raises:
        OperatorError: The event is not there, or the store or the journal is unavailable.
    """
    silence_logs()
    config = load_without_secrets(path)
    spec = adapter_of(find_provider(config, path, provider)).spec
    if in_journal:
        count = run(forget_texts(config, provider, event_id))
        if not count:
            raise OperatorError(f"{provider}: event {event_id!r} is not in the journal; nothing changed")
        entries = "1 entry" if count == 1 else f"{count:,} entries"
        typer.echo(f"erased: the texts of {provider} event {event_id} in {entries} of the journal")
        return
    if not run(forget_claim(config, provider, event_id)):
        hint = ""
        if spec.unique_within:
            hint = f"; its ids are unique only within {', '.join(spec.unique_within)}: pass the event's dedupekey as the id"
        raise OperatorError(
            f"{provider}: event {event_id!r} is not in the deduplication store; nothing changed{hint}"
        )
    typer.echo(f"forgotten: {provider} event {event_id} will be accepted if it is sent again")
