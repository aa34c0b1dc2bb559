"""The events: provider, bytes and signature all follow from the number of an event.

So nothing has to be remembered of an event to tell whether what arrived is what was sent.
"""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass

from support.gateway_process import Secrets

_MINUTE, _HOUR = 60.0, 3600.0
_STANDARD = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)


@dataclass(frozen=True)
class Habits:
    """How a provider sends.

    Attributes:
        name: the provider.
        retries: seconds from each attempt that failed to the next; after the last it gives up.
        patience: seconds that it waits for an answer.
    """

    name: str
    retries: tuple[float, ...]
    patience: float


STRIPE = Habits("stripe", (*(5 * _MINUTE * 2**attempt for attempt in range(9)), 29 * _HOUR), 20.0)
GITHUB = Habits("github", (), 10.0)
ACME = Habits("acme", (_HOUR,) * 24, 15.0)
OPENAI = Habits("openai", (*_STANDARD[:8], 21 * _HOUR), 15.0)
PARTNER = Habits("partner", _STANDARD, 20.0)
SVIX = Habits("svix", (*_STANDARD[:6], 10 * _HOUR), 15.0)

# As they take turns.
_MIX = (STRIPE, GITHUB, STRIPE, ACME, STRIPE, PARTNER, GITHUB, STRIPE, OPENAI, SVIX)
ROUTED = ("stripe", "github", "acme", "openai")
"""The providers that a queue is bound for; the events of the others are unrouted."""

_INVALID_EVERY = 70  # a multiple of the mix, so that it is always one of Stripe's
_PREFIXES = {
    "stripe": "evt_",
    "github": "",
    "acme": "order_",
    "openai": "wh_",
    "partner": "msg_",
    "svix": "msg_",
}
_MAX_FILLER = 1500

_STRIPE = (
    b'{ "id": "%b", "object":"event", "created": 1735689600, "type": "payout.paid",\n'
    b'  "data": {"object": %b}, "amount": 12.50, "note": "na\\u00efve \xe2\x98\x83 %b" }'
)
_PAYOUT = b'{"id": "po_1", "object": "payout", "amount": 125000, "currency": "usd"}'
_GITHUB = (
    b'{"action":"created","starred_at":"2025-01-02T03:04:05Z","repository":{"id":7,"name":"widgets",'
    b'"full_name":"acme-example/widgets"},"sender":{"login":"ada-example","id":9},"delivery":"%b","filler":"%b"}'
)
_ACME = b'{"id": "%b", "event": "order.created", "created_at": "2025-01-15T12:00:00Z", "note": "%b"}'
_STANDARD_BODY = (
    b'{"id":"%b","object":"event","type":"invoice.paid","timestamp":"2025-01-15T12:00:00Z","created_at":1735689600,'
    b'"data":{"id":"in_1","text":"%b"}}'
)
_TEMPLATES = {"github": _GITHUB, "acme": _ACME}


class Events:
    """The events of one run.

    Args:
        run: in every id, so that those of another run are recognised as foreign.
        secrets: what the senders sign with.
        port: of the gateway.
    """

    def __init__(self, run: str, secrets: Secrets, port: int) -> None:
        self._run = run
        self._keys = {name: value.encode() for name, value in vars(secrets).items()}
        for name in ("openai", "partner", "svix"):
            self._keys[name] = b64decode(self._keys[name].removeprefix(b"whsec_"))
        self._heads = {
            habits.name: (
                f"POST /webhooks/{habits.name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Content-Type: application/json\r\n"
            ).encode()
            for habits in _MIX
        }

    @staticmethod
    def habits(number: int) -> Habits:
        """Of the sender of an event."""
        return _MIX[number % len(_MIX)]

    def id(self, number: int) -> str:
        """The id under which the gateway is to publish an event."""
        return f"{_PREFIXES[self.habits(number).name]}{self._run}{number:010}"

    def number(self, event_id: str | None) -> int | None:
        """Which event has this id; None when it is none of this run."""
        digits = (event_id or "")[-10:]
        number = int(digits) if digits.isdecimal() else -1
        return number if number >= 0 and self.id(number) == event_id else None

    def body(self, number: int) -> bytes:
        """The bytes of an event; their length varies."""
        name = self.habits(number).name
        event_id, filler = self.id(number).encode(), b"x" * (number * 7919 % _MAX_FILLER)
        if name == "stripe":
            # An object must be an object: the others end in quarantine.
            content = b'"po_1"' if number % _INVALID_EVERY == 0 else _PAYOUT
            return _STRIPE % (event_id, content, filler)
        return _TEMPLATES.get(name, _STANDARD_BODY) % (event_id, filler)

    def request(self, number: int) -> bytes:
        """One attempt to deliver an event, signed now."""
        name = self.habits(number).name
        body = self.body(number)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (
            self._heads[name],
            self._signed(name, self.id(number).encode(), body),
            len(body),
            body,
        )

    def _signed(self, name: str, event_id: bytes, body: bytes) -> bytes:
        key, now = self._keys[name], b"%d" % time.time()
        if name == "github":
            return b"X-GitHub-Event: star\r\nX-GitHub-Delivery: %b\r\nX-Hub-Signature-256: sha256=%b\r\n" % (
                event_id,
                _hex(key, body),
            )
        digest = _hex(key, now + b"." + body) if name in {"stripe", "acme"} else b""
        if name == "stripe":
            return b"Stripe-Signature: t=%b,v1=%b\r\n" % (now, digest)
        if name == "acme":
            return b"X-Acme-Timestamp: %b\r\nX-Acme-Signature: sha256=%b\r\n" % (now, digest)
        prefix = b"svix-" if name == "svix" else b"webhook-"
        signature = b64encode(hmac.digest(key, b".".join((event_id, now, body)), "sha256"))
        return b"%bid: %b\r\n%btimestamp: %b\r\n%bsignature: v1,%b\r\n" % (
            *(prefix, event_id),
            *(prefix, now),
            *(prefix, signature),
        )


def _hex(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256").hex().encode()
