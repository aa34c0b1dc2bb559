"""Forget an event: in the deduplication store, so that it is accepted again, or in the journal, for requests for erasure."""

from __future__ import annotations

import asyncio

from gateway.backends import open_claims, open_journal
from gateway.claims import ClaimsUnavailable, claim_keys
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.journal import Journal
from gateway.operations.actions import Action, report_action
from gateway.transport.readiness import wait_ready

_CONNECT_TIMEOUT = 3.0
"""Seconds to wait for the deduplication store."""


async def forget_claim(config: Config, provider: str, event_id: str, *, actor: str = "") -> bool:
    """Remove an event from the deduplication store; return whether it was there.

    Raises:
        OperatorError: The store is unavailable.
    """
    claims = open_claims(config)
    await claims.start()
    try:
        await wait_ready(
            lambda: not claims.unavailable_reason, _CONNECT_TIMEOUT
        )  # a failure is reported by what follows
        was_there = any([await claims.forget(key) for key in claim_keys(provider, event_id)])
    except ClaimsUnavailable as error:
        raise OperatorError(f"the deduplication store is unavailable: {error}") from error
    finally:
        await claims.stop()
    if was_there:
        detail = "removed from the deduplication store"
        await report_action(
            config, Action.FORGOTTEN, actor=actor, routing_key=provider, event_id=event_id, detail=detail
        )
    return was_there


async def forget_texts(
    config: Config, provider: str, event_id: str, *, journal: Journal | None = None, actor: str = ""
) -> int:
    """Erase the texts of an event from the journal, and return the number of its entries.

    The entries stay, with their times and outcomes. That somebody has erased them is an entry without the event's id.

    Args:
        config: The configuration.
        provider: The provider.
        event_id: The CloudEvents id.
        journal: The journal, if the caller has it open.
        actor: Who acts; by default the system's user.

    Raises:
        OperatorError: There is no journal, or it cannot be written.
    """
    if not config.journal.enabled:
        raise OperatorError("journal.enabled is false, so that there is no journal")
    opened = None if journal else await asyncio.to_thread(open_journal, config, writable=False)
    try:
        found = journal or opened
        assert found  # noqa: S101 -- one of the two
        count = await asyncio.to_thread(found.forget, event_id, provider)
    except OSError as error:
        raise OperatorError(f"the journal cannot be written: {error}") from error
    finally:
        if opened:
            await asyncio.to_thread(opened.close)
    if count:
        detail = f"texts erased from {count} entries of the journal"
        await report_action(config, Action.FORGOTTEN, actor=actor, routing_key=provider, detail=detail)
    return count
