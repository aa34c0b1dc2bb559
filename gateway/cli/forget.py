"""``gateway forget``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

from gateway.app import open_claims
from gateway.claims import ClaimsUnavailable, claim_key
from gateway.cli.runtime import find_provider, load_without_secrets, run
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.logs import silence_logs

_CONNECT_WITHIN = 3.0
_POLL_EVERY = 0.02


def run_forget(path: Path, provider: str, event_id: str) -> None:
    """Forget the event, and say whether it was known."""
    silence_logs()
    config = load_without_secrets(path)
    find_provider(config, path, provider)
    if not run(_forget(config, claim_key(provider, event_id))):
        raise OperatorError(f"{provider} has no event {event_id!r} that is remembered; nothing changed")
    typer.echo(f"forgotten: {event_id} of {provider} is accepted again when it is sent again")


async def _forget(config: Config, key: str) -> bool:
    claims = open_claims(config)
    await claims.start()
    try:
        give_up_at = asyncio.get_running_loop().time() + _CONNECT_WITHIN
        while claims.trouble and asyncio.get_running_loop().time() < give_up_at:
            await asyncio.sleep(_POLL_EVERY)
        return await claims.forget(key)
    except ClaimsUnavailable as error:
        raise OperatorError(f"the claim store does not answer: {error}") from error
    finally:
        await claims.stop()
