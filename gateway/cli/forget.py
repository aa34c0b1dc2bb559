"""``gateway forget``: remove an event from the deduplication store."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.backends import open_claims
from gateway.claims import ClaimsUnavailable, claim_keys
from gateway.cli.common import find_provider, run
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.config.resolve import adapter_of
from gateway.errors import OperatorError
from gateway.observability.logs import silence_logs
from gateway.transport.readiness import wait_ready

_CONNECT_TIMEOUT = 3.0
"""Seconds to wait for the deduplication store."""


def run_forget(path: Path, provider: str, event_id: str) -> None:
    """Remove the event.

    Raises:
        OperatorError: The event is not in the store, or the store is unavailable.
    """
    silence_logs()
    config = load_without_secrets(path)
    spec = adapter_of(find_provider(config, path, provider)).spec
    if not run(_forget(config, claim_keys(provider, event_id))):
        hint = ""
        if spec.unique_within:
            hint = f"; its ids are unique only within {', '.join(spec.unique_within)}: pass the event's dedupekey as the id"
        raise OperatorError(
            f"{provider}: event {event_id!r} is not in the deduplication store; nothing changed{hint}"
        )
    typer.echo(f"forgotten: {provider} event {event_id} will be accepted if it is sent again")


async def _forget(config: Config, keys: list[str]) -> bool:
    claims = open_claims(config)
    await claims.start()
    try:
        await wait_ready(
            lambda: not claims.unavailable_reason, _CONNECT_TIMEOUT
        )  # a failure is reported by what follows
        return any([await claims.forget(key) for key in keys])
    except ClaimsUnavailable as error:
        raise OperatorError(f"the deduplication store is unavailable: {error}") from error
    finally:
        await claims.stop()
