"""Accept events over HTTP as those that come from the broker: read, matched and kept before they are answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import msgspec
import orjson

from gateway.operations.endpoint_tests import TestLimit
from gateway.operations.outbound import Refused
from gateway.outbound.accept import Acceptor, Incoming
from gateway.outbound.cloudevent import MAX_AGENT_EVENT, NotAnEvent, ReadEvent, key_of, read_agent_event
from gateway.outbound.directory import Directory
from gateway.outbound.store import Store

MAX_BATCH = 100
"""Events that may come in one list."""


class AcceptedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has become of an event.

    Attributes:
        status: `accepted` if it is kept from now on, `duplicate` if it was before, `refused` if it is not an event.
        id: The message's id, which receivers get as `webhook-id`.
        deliveries: How many endpoints get it.
        detail: Why it was refused.
    """

    status: Literal["accepted", "duplicate", "refused"]
    id: str = ""
    deliveries: int | None = None
    detail: str = ""


class WayOut:
    """The endpoints and their deliveries, as a process works with them that does not deliver.

    Args:
        store: The open store.

    Attributes:
        store: As above.
        test_limit: How often test events may be sent to endpoints.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.test_limit = TestLimit()
        self._directory = Directory(store)
        self._acceptor = Acceptor(store, self._directory, time.time)

    async def accept(self, body: bytes, tenant: str = "") -> AcceptedMessage:
        """Keep an event, with a delivery for each endpoint that wants it.

        Args:
            body: The CloudEvent in JSON.
            tenant: The only tenant that may be named; empty for any.

        Raises:
            Refused: It is not an event, or it is another tenant's.
            StoreUnavailable: It is not kept.
        """
        (incoming,) = [_read(body, tenant)]
        return (await self._keep([incoming]))[0]

    async def accept_list(self, body: bytes, tenant: str = "") -> list[AcceptedMessage]:
        """Keep a list of events, each of which has its own answer.

        Raises:
            Refused: It is not a list, or it is longer than :data:`MAX_BATCH`.
            StoreUnavailable: None of them is known to be kept.
        """
        try:
            items = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("malformed_json", f"send a list of events: {error}") from None
        if not 0 < len(items) <= MAX_BATCH:
            raise Refused("invalid_body", f"a list has 1 to {MAX_BATCH} events")
        read: list[Incoming | AcceptedMessage] = []
        for item in items:
            try:
                read.append(_read(bytes(item), tenant))
            except Refused as error:
                read.append(AcceptedMessage("refused", detail=str(error)))
        kept = iter(await self._keep([each for each in read if isinstance(each, Incoming)]))
        return [next(kept) if isinstance(each, Incoming) else each for each in read]

    async def _keep(self, events: Sequence[Incoming]) -> list[AcceptedMessage]:
        if not events:
            return []
        await self._directory.refresh()
        found = await self._acceptor.accept(events)
        return [
            AcceptedMessage("accepted" if each.is_new else "duplicate", each.message, len(each.deliveries))
            for each in found
        ]


def _read(body: bytes, tenant: str) -> Incoming:
    if len(body) > MAX_AGENT_EVENT:
        raise Refused(
            "body_too_large",
            f"an event has at most {MAX_AGENT_EVENT // 1024} KiB; send a link to what is large",
        )
    try:
        event, content = read_agent_event(body)
        if tenant:
            event, content = _of_tenant(event, content, tenant)
    except NotAnEvent as error:
        raise Refused("invalid_body", str(error)) from None
    return Incoming(event, key_of(event), content)


def _of_tenant(event: ReadEvent, body: bytes, tenant: str) -> tuple[ReadEvent, bytes]:
    """Return an event as one of a tenant, which it need not name."""
    if event.tenant == tenant:
        return event, body
    if "tenant" in orjson.loads(body):
        raise Refused("invalid_body", f"/tenant: this token publishes events of {tenant} alone")
    named = b'{"tenant":' + orjson.dumps(tenant) + b"," + body.lstrip()[1:]
    return msgspec.structs.replace(event, tenant=tenant), named
