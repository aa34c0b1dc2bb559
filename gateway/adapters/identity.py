"""What a provider tells about a verified delivery, and the bounds that all of it is held to.

Identities become AMQP properties, a Redis key and CloudEvents attributes, so every field leaves here as
short printable text or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from gateway.signatures.extractors import INTEGER_LIMIT, text_of
from gateway.signatures.times import rfc3339_milliseconds, rfc3339_seconds

UNKNOWN_TYPE = "unknown"
"""The event type of a delivery that does not say its type, or says what is no line of text."""

MAX_ATTRIBUTE = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_UNIX_TIME = re.compile(r"[0-9]{10,13}")
_LATEST_SECONDS = 253_402_300_800  # the year 10000, beyond which datetime ends
_LATEST_PLAUSIBLE_SECONDS = 100_000_000_000  # the year 5138; larger numbers count milliseconds


@dataclass(slots=True)
class Identity:
    """What a delivery is, in the provider's own terms.

    Attributes:
        event_id: the provider's id of the event; None when it gives none that can be carried, and a digest serves.
        event_type: the provider's word, such as ``pull_request.opened``.
        is_typed: False when the delivery should have told its type and did not.
        delivery_id: the id of the delivery, where the provider tells it in a header.
        source: a URI for the CloudEvents ``source``, where the provider's own convention has one.
        time: RFC 3339, when it happened.
        subject: the resource that the event is about.
        account: the customer's account at the provider.
        actor: who caused it.
        summary: one line that says what happened.
        within: the values that the id is only unique within, as one text; empty when there are none.
        is_test: whether it is a test event, which its provider sends under one id every time.
    """

    event_id: str | None
    event_type: str
    is_typed: bool = True
    delivery_id: str | None = None
    source: str | None = None
    time: str | None = None
    subject: str | None = None
    account: str | None = None
    actor: str | None = None
    summary: str | None = None
    within: str = ""
    is_test: bool = False


def clean_event_id(value: object) -> str | None:
    """Return an event id as text that CloudEvents and AMQP can carry; None where there is none.

    They carry 1 to 255 bytes of UTF-8 without control characters; of any other text, the SHA-256 is the id. Numbers
    become text. Truth values, lists and objects name nothing.
    """
    text = value if type(value) is str else None if type(value) is bool else text_of(value)
    if not text:
        return None
    if len(text) <= MAX_ATTRIBUTE and (
        (text.isascii() and text.isprintable())
        or not (_CONTROL.search(text) or len(text.encode()) > MAX_ATTRIBUTE)
    ):
        return text
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def clean_event_type(value: object) -> str | None:
    """An event type in any alphabet as one line of at most 255 bytes of UTF-8, or None when it cannot be one."""
    text = _text(value)
    if type(text) is not str:
        return None
    if not (text.isascii() and text.isprintable()):
        text = _CONTROL.sub(" ", text)
    return text if text.strip() and len(text.encode()) <= MAX_ATTRIBUTE else None


def clean_attribute(value: object) -> str | None:
    """A string or integer as one line of at most 255 bytes of UTF-8; None for anything else."""
    if type(value) is int:
        return str(value) if abs(value) < 10**18 else None
    if type(value) is not str or not value:
        return None
    if value.isascii() and value.isprintable():
        return value[:MAX_ATTRIBUTE]
    return _CONTROL.sub("", value).encode()[:MAX_ATTRIBUTE].decode(errors="ignore") or None


def clean_time(value: object) -> str | None:
    """Unix seconds, Unix milliseconds or an ISO 8601 time with an offset, as RFC 3339 in UTC; None for others.

    Unix time may be written as a text of ten to thirteen digits, as in WhatsApp's messages.
    """
    if type(value) is str and _UNIX_TIME.fullmatch(value):
        value = int(value)
    try:
        if type(value) is str:
            # GitLab writes "2025-01-15 12:00:00 UTC".
            moment = datetime.fromisoformat(value.replace(" UTC", "Z"))
            return _rfc3339(moment.astimezone(UTC)) if moment.tzinfo else None
        if type(value) is int or type(value) is float:
            seconds = value / 1000 if value > _LATEST_PLAUSIBLE_SECONDS else value
            if not 0 < seconds < _LATEST_SECONDS:
                return None
            return rfc3339_seconds(seconds) if type(seconds) is int else rfc3339_milliseconds(seconds)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _text(value: object) -> object:
    return str(value) if type(value) is int and abs(value) < INTEGER_LIMIT else value


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
