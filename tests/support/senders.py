"""Deliveries signed as providers sign them: by their own libraries if there are any."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import standardwebhooks
import svix
from stripe import WebhookSignature

from support.waiting import PATIENCE

Fields = dict[str, str]


@dataclass(frozen=True)
class Delivery:
    """One signed request.

    Attributes:
        provider: the last part of the path.
        event_id: what the gateway is to know it by.
        event_type: the sender's word for it, refined by the action where there is one.
        headers: all header fields.
        body: the bytes of the body.
    """

    provider: str
    event_id: str
    event_type: str
    headers: Fields
    body: bytes

    def on_the_wire(self) -> bytes:
        """It as a whole HTTP/1.1 request."""
        head = [
            f"POST /webhooks/{self.provider} HTTP/1.1",
            "Host: gateway.test",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*head, "", ""]).encode() + self.body

    def tampered(self) -> Delivery:
        """The same with one more blank in its body."""
        return replace(self, body=self.body + b" ")


def post(url: str, delivery: Delivery, client: httpx.Client | None = None) -> httpx.Response:
    """Send it to the gateway at ``url``."""
    target = f"{url}/webhooks/{delivery.provider}"
    if client is None:
        with httpx.Client(trust_env=False) as own:
            return post(url, delivery, own)
    return client.post(target, content=delivery.body, headers=delivery.headers, timeout=PATIENCE)


def wire(delivery: Delivery) -> bytes:
    """Return the request as it goes over the wire, for tests that send a part of it."""
    fields = {"Host": "localhost", "Content-Length": str(len(delivery.body))} | delivery.headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /webhooks/{delivery.provider} HTTP/1.1\r\n{head}\r\n".encode() + delivery.body


def stripe_signature(secret: str, body: bytes) -> str:
    """The header field that Stripe's library makes for a body, now."""
    return str(WebhookSignature.generate_signature_header(body.decode(), secret, int(time.time())))


def stripe(secret: str, body: bytes) -> Delivery:
    """Signed by Stripe's library, now."""
    event = json.loads(body)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": stripe_signature(secret, body),
    }
    return Delivery("stripe", event["id"], event["type"], headers, body)


def github(secret: str, body: bytes, event: str, delivery_id: str) -> Delivery:
    """Signed as GitHub documents it; its event names gain the action that the body has."""
    action = json.loads(body).get("action")
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery_id,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
    return Delivery("github", delivery_id, f"{event}.{action}" if action else event, headers, body)


def acme(secret: str, body: bytes) -> Delivery:
    """Signed as the configuration describes the sender of our own."""
    event = json.loads(body)
    return Delivery("acme", event["id"], event["event"], acme_headers(secret, body), body)


def acme_headers(secret: str, body: bytes) -> dict[str, str]:
    """The headers of our own sender for a body, JSON or not, now."""
    moment = str(int(time.time()))
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Acme-Timestamp": moment,
        "X-Acme-Signature": f"sha256={digest}",
    }


def standard(provider: str, secret: str, body: bytes) -> Delivery:
    """Signed by the library of Standard Webhooks."""
    return _standard(provider, "webhook-", standardwebhooks.Webhook(secret), body)


def by_svix(secret: str, body: bytes) -> Delivery:
    """Signed by the library of Svix."""
    return _standard("svix", "svix-", svix.Webhook(secret), body)


def _standard(
    provider: str, prefix: str, library: standardwebhooks.Webhook | svix.Webhook, body: bytes
) -> Delivery:
    message_id, moment = f"msg_{secrets.token_hex(12)}", int(time.time())
    headers = {
        "Content-Type": "application/json",
        f"{prefix}id": message_id,
        f"{prefix}timestamp": str(moment),
        f"{prefix}signature": library.sign(message_id, datetime.fromtimestamp(moment, UTC), body.decode()),
    }
    return Delivery(provider, message_id, json.loads(body)["type"], headers, body)


def stripe_event(event_type: str = "payout.paid", **changes: Any) -> bytes:
    """The body of a Stripe event with a new id; ``changes`` replace top-level fields."""
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "created": 1_735_689_600,
        "type": event_type,
        "livemode": False,
        "data": {
            "object": {
                "id": "po_1",
                "object": "payout",
                "amount": 125_000,
                "currency": "usd",
                "note": "naïve ☃",
            }
        },
    }
    return json.dumps(event | changes, ensure_ascii=False, indent=1).encode()


def order(event_type: str = "order.created", **changes: Any) -> bytes:
    """The body of an event of our own sender, with a new id."""
    event = {"id": uuid.uuid4().hex, "event": event_type, "created_at": "2025-01-15T12:00:00Z", "total": 4150}
    return json.dumps(event | changes).encode()


def corpus_deliveries(corpus: Path, folder: str, secret: str) -> list[Delivery]:
    """Every real delivery of a folder of the collection, signed now.

    Where the collection has an id twice, because its origin blanked it, later ones get an id of their own.
    """
    deliveries, seen = [], set()
    for entry in json.loads((corpus / folder / "index.json").read_text("utf-8"))["files"]:
        body = (corpus / folder / entry["file"]).read_bytes()
        if folder == "stripe":
            event_id = json.loads(body)["id"]
            if event_id in seen:
                body = body.replace(event_id.encode(), f"evt_{secrets.token_hex(12)}".encode())
            seen.add(event_id)
            deliveries.append(stripe(secret, body))
        else:
            headers = entry["headers"]
            deliveries.append(github(secret, body, headers["X-GitHub-Event"], headers["X-GitHub-Delivery"]))
    return deliveries


@dataclass
class RetryingSender:
    """Sends events, each until it is answered with 2xx, as a patient sender does.

    Attributes:
        url: of the gateway.
        make: makes the next event.
        senders: how many at once.
        accepted: the events that were answered with 2xx, by id.
        answers: every answer to each event, by id.
    """

    url: str
    make: Callable[[], Delivery]
    senders: int = 8
    accepted: dict[str, Delivery] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._giving_up = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(self.senders)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error:
            self.give_up()
        self.finish()

    def give_up(self) -> None:
        """Repeat nothing any more."""
        self._giving_up.set()

    def finish(self, timeout: float = PATIENCE) -> None:
        """Begin no more events, and wait until those begun are accepted."""
        self._stop.set()
        give_up_at = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
        self.give_up()
        for thread in self._threads:
            thread.join(25.0)

    def _send(self) -> None:
        with httpx.Client(trust_env=False) as client:
            while not self._stop.is_set():
                delivery = self.make()
                answers = self.answers.setdefault(delivery.event_id, [])
                while not self._giving_up.is_set():
                    try:
                        answer = post(self.url, delivery, client)
                    except httpx.TransportError as error:
                        answers.append(type(error).__name__)
                    else:
                        content = answer.json()
                        answers.append(f"{answer.status_code} {content.get('reason', content['status'])}")
                        if answer.is_success:
                            self.accepted[delivery.event_id] = delivery
                            break
                    self._giving_up.wait(0.02)
