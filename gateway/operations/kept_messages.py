"""Messages: list those that are kept, show one, erase what one says."""

from __future__ import annotations

from typing import NamedTuple

from gateway.config import Config
from gateway.operations.actions import Action, report_action
from gateway.operations.delivery_models import MessageView, message_view
from gateway.operations.outbound import Refused
from gateway.outbound.models import OutboundMessage
from gateway.outbound.store import MessageFilter, MessagePlace, Store


class MessagePage(NamedTuple):
    """A page of messages.

    Attributes:
        messages: The messages, newest first, without their events.
        next: The place after which the next page begins; None if there is none.
    """

    messages: list[MessageView]
    next: MessagePlace | None


async def list_messages(
    store: Store, wanted: MessageFilter, *, after: MessagePlace | None = None, limit: int = 50
) -> MessagePage:
    """Return messages, newest first, beyond the place ``after``."""
    found = await store.list_messages(wanted, after=after, limit=limit + 1)
    page = [message_view(each, is_whole=False) for each in found[:limit]]
    is_more = len(found) > limit
    return MessagePage(page, MessagePlace(page[-1].accepted_at, page[-1].id) if is_more else None)


async def show_message(
    store: Store, message_id: str, *, is_whole: bool = False, tenant: str = ""
) -> MessageView:
    """Return a message, with its event if it is whole.

    Raises:
        Refused: There is none.
    """
    return message_view(await find_message(store, message_id, tenant), is_whole=is_whole)


async def forget_message(
    config: Config, store: Store, message_id: str, *, actor: str = "", tenant: str = ""
) -> None:
    """Erase the body and the subject of a message, and what receivers said; its history stays.

    Raises:
        Refused: There is no such message.
    """
    message = await find_message(store, message_id, tenant)
    await store.forget(message.id)
    await report_action(
        config,
        Action.FORGOTTEN,
        actor=actor,
        routing_key=message.key,
        detail="erased from the way out",
    )


async def find_message(store: Store, message_id: str, tenant: str = "") -> OutboundMessage:
    """Return a message.

    Raises:
        Refused: There is none, or it is another tenant's.
    """
    found = await store.message(message_id)
    if found is None or tenant not in {"", found.tenant}:
        raise Refused("not_found", f"there is no message {message_id!r}")
    return found
