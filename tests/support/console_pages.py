"""A console with its pages over a demo day, in memory or behind a listener of its own, and stand-ins for a broker's queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from gateway.console.app import console_app
from gateway.console.pages import Pages, current, queues
from gateway.journal import JOURNAL_FOLDER
from gateway.journal.capture import CapturedRequest, CaptureRing
from gateway.journal.entry import first_id_at
from gateway.journal.fingerprints import Fingerprints
from gateway.journal.reports import Heartbeat
from gateway.operations import dead_letters, quarantine, unrouted
from gateway.operations.dead_letters import DeadGroup, DeadGroups
from gateway.operations.messages import WayOut
from gateway.operations.quarantine import Check, Proposal, QuarantineGroup, QuarantineGroups
from gateway.operations.status_models import (
    Problem,
    ProcessesStatus,
    QueueStatus,
    SpoolStatus,
    Status,
    StoreStatus,
)
from gateway.operations.unrouted import UnroutedGroup, UnroutedGroups
from gateway.outbound.store.memory import MemoryStore
from support.console import Console
from support.console_demo import PROVIDERS, DemoDay
from support.delivery_scene import DEAD_DELIVERY, FAILING_ENDPOINT, with_way_out
from support.ports import free_port
from support.waiting import wait_until

PATHS = (
    "/",
    "/events",
    "/requests",
    "/events/stripe/evt_1QxDemoStory",
    "/events/stripe/evt_1QxDemoStory?tab=payload",
    "/events/stripe/evt_1QxDemoStory?tab=related",
    "/event?id=evt_unknown",
    "/live",
    "/endpoints",
    f"/endpoints/{FAILING_ENDPOINT}",
    "/endpoints/new",
    f"/endpoints/{FAILING_ENDPOINT}/edit",
    f"/endpoints/{FAILING_ENDPOINT}/replay?states=dead",
    "/deliveries",
    "/deliveries?state=held&type=nothing",
    f"/deliveries/{DEAD_DELIVERY}",
    "/quarantine",
    "/quarantine/q1?tab=proposal",
    "/dead-letters",
    "/unrouted",
    "/refusals",
    "/providers",
    "/providers/stripe",
    "/queues",
    "/replay",
    "/jobs",
    "/settings",
    "/settings?tab=audit",
    "/settings?tab=journal",
    "/settings?tab=configuration",
    "/send",
)
"""The pages, each with an address that is the same in every test."""


@dataclass
class PagesConsole(Console):
    """A console that has its pages.

    Attributes:
        is_empty: Whether nothing has happened yet.
    """

    is_empty: bool = False

    def __post_init__(self) -> None:
        """Fill the journal with the demo day."""
        self.settings = {"providers": PROVIDERS, "outbound": {"enabled": True}, **self.settings}
        super().__post_init__()
        self.ring = CaptureRing()
        self.services.refusals = self.ring
        self.services.outbound = WayOut(MemoryStore())
        if not self.is_empty:
            self.scene = with_way_out(self, event_id="evt_1QxDemoStory")
            now = time.time()
            made = Fingerprints(self.folder / JOURNAL_FOLDER)
            current_secret, older_secret = map(made.of, PROVIDERS["stripe"]["secrets"])
            DemoDay(now, 250, (current_secret, older_secret)).fill(self.journal)
            self.refuse("stripe", "signature_mismatch", b'{"id": "evt_1", "object": "event"}\n')

    @override
    def make_app(self) -> ASGIApp:
        pages = Pages(self.services)
        return console_app(
            self.services,
            pages.routes(),
            render_login=pages.render_login,
            render_problem=pages.render_problem,
        )

    def refuse(self, provider: str, reason: str, body: bytes, path: str = "", **fields: str) -> str:
        """Keep a refused request, and return the last part of its page's address."""
        now = time.time()
        headers = [(b"Host", b"gateway.test"), (b"Content-Type", b"application/json")]
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        record = CapturedRequest(
            first_id_at(now),
            now,
            provider,
            "invalid_signature",
            reason,
            "203.0.113.0/24",
            "POST",
            path or f"/webhooks/{provider}",
            b"",
            f"https://gateway.test/webhooks/{provider}",
            headers,
            len(body),
            body,
        )
        self.ring.writer().put(record)
        return record.provider

    @contextmanager
    def served(self, port: int | None = None) -> Iterator[str]:
        """Serve it on loopback in a thread of its own, and yield its address."""
        port = port or free_port()
        config = uvicorn.Config(
            self.app, host="127.0.0.1", port=port, log_level="warning", lifespan="off", proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def heartbeat(now: float) -> Heartbeat:
    """Return what a worker says of itself."""
    return Heartbeat(
        queue="billing-agent",
        host="agent-1",
        pid=4711,
        version="0.2.0",
        at=now,
        started_at=now - 4000,
        concurrency=10,
        prefetch=20,
        in_progress=2,
        handled=10_231,
    )


def stand_in_for_queues(monkeypatch: pytest.MonkeyPatch, *, text: str = "", is_empty: bool = False) -> None:
    """Let the pages see queues with events in them, without a broker.

    Args:
        monkeypatch: Undoes it.
        text: A text for all places into which providers write.
        is_empty: Whether nothing waits.
    """
    now = time.time()
    said = text or "8 attempts failed"

    async def ask(*_: Any, **__: Any) -> Status:
        return status_of(now, is_empty=is_empty, text=text)

    async def dead(_: Any, queue: str, **__: Any) -> DeadGroups:
        group = DeadGroup(
            "a1", queue, text or "TimeoutError", text or "agent.py:41 in remind", said, (text or "stripe",),
            (text or "invoice.payment_failed",), 7, now - 86_000, now - 1300, 8, text or "evt_1QxDemo0200", text or "stripe",
        )  # fmt: skip
        return DeadGroups(queue, 0 if is_empty else 7, () if is_empty else (group,), now - 3)

    async def quarantined(*_: Any, **__: Any) -> QuarantineGroups:
        group = QuarantineGroup(
            "q1", text or "stripe", text or "invoice.paid", text or "/data/object/amount_due", text or "is not of type integer",
            said, 19, now - 70_000, now - 1200, text or "evt_1QxDemo0100",
            {text or "id": "string, 16 characters", "data": {"object": {"amount_due": "string, 5 characters"}}},
        )  # fmt: skip
        return QuarantineGroups(
            "webhooks.quarantine", 0 if is_empty else 19, () if is_empty else (group,), now - 2
        )

    async def propose(*_: Any, **__: Any) -> Proposal:
        difference = f'--- schema in force\n+++ proposal\n@@ -12,3 +12,3 @@\n-  "type": "integer"\n+  "type": ["integer", "string"]\n {text}'
        yaml = f"type: object\nproperties:\n  amount_due: {{type: [integer, string]}}\n# {text}\n"
        return Proposal(
            "stripe", "invoice.paid", "widened", 19, {}, '{"type": "object"}\n', yaml, difference, (text or "Look at some values first.",)
        )  # fmt: skip

    async def check(*_: Any, **__: Any) -> Check:
        return Check(19, 17, ((text or "evt_1QxDemo0100", said),))

    async def not_routed(*_: Any, **__: Any) -> UnroutedGroups:
        group = UnroutedGroup(
            text or "slack", text or "app_mention", 3, now - 9000, now - 200, text or "sl-0100"
        )
        return UnroutedGroups("webhooks.unrouted", 0 if is_empty else 3, () if is_empty else (group,), now)

    async def alive(*_: Any, **__: Any) -> list[Heartbeat]:
        return [] if is_empty else [heartbeat(now)]

    monkeypatch.setattr(current, "status", ask)
    monkeypatch.setattr(queues, "live_workers", alive)
    monkeypatch.setattr(dead_letters, "groups", dead)
    monkeypatch.setattr(quarantine, "groups", quarantined)
    monkeypatch.setattr(quarantine, "proposal", propose)
    monkeypatch.setattr(quarantine, "check", check)
    monkeypatch.setattr(unrouted, "groups", not_routed)


def status_of(now: float, *, is_empty: bool = False, text: str = "") -> Status:
    """Return how a gateway with RabbitMQ and Redis is, with some trouble unless nothing has happened."""
    problems = (
        Problem("warning", "queue:orders-agent", "orders-agent has no consumer, and 412 events wait. Start its worker."),
        Problem("notice", "queue:billing-agent.dead", "7 dead letters in billing-agent.dead."),
    )  # fmt: skip
    queues = (
        QueueStatus("billing-agent", "worker", 3, 2, 1, 2, now - 4),
        QueueStatus(text or "orders-agent", "worker", 412, 0, 0, 0, now - 5400, text, text),
        QueueStatus("billing-agent.dead", "dead_letters", 7, 0, 0, 0, now - 86_000),
        QueueStatus("webhooks.quarantine", "quarantine", 19, 0, 0, 0, now - 70_000),
        QueueStatus("webhooks.unrouted", "unrouted", 3, 0, 0, 0, now - 9000),
    )
    return Status(
        now,
        "All well" if is_empty else "2 things need you",
        () if is_empty else problems,
        ProcessesStatus(
            is_running=True,
            is_ready=True,
            alive=2,
            configured=2,
            restarts=0,
            checks={"rabbitmq": "ok"},
            error="",
        ),
        SpoolStatus(0, 0, 1 << 30, None, 0),
        () if is_empty else queues,
        StoreStatus("rabbitmq", is_available=True, text="RabbitMQ 4.1"),
        StoreStatus("redis", is_available=True, text="Redis 7"),
        None,
        StoreStatus("embedded", is_available=True, text="1,234 entries"),
        0.001,
    )
