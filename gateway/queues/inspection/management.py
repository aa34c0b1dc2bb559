"""The queues of RabbitMQ through its management API, which lists them and counts unacknowledged messages."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
from typing_extensions import override

from gateway.queues.inspection import TIMEOUT, FoundMessage, QueueDepth, QueueInspection, QueueMembers
from gateway.transport.amqp_nodes import BrokerNodes

_COLUMNS = "name,messages_ready,messages_unacknowledged,consumers"

_MEMBER_COLUMNS = "name,members,online,leader"

_MAX_QUEUES = 5000
"""Queues that are read from the management API."""


class ManagementInspection(QueueInspection):
    """The queues of a broker by its management API.

    Args:
        client: Calls the API.
        url: The address of the list of the queues of one virtual host.
    """

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._found: dict[str, QueueDepth] | None = None

    @override
    async def names(self) -> list[str] | None:
        return sorted(await self._all())

    @override
    async def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        found = await self._all()
        return [found[name] for name in dict.fromkeys(names) if name in found]

    @override
    async def members(self) -> list[QueueMembers] | None:
        # A classic queue is on one node only, and has none of these.
        found = [_members_of(each) for each in await self._list(_MEMBER_COLUMNS) if each.get("members")]
        return sorted(found, key=lambda queue: queue.name)

    @override
    async def find(self, provider: str, message_id: str) -> list[FoundMessage] | None:
        return None

    async def _all(self) -> dict[str, QueueDepth]:
        if self._found is None:
            depths = [_depth_of(each) for each in await self._list(_COLUMNS)]
            self._found = {depth.name: depth for depth in depths}
        return self._found

    async def _list(self, columns: str) -> list[dict[str, Any]]:
        try:
            response = await self._client.get(self._url, params={"columns": columns})
        except httpx.HTTPError as error:
            raise OSError(f"rabbitmq.management_url: {str(error) or type(error).__name__}") from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise OSError(
                "rabbitmq.management_url: the user may not use it; give the user the tag `monitoring`, or name another one "
                "in the address"
            )
        if response.status_code != httpx.codes.OK:
            raise OSError(
                f"rabbitmq.management_url: it answers {response.status_code}; is the address right?"
            )
        try:
            return [{**each, "name": str(each["name"])} for each in response.json()[:_MAX_QUEUES]]
        except (ValueError, KeyError, TypeError):
            raise OSError("rabbitmq.management_url: the answer is not a list of queues") from None


def _depth_of(queue: dict[str, Any]) -> QueueDepth:
    # A queue that has just been made has no numbers yet.
    ready, held, consumers = (int(queue.get(name) or 0) for name in _COLUMNS.split(",")[1:])
    return QueueDepth(queue["name"], ready, held, consumers=consumers)


def _members_of(queue: dict[str, Any]) -> QueueMembers:
    members, online = (tuple(map(str, queue.get(name) or ())) for name in ("members", "online"))
    return QueueMembers(queue["name"], members, online, str(queue.get("leader") or ""))


@asynccontextmanager
async def inspect_through_management(
    nodes: BrokerNodes, management_url: str
) -> AsyncIterator[ManagementInspection]:
    """Open the queues of a broker through its management API at ``management_url``.

    The user and the password are those of the broker, unless ``management_url`` names others. Nothing is sent yet.
    """
    broker, parts = nodes.first, urlsplit(management_url)
    if parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
    else:
        user, password = broker.user, broker.password
    host = parts.netloc.rpartition("@")[2]
    path = f"{parts.path.rstrip('/')}/api/queues/{quote(broker.vhost, safe='')}"
    tls = replace(broker.tls, server_name="")  # that is the name of what speaks AMQP
    verify: ssl.SSLContext | bool = tls.context() if parts.scheme == "https" else True
    async with httpx.AsyncClient(
        auth=(user, password), verify=verify, trust_env=False, timeout=TIMEOUT
    ) as client:
        yield ManagementInspection(client, urlunsplit((parts.scheme, host, path, "", "")))
