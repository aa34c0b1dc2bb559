"""The identity of a verified event, and the limits of its fields.

Identities become AMQP properties, a Redis key and CloudEvents attributes, so that every field is short printable text or
absent.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from gateway.signatures.extractors import INTEGER_LIMIT, text_of
from gateway.signatures.times import rfc3339_milliseconds, rfc3339_seconds

UNKNOWN_TYPE = "unknown"
"""The event type of an event that has none, or whose type is not a line of text."""

MAX_ATTRIBUTE = 255
"""Maximum bytes of an attribute, as of a short string in AMQP 0-9-1."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z")
_RFC3339_LENGTH = len("2026-01-31T12:00:00Z")
_UNIX_TIME = re.compile(r"[0-9]{10,13}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_OF_A_DAY = 86_400
_END_OF_DATETIME = 253_402_300_800
"""Unix seconds of the year 10000, where datetime ends."""

_MAX_SECONDS = 100_000_000_000
"""Unix seconds of the year 5138. Larger numbers count milliseconds."""


class Identity(msgspec.Struct):
    """The identity of an event, in the provider's own terms.

    Attributes:
        event_id: the provider's id of the event; None if there is none, so that a digest identifies the event.
        event_type: the provider's word, such as ``pull_request.opened``.
        is_typed: whether the event has the type that its provider should send.
        delivery_id: the id of the attempt, if the provider sends one.
        source: a URI for the CloudEvents ``source``, if the provider's own convention has one.
        time: when it happened, in RFC 3339.
        subject: the resource that the event is about.
        account: the customer's account at the provider.
        actor: who caused the event.
        summary: one line that says what happened.
        within: the values within which the id is unique, as one text; empty if the id is unique by itself.
        is_test: whether it is a test event, which its provider always sends under the same id.
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
    """Return an event id as text that CloudEvents and AMQP can carry, or None if there is no id.

    They carry 1 to 255 bytes of UTF-8 without control characters; any other text is replaced by its SHA-256. Numbers become
    text. Booleans, lists and objects are no ids.
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
    """Return an event type as one line of at most 255 bytes of UTF-8, or None if that is impossible."""
    text = str(value) if type(value) is int and abs(value) < INTEGER_LIMIT else value
    if type(text) is not str or not text.strip():
        return None
    if text.isascii() and text.isprintable():
        return text if len(text) <= MAX_ATTRIBUTE else None
    text = _CONTROL.sub(" ", text)
    return text if text.strip() and len(text.encode()) <= MAX_ATTRIBUTE else None


def clean_attribute(value: object) -> str | None:
    """Return a string or integer as one line of at most 255 bytes of UTF-8; None for anything else."""
    if type(value) is not str:
        return str(value) if type(value) is int and abs(value) < 10**18 else None
    if value.isascii() and value.isprintable():
        return value[:MAX_ATTRIBUTE] or None
    return _CONTROL.sub("", value).encode()[:MAX_ATTRIBUTE].decode(errors="ignore") or None


def clean_time(value: object) -> str | None:
    """Return a time as RFC 3339 in UTC; None for anything that is not a time.

    Accepted are Unix seconds and milliseconds, also as a string of ten to thirteen digits (WhatsApp), and ISO 8601 with an
    offset.
    """
    if type(value) is str and _UNIX_TIME.fullmatch(value):
        value = int(value)
    try:
        if type(value) is str:
            if len(value) == _RFC3339_LENGTH and _RFC3339.fullmatch(value):  # as most providers write it
                datetime.fromisoformat(value)
                return value
            # GitLab writes "2025-01-15 12:00:00 UTC".
            moment = datetime.fromisoformat(value.replace(" UTC", "Z"))
            return _rfc3339(moment) if moment.tzinfo else None
        if type(value) is int or type(value) is float:
            seconds = value / 1000 if value > _MAX_SECONDS else value
            if not 0 < seconds < _END_OF_DATETIME:
                return None
            return rfc3339_seconds(seconds) if type(seconds) is int else rfc3339_milliseconds(seconds)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _rfc3339(moment: datetime) -> str:
    elapsed = moment - _EPOCH
    seconds = elapsed.days * _SECONDS_OF_A_DAY + elapsed.seconds
    if not elapsed.microseconds and 0 < seconds < _END_OF_DATETIME:
        return rfc3339_seconds(seconds)  # cached, and so cheaper than isoformat()
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
