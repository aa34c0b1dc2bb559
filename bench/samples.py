"""The events to send: one Stripe event, with an id and a signature of its own each time."""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent / "providers/samples/stripe/payment_intent.succeeded.json"
SECRET_VARIABLE = "STRIPE_WEBHOOK_SECRET"
PATH = "/webhooks/stripe"

_ITEM = {
    "id": "li_1PqR8sT9uVwXyZ0",
    "object": "line_item",
    "amount": 129_900,
    "currency": "eur",
    "description": "One item of many, as long texts of a list are",
    "livemode": False,
    "metadata": {},
    "quantity": 3,
}
"""What large events consist of: many small objects, which cost more than one long text."""


def requests(
    template: bytes, secret: bytes, count: int, port: int, *, is_forged: bool = False
) -> list[bytes]:
    """Return `count` distinct HTTP requests; forged ones are signed with another secret.

    All of them are written before the first is sent: a generator that signs while it measures
    measures itself.
    """
    key = b"not-" + secret if is_forged else secret
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json; charset=utf-8\r\n"
    )
    now = str(int(time.time())).encode()
    written = []
    for body in bodies(template, count):
        signature = hmac.digest(key, now + b"." + body, "sha256").hex()
        written.append(
            f"{head}Content-Length: {len(body)}\r\nStripe-Signature: t={now.decode()},v1={signature}\r\n\r\n".encode()
            + body
        )
    return written


def resized(template: bytes, size: int) -> bytes:
    """Return the event with as many more items as make it about ``size`` bytes long; as it is if it is longer."""
    event = json.loads(template)
    room = size - len(json.dumps(event, separators=(",", ":")).encode()) - len(',"items":[]')
    if room <= 0:
        return template
    length = len(json.dumps(_ITEM, separators=(",", ":"))) + 1
    event["items"] = [_ITEM] * (room // length)
    return json.dumps(event, separators=(",", ":")).encode()


def bodies(template: bytes, count: int) -> Iterator[bytes]:
    """``count`` events as Stripe sends them, which differ in their ids."""
    event_id = json.loads(template)["id"].encode()
    before, _, after = template.partition(event_id)
    # As long as Stripe's own, and never the same in two runs against one Redis.
    run = secrets.token_hex(7)
    for number in range(count):
        yield b"%sevt_%s%010d%s" % (before, run.encode(), number, after)
