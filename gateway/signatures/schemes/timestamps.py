"""The signed moment: where it stands, how it is written, and how far from now it may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from email.utils import formatdate
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.layout import Places, is_in_body
from gateway.signatures.schemes.strict_fields import check_tolerance, longest_timestamp, read_timestamp
from gateway.signatures.times import rfc3339_seconds
from gateway.signatures.units import Duration

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Affix = Annotated[str, StringConstraints(pattern=r"^([!-~][ -~]{0,31})?$")]
Unit = Literal["s", "ms", "us", "ns", "auto", "decimal", "iso8601", "rfc3339", "http_date"]

_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}

_MAX_TEXT = 64
"""Characters of a time that is written out; ISO 8601 with nanoseconds and an offset has 35."""

_LONGEST_SECONDS = 11
_DECIMAL = re.compile(rb"[1-9][0-9]{0,11}(?:\.[0-9]{1,20})?")
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<time>[01]\d:[0-5]\d:[0-5]\d|2[0-3]:[0-5]\d:[0-5]\d)"
    r"(?:[.,](?P<fraction>\d+))?(?P<offset>Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_OFFSET = re.compile(rb"[Zz]|[+-]\d\d:?\d\d\Z")
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_HTTP_DATE = re.compile(
    rf"(?P<weekday>{'|'.join(_DAYS)}), (?P<day>\d\d?) (?P<month>{'|'.join(_MONTHS)}) (?P<year>\d{{4}})"
    r" (?P<time>(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d) (?P<zone>GMT|UTC|[+-](?:[01]\d|2[0-3])[0-5]\d)",
    re.ASCII,
)


class TimestampSpec(BaseModel):
    """The signed moment: in a header of its own, in an element of the signature header, in the query or the body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: HeaderName | None = Field(
        None,
        description="The header that carries the timestamp; beside a place in the body, where nothing stands there.",
    )
    element: Affix | None = Field(
        None,
        min_length=1,
        description="How the element of the signature header that is the timestamp begins, such as `t=`.",
    )
    position: int | None = Field(
        None,
        ge=0,
        le=9,
        description="Which element of the signature header it is, when it has no name; 0 is the first.",
    )
    place: Places | None = Field(
        None,
        description=(
            "Where it stands elsewhere: `query:NAME`, `body:/json/pointer` or `item:/json/pointer`; of several the "
            "first where there is one."
        ),
    )
    unit: Unit = Field(
        "s",
        description="What the timestamp counts since 1970: seconds, `ms`, `us` or `ns` (`auto`: seconds or ms; `decimal`: "
        "seconds with a fraction); or a date: `iso8601`, UTC where it has no offset, `rfc3339`, which always has one, or `http_date`.",
    )
    tolerance: Duration = Field(
        300.0, description="How far the timestamp may be from our clock, before or after."
    )

    @model_validator(mode="after")
    def _one_place(self) -> TimestampSpec:
        named = [self.element, self.position, self.place, None if is_in_body(self.place) else self.header]
        if sum(each is not None for each in named) != 1:
            raise ValueError(
                "needs either header or element, position or place, to say where the timestamp is"
            )
        return self

    @property
    def is_in_signature(self) -> bool:
        """Whether it is an element of the signature itself."""
        return self.element is not None or self.position is not None


class Timestamp:
    """The moments of one sender.

    Attributes:
        read: the Unix seconds in a text; refuses what is not strictly in the unit with ``timestamp_malformed``,
            an empty text with ``timestamp_missing``.
    """

    def __init__(self, spec: TimestampSpec) -> None:
        self._unit = spec.unit
        self._tolerance = spec.tolerance
        self.read: Callable[[bytes], float] = _READERS[spec.unit]

    def check(self, seconds: float, now: float) -> None:
        """Refuse a moment that is further from ``now`` than is tolerated; both in Unix seconds.

        Raises:
            SignatureRejected: it is too old, or in the future.
        """
        check_tolerance(seconds, now, self._tolerance)

    def write(self, now: float) -> str:
        """Write ``now``, in Unix seconds, as the sender writes it."""
        match self._unit:
            case "iso8601" | "rfc3339":
                return rfc3339_seconds(int(now))
            case "http_date":
                return formatdate(int(now), usegmt=True)
            case "decimal":
                return f"{now:.6f}"
        return str(int(now * _PER_SECOND.get(self._unit, 1)))


_read_seconds = partial(read_timestamp, longest=longest_timestamp(1))


def _counter(unit: str) -> Callable[[bytes], float]:
    per_second = _PER_SECOND[unit]
    longest = longest_timestamp(per_second)
    return lambda text: read_timestamp(text, longest) / per_second


_read_milliseconds = _counter("ms")


def _read_either(text: bytes) -> float:
    return _read_seconds(text) if len(text) <= _LONGEST_SECONDS else _read_milliseconds(text)


def _read_decimal(text: bytes) -> float:
    """Read seconds with a fraction, as Python's clock writes them."""
    if not text:
        raise SignatureRejected("timestamp_missing")
    if not _DECIMAL.fullmatch(text):
        raise SignatureRejected("timestamp_malformed")
    return float(text)


def _read_iso(text: bytes) -> float:
    """Read a date with a time of ISO 8601 (RFC 3339 and its neighbours); one without an offset is UTC."""
    if match := _match(_ISO, text):
        fraction = (match["fraction"] or "")[:6]
        offset = (match["offset"] or "Z").upper()
        return _seconds_of(f"{match['date']}T{match['time']}.{fraction:0<6}{offset}")
    raise SignatureRejected("timestamp_malformed")


def _read_rfc3339(text: bytes) -> float:
    """Read a moment whose end cannot be mistaken, since it always has an offset of hours and minutes."""
    if text and not _OFFSET.search(text):
        raise SignatureRejected("timestamp_malformed")
    return _read_iso(text)


def _read_http_date(text: bytes) -> float:
    """Read a date as HTTP (RFC 9110) and mail (RFC 5322) write it; the day of the week has to be right."""
    if match := _match(_HTTP_DATE, text):
        month, zone = _MONTHS.index(match["month"]) + 1, match["zone"]
        offset = "Z" if zone in ("GMT", "UTC") else zone
        day = f"{match['year']}-{month:02d}-{int(match['day']):02d}"
        seconds = _seconds_of(f"{day}T{match['time']}{offset}")
        if _DAYS[datetime.fromisoformat(day).weekday()] == match["weekday"]:
            return seconds
    raise SignatureRejected("timestamp_malformed")


def _match(form: re.Pattern[str], text: bytes) -> re.Match[str] | None:
    if not text:
        raise SignatureRejected("timestamp_missing")
    return form.fullmatch(text.decode("latin-1")) if len(text) <= _MAX_TEXT else None


def _seconds_of(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):  # there is no such day
        raise SignatureRejected("timestamp_malformed") from None


_READERS: dict[Unit, Callable[[bytes], float]] = {
    "s": _read_seconds,
    "ms": _read_milliseconds,
    "us": _counter("us"),
    "ns": _counter("ns"),
    "auto": _read_either,
    "decimal": _read_decimal,
    "iso8601": _read_iso,
    "rfc3339": _read_rfc3339,
    "http_date": _read_http_date,
}
