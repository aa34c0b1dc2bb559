"""``gateway forget``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

from gateway.backends import open_claims
from gateway.claims import ClaimsUnavailable, claim_keys
from gateway.cli.common import find_provider, load_without_secrets, run
from gateway.config import Config
from gateway.config.resolve import adapter_of
from gateway.errors import OperatorError
from gateway.observability.logs import silence_logs

_CONNECT_WITHIN = 3.0
_POLL_EVERY = 0.02


def run_forget(path: Path, provider: str, event_id: str) -> None:
    """Forget the event, and say whether it was known."""
    silence_logs()
    config = load_without_secrets(path)
    spec = adapter_of(find_provider(config, path, provider)).spec
    if not run(_forget(config, claim_keys(provider, event_id))):
        hint = ""
        if spec.unique_within:
            hint = f"; its events are told apart by {', '.join(spec.unique_within)} too: name the event by its dedupekey"
        raise OperatorError(f"{provider} has no event {event_id!r} that is remembered; nothing changed{hint}")
    typer.echo(f"forgotten: {event_id} of {provider} is accepted again when it is sent again")


async def _forget(config: Config, keys: list[str]) -> bool:
    claims = open_claims(config)
    await claims.start()
    try:
        give_up_at = asyncio.get_running_loop().time() + _CONNECT_WITHIN
        while claims.unavailable_reason and asyncio.get_running_loop().time() < give_up_at:
            await asyncio.sleep(_POLL_EVERY)
        return any([await claims.forget(key) for key in keys])
    except ClaimsUnavailable as error:
        raise OperatorError(f"the claim store does not answer: {error}") from error
    finally:
        await claims.stop()
