"""The requests whose instructions are counted."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECRET = "whsec_0123456789abcdef0123456789abcdef"
WIDTHS = (1, 16)
"""Requests that arrive in one turn of the event loop: one under light load, many under heavy load."""

_SAMPLES = Path(__file__).resolve().parents[2] / "providers/samples"
_COMMIT_SIZE = 300


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of one kind.

    Attributes:
        name: The name in the table and in the budget.
        status: The status that each of them is answered with.
        requests: Makes requests: from which number on, how many, and at which time in Unix seconds.
        floor: The name of the case that the floor is measured with, on requests of the same size.
    """

    name: str
    status: int
    requests: Callable[[int, int, int], Iterator[bytes]]
    floor: str

    @property
    def is_floor(self) -> bool:
        """Return whether the floor is measured, and not the gateway."""
        return self.name == self.floor


def _github(body: bytes, key: str = SECRET) -> Callable[[int, int, int], Iterator[bytes]]:
    """Return a maker of signed pushes, which differ in their delivery ids."""
    signature = hmac.digest(key.encode(), body, "sha256").hex()
    fixed = json.loads((_SAMPLES / "github/_headers.json").read_bytes())
    fields = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
    before = f"POST /webhooks/github HTTP/1.1\r\nHost: hooks.example.com\r\nAccept: */*\r\n{fields}X-GitHub-Delivery: "
    after = (
        f"\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def requests(first: int, count: int, _now: int) -> Iterator[bytes]:
        for number in range(first, first + count):
            yield f"{before}72d3162e-cc78-11e3-81ab-{number:012x}{after}".encode() + body

    return requests


def _stripe(first: int, count: int, now: int) -> Iterator[bytes]:
    """Yield signed events, which differ in their ids."""
    template = (_SAMPLES / "stripe/payment_intent.succeeded.json").read_bytes()
    event_id = json.loads(template)["id"].encode()
    for number in range(first, first + count):
        body = template.replace(event_id, b"evt_%024x" % number)
        signature = hmac.digest(SECRET.encode(), b"%d." % now + body, "sha256").hex()
        yield (
            "POST /webhooks/stripe HTTP/1.1\r\nHost: hooks.example.com\r\nAccept: */*\r\nUser-Agent: Stripe/1.0\r\n"
            f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            f"Stripe-Signature: t={now},v1={signature}\r\n\r\n"
        ).encode() + body


def _push(size: int) -> bytes:
    """Return a push whose commits make it about ``size`` bytes long."""
    event = json.loads((_SAMPLES / "github/push.json").read_bytes())
    commit = event["commits"][0]
    event["commits"] = []
    while len(body := json.dumps(event, separators=(",", ":")).encode()) < size - _COMMIT_SIZE:
        event["commits"].append(commit)
    return body


def _duplicates(body: bytes) -> Callable[[int, int, int], Iterator[bytes]]:
    """Return a maker of one and the same request."""
    one = next(_github(body)(1 << 40, 1, 0))

    def requests(_first: int, count: int, _now: int) -> Iterator[bytes]:
        for _ in range(count):
            yield one

    return requests


_SMALL, _LARGE = _push(2_250), _push(20_000)

CASES = {
    case.name: case
    for case in (
        Case("floor", 202, _github(_SMALL), "floor"),
        Case("floor 20 KB", 202, _github(_LARGE), "floor 20 KB"),
        Case("accepted GitHub", 202, _github(_SMALL), "floor"),
        Case("accepted Stripe", 202, _stripe, "floor"),
        Case("accepted 20 KB", 202, _github(_LARGE), "floor 20 KB"),
        Case("forged", 401, _github(_SMALL, "another"), "floor"),
        Case("duplicate", 200, _duplicates(_SMALL), "floor"),
    )
}
"""All cases by name."""
