"""Signers for any bytes: the senders' own libraries sign only what is an event."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time

from hostile.wire import Text, Wire
from support import senders
from support.gateway_process import Secrets


def now() -> str:
    """The moment as senders write it."""
    return str(int(time.time()))


def _post(provider: str, body: bytes, **fields: Text) -> Wire:
    wire = Wire(f"POST /webhooks/{provider} HTTP/1.1".encode(), (), body)
    wire = wire.plus("Host", "gateway.test").plus("Content-Length", str(len(body)))
    wire = wire.plus("Content-Type", "application/json")
    for name, value in fields.items():
        wire = wire.plus(name.replace("_", "-"), value)
    return wire


def mac(key: Text, message: bytes, algorithm: str = "sha256") -> str:
    """An HMAC in hex."""
    return hmac.new(key if isinstance(key, bytes) else key.encode(), message, algorithm).hexdigest()


def acme(
    of: Secrets, body: bytes | None = None, *, moment: str | None = None, key: Text | None = None
) -> Wire:
    """An event of the sender of our own, or any bytes, signed as it signs."""
    body = senders.order() if body is None else body
    moment = now() if moment is None else moment
    digest = mac(of.acme if key is None else key, moment.encode("latin-1", "replace") + b"." + body)
    return _post("acme", body, X_Acme_Timestamp=moment, X_Acme_Signature=f"sha256={digest}")


def github(
    of: Secrets, body: bytes | None = None, *, event: str = "star", delivery: Text | None = None
) -> Wire:
    """A delivery of GitHub."""
    body = github_body() if body is None else body
    fields = {"X-GitHub-Event": event, "X-Hub-Signature-256": f"sha256={mac(of.github, body)}"}
    return _post("github", body, X_GitHub_Delivery=delivery or secrets.token_hex(16), **fields)


def github_body() -> bytes:
    """A body that the schema of ``star`` accepts, and that no other delivery has."""
    event = {
        "action": "created",
        "starred_at": "2025-01-15T12:00:00Z",
        "repository": {"id": secrets.randbits(40), "name": "r", "full_name": "o/r"},
        "sender": {"login": "ada", "id": 1},
    }
    return json.dumps(event).encode()


def stripe(
    of: Secrets,
    body: bytes | None = None,
    *,
    moment: str | None = None,
    header: str = "t={t},v1={v1}",
    key: str | None = None,
) -> Wire:
    """An event of Stripe; ``header`` says how its signature field is put together."""
    body = senders.stripe_event() if body is None else body
    moment = now() if moment is None else moment
    digest = mac(of.stripe if key is None else key, f"{moment}.".encode("latin-1", "replace") + body)
    return _post("stripe", body, Stripe_Signature=header.format(t=moment, v1=digest))


def partner(
    of: Secrets,
    body: bytes | None = None,
    *,
    moment: str | None = None,
    message_id: str | None = None,
    key: bytes | None = None,
) -> Wire:
    """An event by Standard Webhooks."""
    body = b'{"type":"user.created","timestamp":"2025-01-15T12:00:00Z","data":{}}' if body is None else body
    moment = now() if moment is None else moment
    message_id = f"msg_{secrets.token_hex(12)}" if message_id is None else message_id
    key = base64.b64decode(of.partner.removeprefix("whsec_")) if key is None else key
    message = f"{message_id}.{moment}.".encode("latin-1", "replace") + body
    digest = base64.b64encode(hmac.digest(key, message, "sha256")).decode()
    fields = {"webhook-id": message_id, "webhook-timestamp": moment, "webhook-signature": f"v1,{digest}"}
    return _post("partner", body, **fields)
