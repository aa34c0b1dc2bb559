"""POST an event to the application on this machine, by the client, the formats and the signatures of all deliveries."""

from __future__ import annotations

import time
from ipaddress import IPv4Network
from urllib.parse import urlsplit

from gateway.cli.listening.memory import STANDARD, Memory
from gateway.outbound.addresses import AddressRules
from gateway.outbound.client import Client, OutboundRequest, Result
from gateway.outbound.cloudevent import NotAnEvent, read_event
from gateway.outbound.envelope import NoSuchFormat, read_original
from gateway.outbound.ids import message_id
from gateway.outbound.models import Endpoint, Format, OutboundMessage, Secret
from gateway.outbound.original import Senders
from gateway.outbound.outcomes import Outcome
from gateway.outbound.requests import RequestMaker
from gateway.signatures.secrets import SecretFormatError

_LOOPBACK = IPv4Network("127.0.0.0/8")


class LocalSender:
    """Sends to one address on this machine.

    Args:
        url: The address.
        memory: Has the secrets.
        senders: Finds the provider whose requests are made anew.
        as_sender: Whether requests are those of the provider, rather than CloudEvents signed as Standard Webhooks.
    """

    def __init__(self, url: str, memory: Memory, senders: Senders, *, as_sender: bool) -> None:
        self._url = url
        self._memory = memory
        self._senders = senders
        self._as_sender = as_sender
        port = urlsplit(url).port or 80
        self._client = Client(
            AddressRules(allow_http=True, ports=frozenset({port}), allow_networks=(_LOOPBACK,))
        )

    async def start(self) -> None:
        """Make ready to send."""
        await self._client.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self._client.stop()

    def adapter_of(self, body: bytes) -> str:
        """Return the name of the secret that an event is signed with."""
        if not self._as_sender:
            return STANDARD
        try:
            return read_original(body)[0].adapter or STANDARD
        except NoSuchFormat:
            return STANDARD

    async def send(self, key: str, body: bytes) -> Result:
        """Send an event, signed now, and return how that ended; nothing is raised."""
        try:
            request = self._request(key, body)
        except (NoSuchFormat, NotAnEvent, SecretFormatError, LookupError, ValueError) as error:
            return Result(Outcome.FORMAT, str(error))
        return await self._client.send(request)

    def _request(self, key: str, body: bytes) -> OutboundRequest:
        event, now = read_event(body), time.time()
        adapter = self.adapter_of(body)
        is_original = self._as_sender and adapter != STANDARD
        secret = Secret(id="sec_0", value=self._memory.secret_for(adapter).sender, created_at=0.0)
        endpoint = Endpoint(
            id="ep_listen",
            url=self._url,
            subscriptions=(),
            format=Format.ORIGINAL if is_original else Format.JSON,
            secrets=(secret,),
            timeout=30.0,
        )
        message = OutboundMessage(
            id=message_id(event.tenant, event.source, event.id),
            tenant=event.tenant,
            key=key,
            event_id=event.id,
            source=event.source,
            type=event.type,
            provider=event.provider,
            accepted_at=now,
            body=body,
        )
        return RequestMaker(endpoint, self._senders).make(message, now)
