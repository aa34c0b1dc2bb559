"""The signed moment: where it stands, how it is written, and how far from now it may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from providers.rejections import SignatureRejected
from providers.schemes.layout import Places
from providers.schemes.scheme import check_tolerance, longest_timestamp, read_timestamp
from providers.times import rfc3339_seconds
from providers.units import Duration

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Affix = Annotated[str, StringConstraints(pattern=r"^([!-~]{0,32}|[!-~]{1,31} )$")]

_LONGEST_ISO = 40
_LONGEST_SECONDS = 11
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d{0,3})?(Z|[+-]\d\d:?\d\d)", re.ASCII | re.IGNORECASE
)


class TimestampSpec(BaseModel):
    """The signed moment: in a header of its own, in an element of the signature header, in the query or the body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: HeaderName | None = Field(None, description="The header that carries the timestamp.")
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
    unit: Literal["s", "ms", "auto", "iso8601"] = Field(
        "s",
        description="What the timestamp counts since 1970, seconds or milliseconds (`auto`: either); or an ISO 8601 time.",
    )
    tolerance: Duration = Field(
        300.0, description="How far the timestamp may be from our clock, before or after."
    )

    @model_validator(mode="after")
    def _one_place(self) -> TimestampSpec:
        if [self.header, self.element, self.position, self.place].count(None) != 3:
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
        """``now``, in Unix seconds, as the sender writes it."""
        if self._unit == "iso8601":
            return rfc3339_seconds(int(now))
        return str(int(now * 1000 if self._unit == "ms" else now))


_read_seconds = partial(read_timestamp, longest=longest_timestamp(1))
_read_longer = partial(read_timestamp, longest=longest_timestamp(1000))


def _read_milliseconds(text: bytes) -> float:
    return _read_longer(text) / 1000


def _read_either(text: bytes) -> float:
    return _read_seconds(text) if len(text) <= _LONGEST_SECONDS else _read_milliseconds(text)


def _read_iso(text: bytes) -> float:
    if not text:
        raise SignatureRejected("timestamp_missing")
    match = _ISO.fullmatch(text.decode("latin-1")) if len(text) <= _LONGEST_ISO else None
    try:
        if match:
            return datetime.fromisoformat(f"{match[1]}.{match[2] or 0:0<6}{match[3]}").timestamp()
    except (ValueError, OverflowError):
        pass
    raise SignatureRejected("timestamp_malformed")


_READERS: dict[str, Callable[[bytes], float]] = {
    "s": _read_seconds,
    "ms": _read_milliseconds,
    "auto": _read_either,
    "iso8601": _read_iso,
}
