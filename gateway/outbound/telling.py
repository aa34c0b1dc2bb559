"""What the gateway itself tells the owners of endpoints: as events, to their other endpoints that subscribe to them.

A notice says what happened to an endpoint or a delivery, by ids and words. It has no URL, and nothing of an event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.outbound.accept import Acceptor, Incoming
from gateway.outbound.cloudevent import read_event
from gateway.outbound.directory import NOTICES
from gateway.outbound.models import Delivery, Endpoint, OutboundMessage
from gateway.outbound.notices import DISABLE_AFTER, Notice

OPERATOR = "operator"
"""The tenant that gets the notices about all tenants."""

_SOURCE = "/gateway"


class Notices:
    """Tells owners of endpoints what happened.

    Args:
        acceptor: Accepts notices as it accepts all events.
    """

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor

    async def endpoint(self, endpoint: Endpoint, notice: Notice, reason: str, since: float) -> None:
        """Tell what holds of an endpoint since a moment, once.

        Raises:
            StoreUnavailable: It could not be kept.
        """
        data = {
            "endpoint_id": endpoint.id,
            "name": endpoint.name,
            "tenant": endpoint.tenant,
            "since": _time(since),
        }
        if notice is Notice.WARNING:
            data["disabled_at"] = _time(since + DISABLE_AFTER)
        if reason:
            data["reason"] = reason
        await self._tell(endpoint, notice.event_type, f"{endpoint.id}:{notice}:{since:.3f}", since, data)

    async def dead(
        self, endpoint: Endpoint, message: OutboundMessage, delivery: Delivery, now: float
    ) -> None:
        """Tell that a delivery is dead. There is no notice about a notice: two endpoints could go on for ever.

        Raises:
            StoreUnavailable: It could not be kept.
        """
        if message.key.startswith(NOTICES):
            return
        data: dict[str, Any] = {
            "delivery_id": delivery.id,
            "endpoint_id": endpoint.id,
            "message_id": message.id,
            "event_id": message.event_id,
            "type": message.type,
            "outcome": delivery.outcome,
            "attempts": delivery.made,
        }
        if delivery.status is not None:
            data["status"] = delivery.status
        await self._tell(endpoint, "gateway.delivery.dead", f"{delivery.id}:{delivery.round}", now, data)

    async def _tell(
        self, endpoint: Endpoint, kind: str, notice_id: str, at: float, data: dict[str, Any]
    ) -> None:
        incoming = []
        for tenant in dict.fromkeys((endpoint.tenant, OPERATOR)):
            body = msgspec.json.encode(
                {
                    "specversion": "1.0",
                    "id": notice_id,
                    "source": _SOURCE,
                    "type": kind,
                    "time": _time(at),
                    "subject": endpoint.id,
                    "tenant": tenant,
                    "data": data,
                }
            )
            incoming.append(Incoming(read_event(body), kind, body, keeps_unwanted=False, without=endpoint.id))
        await self._acceptor.accept(incoming)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
