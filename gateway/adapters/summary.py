"""One line that says what happened, for people and for agents, made by a template.

    {actor} {action} issue #{body:/issue/number} in {body:/repository/full_name}[ as {body:/issue/state_reason|words}]

In braces stands a place in the delivery, or ``actor``, ``subject``, ``account``, ``type``, or ``action``: the last
part of the type, in words. Behind bars stand filters:

    money:currency   an amount in minor units as 20.00 usd; the currency stands beside it, or at the place named
    count            the number of items of a list: 2
    count:commit:commits  the same with a noun, in the singular and the plural: 1 commit, 2 commits
    date             the day of a moment
    ref              a Git reference as branch main or tag v1
    short            the first eight characters, for ids of commits
    words            snake_case as words
    if:TEXT          this text where the value is there and neither false nor empty

What stands in square brackets is left out when a value in it is absent. A template whose other values are not all
there does not count; the next one of its type does, else those of the shorter types, else those of ``*``.

An agent reads the line, and a stranger may have written the delivery. So a value is one line of a few words and
64 characters: names, numbers and enumerations pass, prose is as good as absent, whatever the template says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Annotated

from pydantic import AfterValidator

from gateway.adapters.identity import Identity, clean_time
from gateway.signatures.extractors import SourceContext, check_source, compile_sources, text_of

MAX_SUMMARY = 200
"""Characters of a summary."""

MAX_VALUE = 64
"""Characters of one value in it."""

MAX_WORDS = 3
"""Words of one value; what has more is prose."""

MAX_TEMPLATE = 512

_REMEMBERED_TYPES = 1024  # senders have a few event types, but could make up any number

_LOOKED_AT = 1024
"""Characters of a value from which its words are taken; it may be the largest that a body holds."""

_DECIMALS = dict.fromkeys(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
    0,
) | dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3)
"""Of the currencies that have not two, as Stripe counts: ISK and UGX lost theirs, but are still sent with two."""

Summariser = Callable[[SourceContext, Identity], str | None]
"""Makes the line of an event; None when no template fits it."""

_Filter = Callable[[object, SourceContext], object]

_PART = re.compile(r"\[((?:[^\[\]{}]|\{[^\[\]{}]*\})*)\]")
_FIELD = re.compile(r"\{([^{}]*)\}")
_OWN: dict[str, Callable[[Identity], object]] = {
    "actor": attrgetter("actor"),
    "subject": attrgetter("subject"),
    "account": attrgetter("account"),
    "type": attrgetter("event_type"),
    "action": lambda identity: identity.event_type.rpartition(".")[2] if "." in identity.event_type else None,
}


def check_template(text: str) -> str:
    """Refuse what is no template.

    Raises:
        ValueError: why.
    """
    if len(text) > MAX_TEMPLATE or not text.isprintable():
        raise ValueError(f"must be one line of at most {MAX_TEMPLATE} characters")
    _compile_template(text)
    return text


SummaryTemplate = Annotated[str, AfterValidator(check_template)]
"""What a line is made of."""

Templates = SummaryTemplate | list[SummaryTemplate]
"""One template, or several of which the first that fits counts."""


def compile_summaries(by_type: Mapping[str, str | list[str]]) -> Summariser:
    """A function that makes the line of an event from the templates of its type, compiled for its first event."""

    @lru_cache(_REMEMBERED_TYPES)
    def candidates(event_type: str) -> list[Summariser]:
        texts: list[str] = []
        while event_type:
            texts += _listed(by_type.get(event_type, []))
            event_type = event_type.rpartition(".")[0]
        return [_compile_template(text) for text in texts + _listed(by_type.get("*", []))]

    def summarise(delivery: SourceContext, identity: Identity) -> str | None:
        for template in candidates(identity.event_type):
            if line := template(delivery, identity):
                return line if len(line) <= MAX_SUMMARY else line[: MAX_SUMMARY - 1] + "…"
        return None

    return summarise


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _compile_template(text: str) -> Summariser:
    parts = [
        (*_compile_part(piece), position % 2 == 1)
        for position, piece in enumerate(_PART.split(text))
        if piece
    ]

    def fill(delivery: SourceContext, identity: Identity) -> str | None:
        line = ""
        for literal, fields, is_optional in parts:
            filled = literal
            for field, following in fields:
                value = field(delivery, identity)
                if not value:
                    break
                filled += value + following
            else:
                line += filled
                continue
            if not is_optional:
                return None
        return line

    return fill


def _compile_part(text: str) -> tuple[str, list[tuple[Summariser, str]]]:
    """What stands before the first value, and each value with what stands behind it."""
    pieces = _FIELD.split(text)
    literals = pieces[::2]
    if any(set("[]{}") & set(literal) for literal in literals):
        raise ValueError("has a bracket or a brace without its other half, or one within another")
    return literals[0], list(zip(map(_compile_field, pieces[1::2]), literals[1:], strict=True))


def _compile_field(text: str) -> Summariser:
    place, *names = text.split("|")
    if place == "action":
        names.insert(0, "words")
    own = _OWN.get(place)
    if own and not names:
        return lambda _, identity: _text(own(identity))
    read = None if own else compile_sources(check_source(place))
    if read and not names:
        return lambda delivery, _: _text(read(delivery))
    filters = [_compile_filter(name, place) for name in names]

    def value(delivery: SourceContext, identity: Identity) -> str | None:
        found = _clean(read(delivery) if read else own(identity) if own else None)
        for apply in filters:
            if found is None:
                return None
            found = apply(found, delivery)
        return found if type(found) is str else text_of(found)

    return value


def _text(value: object) -> str | None:
    """A value as it stands in a line; None for prose, and for what is no value."""
    return value if type(value) is str and _is_plain(value) else text_of(_clean(value))


def _clean(value: object) -> object:
    """A value without what has no place in a line; None for prose."""
    if type(value) is str:
        return value if _is_plain(value) else _as_name(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) in (int, float, bool):
        return value if len(text_of(value) or " " * (MAX_VALUE + 1)) <= MAX_VALUE else None
    return value if type(value) in (list, dict) else None


_is_plain = re.compile(f"[!-~]{{1,{MAX_VALUE}}}").fullmatch


def _as_name(text: str) -> str | None:
    words = text[:_LOOKED_AT].split()
    if len(words) > MAX_WORDS:
        return None
    name = "".join(filter(str.isprintable, " ".join(words)))
    if len(name) > MAX_VALUE:
        return name[: MAX_VALUE - 1] + "…"
    return name or None


def _compile_filter(text: str, place: str) -> _Filter:
    name, _, argument = text.partition(":")
    match name, argument:
        case "money", str(currency) if currency:
            beside = f"{place.rpartition('/')[0]}/{currency}"
            return _money(currency if ":" in currency else beside)
        case "if", str(then) if then:
            return lambda value, _: then if value else None
        case "count", str(nouns) if not nouns or all(nouns.partition(":")):
            one, _, many = nouns.partition(":")
            return lambda value, _: _count(value, one, many)
        case str(name), "" if name in _OF_TEXT:
            of_text = _OF_TEXT[name]
            return lambda value, _: of_text(value) if type(value) is str else None
        case "date", "":
            return lambda value, _: (clean_time(value) or "")[:10]
    known = ", ".join(["money:CURRENCY", "if:TEXT", "count", "count:ONE:MANY", "date", *_OF_TEXT])
    raise ValueError(f"has a filter {text!r}, which there is not; there are {known}")


def _money(currency_place: str) -> _Filter:
    read = compile_sources(check_source(currency_place))

    def money(amount: object, delivery: SourceContext) -> str | None:
        currency = read(delivery)
        if type(amount) is str and amount.isascii() and amount.isdigit():
            amount = int(amount)
        if type(amount) is not int or type(currency) is not str or not _CURRENCY.fullmatch(currency):
            return None
        decimals = _DECIMALS.get(currency.lower(), 2)
        if not decimals:
            return f"{amount} {currency}"
        whole, rest = divmod(abs(amount), 10**decimals)
        return f"{'-' if amount < 0 else ''}{whole}.{rest:0{decimals}} {currency}"

    return money


_CURRENCY = re.compile(r"[A-Za-z]{3}")


def _count(value: object, one: str, many: str) -> str | None:
    if type(value) is not list:
        return None
    return f"{len(value)} {one if len(value) == 1 else many}".rstrip()


def _ref(text: str) -> str:
    for prefix, kind in (("refs/heads/", "branch "), ("refs/tags/", "tag ")):
        if text.startswith(prefix):
            return kind + text.removeprefix(prefix)
    return text


_OF_TEXT: dict[str, Callable[[str], str]] = {
    "ref": _ref,
    "short": lambda text: text[:8],
    "words": lambda text: text.replace("_", " "),
}
