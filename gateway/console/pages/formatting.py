"""Moments, numbers and texts as the pages show them.

Text from providers is hostile. Control characters, and those that reverse or hide other text, become their code points;
escaping the rest is up to the templates, all of which do so.
"""

from __future__ import annotations

import re
import time
from urllib.parse import quote, urlencode

from gateway.journal.entry import Entry
from gateway.journal.entry_ids import format_entry_id

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_PLAIN_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.~:@-]{1,200}")
UNKNOWN = "\N{EN DASH}"
"""Stands for a number that is not known."""

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")


def visible(text: str) -> str:
    """Replace what is invisible or changes the direction of writing by its code point; keep tabs and line feeds."""
    return _HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def exact(at: float) -> str:
    """Format a moment in UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return f"{whole}.{int(at % 1 * 1000):03d} UTC"


def iso(at: float) -> str:
    """Format a moment for programs."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"


def clock_time(at: float) -> str:
    """Format the time of a day, in UTC."""
    return time.strftime("%H:%M", time.gmtime(at))


def day_time(at: float, now: float) -> str:
    """Format a moment for an axis: the time for today's, else the day as well."""
    same_day = time.gmtime(at)[:3] == time.gmtime(now)[:3]
    return time.strftime("%H:%M" if same_day else "%d %b %H:%M", time.gmtime(at))


def ago(at: float, now: float) -> str:
    """Format how long ago a moment was, in its largest unit; also one to come."""
    seconds = now - at
    if abs(seconds) < 1:
        return "now"
    text = span(round(abs(seconds)), parts=1)
    return f"{text} ago" if seconds > 0 else f"in {text}"


def span(seconds: float, parts: int = 2) -> str:
    """Format a duration in at most ``parts`` units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds % 1 >= 0.05:
        return f"{seconds:.1f} s"
    left = round(seconds)
    found: list[str] = []
    for size, unit in _UNITS:
        if left >= size or (found and left):
            count, left = divmod(left, size)
            if count:
                found.append(f"{count} {unit}")
        if len(found) == parts:
            break
    return " ".join(found) or "0 s"


def milliseconds(ms: float | None) -> str:
    """Format the time that something took."""
    if ms is None:
        return ""
    if ms < 10:
        return f"{ms:.1f} ms" if ms >= 0.1 else "< 0.1 ms"
    return f"{ms:.0f} ms" if ms < 1000 else span(ms / 1000)


def count(number: float | None) -> str:
    """Format a number of things, with commas between thousands."""
    if number is None:
        return UNKNOWN
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """Format a number of things in few characters: 1.2k, 34k, 5.6M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"
    return f"{number:.0f}" if number == int(number) or number >= 100 else f"{number:.1f}"


def rate(per_second: float) -> str:
    """Format a number of things a second."""
    if per_second == 0:
        return "0"
    if per_second < 0.095:
        return "< 0.1"
    return f"{per_second:,.1f}" if per_second < 10 else f"{per_second:,.0f}"


def percent(share: float | None) -> str:
    """Format a share of one."""
    if share is None:
        return UNKNOWN
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share * 100:.1f} %" if 0 < share < 0.1 else f"{share * 100:.0f} %"


def size(number: float | None) -> str:
    """Format a number of bytes."""
    if number is None:
        return UNKNOWN
    unit = 0
    while number >= 1024 and unit < len(_SIZES) - 1:
        number /= 1024
        unit += 1
    return f"{number:.0f} {_SIZES[unit]}" if unit == 0 or number >= 100 else f"{number:.1f} {_SIZES[unit]}"


def plural(number: float, noun: str, nouns: str = "") -> str:
    """Format a number with its noun."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"


def address(path: str, **query: object) -> str:
    """Return a path with the arguments that are not empty."""
    given = {name.rstrip("_"): value for name, value in query.items() if value not in {None, "", False}}
    return f"{path}?{urlencode(given)}" if given else path


def event_path(provider: str, event_id: str) -> str:
    """Return the path of an event's page. An id that a browser would change goes into the query."""
    if not provider:
        return address("/event", id=event_id)
    if _PLAIN_ID.fullmatch(event_id):
        return f"/events/{quote(provider, safe='')}/{event_id}"
    return address("/event", provider=provider, id=event_id)


def entry_path(entry: Entry) -> str:
    """Return the path of the page on which an entry stands: that of its event, or its own."""
    if entry.event_id:
        return event_path(entry.provider, entry.event_id)
    return f"/entries/{format_entry_id(entry.id)}"


def entry_id(number: int) -> str:
    """Return the id of an entry as addresses have it."""
    return format_entry_id(number)
