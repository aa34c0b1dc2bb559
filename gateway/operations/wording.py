"""Numbers, spans and lists as words of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_TIMES = {1: "once", 2: "twice"}


def ordinal(number: int) -> str:
    """Return a place in a row, such as `second` or `12th`."""
    if 1 <= number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    suffix = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{suffix}"


def times(number: int) -> str:
    """Return how often something happened: `once`, `twice`, `4 times`."""
    return _TIMES.get(number, f"{number:,} times")


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 event` or `1,250 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """Return a span of time in one unit or two, such as `45 ms`, `3 s`, `2 min 5 s`, `3 h 20 min` or `2 days`."""
    if seconds < 0.0005:
        return "less than 1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, name, smaller, small_name, largest in (
        (1, "s", 0, "", 60),
        (60, "min", 1, "s", 3600),
        (3600, "h", 60, "min", 86_400),
    ):
        if whole < largest:
            return _two_units(whole, size, name, smaller, small_name)
    days, hours = divmod(whole // 3600, 24)
    text = count(days, "day")
    return f"{text} {hours} h" if hours and days < 7 else text


def _two_units(whole: int, size: int, name: str, smaller: int, small_name: str) -> str:
    number, rest = divmod(whole, size)
    rest = rest // smaller if smaller else 0
    # Beyond ten of the larger unit, the smaller one only makes the text longer.
    return f"{number} {name} {rest} {small_name}" if rest and number < 10 else f"{number} {name}"


def size_of(number: int) -> str:
    """Return a number of bytes in KiB, MiB or GiB."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB")):
        if number >= unit:
            return f"{number / unit:,.1f}".removesuffix(".0") + f" {name}"
    return f"{number / 1024:,.0f} KiB"


def ago(at: float, now: float) -> str:
    """Return how long ago a moment was; a moment that our clock has not reached yet is `just now`."""
    return "just now" if now - at < 1 else f"{span(now - at)} ago"


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter, unless its first word is a name in lower case, and ends with a stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def capital(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]
