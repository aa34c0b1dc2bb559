"""A gateway in memory with one provider that a test describes itself."""

from __future__ import annotations

import asyncio
import hmac
import json
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import httpx
from typing_extensions import override

from gateway.app import Gateway
from gateway.claims import claim_key
from gateway.config import Config
from gateway.events.message import Message
from gateway.events.schemas import Catalogue
from gateway.observability.tracing.spans import Spans
from gateway.publishers import PublishUnavailable
from support.door import Door
from support.spies import SECRET, SpyClaims, SpyPublisher, bundled_schemas
from support.waiting import wait_until_async


class PickyPublisher(SpyPublisher):
    """A broker that does not confirm some messages.

    Attributes:
        refused: their ids.
        gates: by the ids of messages that reach the broker only once they are set.
        bugs: by the ids of messages that end otherwise than by a refusal.
    """

    def __init__(self, events: list[str]) -> None:
        super().__init__(events)
        self.refused: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}
        self.bugs: dict[str, BaseException] = {}

    @override
    async def publish(self, message: Message) -> None:
        if gate := self.gates.get(message.message_id):
            await gate.wait()
        if bug := self.bugs.get(message.message_id):
            raise bug
        if message.message_id not in self.refused:
            await super().publish(message)
            return
        self.events.append("publish")
        await self.gate.wait()
        raise PublishUnavailable("it is refused")


class Acme:
    """A gateway whose one provider is ``acme``, of adapter hmac.

    Attributes:
        events: what was asked of the claims and the publisher.
    """

    def __init__(
        self,
        folder: Path,
        *,
        provider: dict[str, Any] | None = None,
        spans: Spans | None = None,
        **settings: Any,
    ) -> None:
        self.events: list[str] = []
        self.claims = SpyClaims(self.events)
        self.publisher = PickyPublisher(self.events)
        acme = {
            "adapter": "hmac",
            "secrets": [SECRET],
            "signature": {"header": "X-Signature"},
            "delivery_id": "header:X-Delivery",
            **(provider or {}),
        }
        config = Config.model_validate({"data_dir": str(folder), "providers": {"acme": acme}, **settings})
        with patch.object(Catalogue, "bundled", bundled_schemas):
            self.gateway = Gateway(config, folder, claims=self.claims, publisher=self.publisher, spans=spans)
        self.client = httpx.AsyncClient(transport=Door(self.gateway), base_url="http://gateway.test")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def post(
        self, body: bytes, content_type: str | None = "application/json", **headers: str
    ) -> httpx.Response:
        """Post one signed delivery."""
        fields = {"X-Signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest()}
        if content_type is not None:
            fields["Content-Type"] = content_type
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/webhooks/acme", content=body, headers=fields)

    async def post_together(self, body: bytes, number: int, **headers: str) -> httpx.Response:
        """Post one delivery, and hold all confirms until ``number`` of its events are at the broker."""
        self.publisher.gate.clear()
        before = self.events.count("publish")
        task = asyncio.create_task(self.post(body, **headers))
        await wait_until_async(lambda: self.events.count("publish") == before + number)
        self.publisher.gate.set()
        return await task

    async def publish(
        self, body: bytes, content_type: str | None = "application/json", **headers: str
    ) -> dict[str, Any]:
        """Post a delivery, and return its one event."""
        before = len(self.publisher.messages)
        answer = await self.post(body, content_type, **headers)
        assert answer.status_code == 202, answer.text
        (message,) = self.publisher.messages[before:]
        event: dict[str, Any] = json.loads(message.body)
        return event

    @property
    def published(self) -> list[str]:
        """The ids of all published messages, in order."""
        return [message.message_id for message in self.publisher.messages]

    def claim(self, event_id: str) -> bytes | None:
        """Return the value of an event's claim."""
        return self.claims.stored(claim_key("acme", event_id))

    def metric(self, sample: str) -> float:
        """Return the number behind one line of /metrics."""
        text = self.gateway.metrics.render().decode()
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(sample))
