"""What a provider tells about a verified delivery, and the bounds that all of it is held to.

Identities become AMQP properties, a Redis key and CloudEvents attributes, so every field leaves here as
short printable text or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from providers.rejections import BadEventId
from providers.sources import INTEGER_LIMIT
from providers.times import rfc3339_milliseconds, rfc3339_seconds

UNKNOWN_TYPE = "unknown"
"""The event type of a delivery that does not say its type, or says one that cannot be a routing key."""

MAX_ATTRIBUTE = 255
_EVENT_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
_EVENT_TYPE = re.compile(r"[ -~]{1,128}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNIX_TIME = re.compile(r"[0-9]{10,13}")
_LATEST_SECONDS = 253_402_300_800  # the year 10000, beyond which datetime ends
_LATEST_PLAUSIBLE_SECONDS = 100_000_000_000  # the year 5138; larger numbers count milliseconds


@dataclass(slots=True)
class Identity:
    """What a delivery is, in the provider's own terms.

    Attributes:
        event_id: the key for deduplication; None when the provider gives none, and a digest of the body serves.
        event_type: the provider's word, such as ``pull_request.opened``.
        is_typed: False when the delivery should have told its type and did not.
        delivery_id: the id of the delivery, where the provider tells it in a header.
        source: a URI for the CloudEvents ``source``, where the provider's own convention has one.
        time: RFC 3339, when it happened.
        subject: the resource that the event is about.
        account: the customer's account at the provider.
        actor: who caused it.
        summary: one line that says what happened.
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


def clean_event_id(value: object) -> str:
    """An event id as text.

    Raises:
        BadEventId: it is missing, empty, over 255 characters, or has others than visible ASCII.
    """
    text = _text(value)
    if type(text) is not str or not _EVENT_ID.fullmatch(text):
        raise BadEventId
    return text


def clean_event_type(value: object) -> str | None:
    """An event type as text of up to 128 printable ASCII characters, or None when it cannot be one."""
    text = _text(value)
    return text if type(text) is str and _EVENT_TYPE.fullmatch(text) else None


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
