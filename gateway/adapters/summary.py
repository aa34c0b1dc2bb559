"""Summaries: one line that says what happened, for people and for agents, made from a template.

    {actor} {action} issue #{body:/issue/number} in {body:/repository/full_name}[ as {body:/issue/state_reason|words}]

A field in braces is a place in the request, or ``actor``, ``subject``, ``account``, ``type`` or ``action`` (the last part
of the type, in words). After a bar follow filters:

    money:currency        an amount in minor units as 20.00 usd; the currency is beside it, or at the named place
    count                 the number of items of a list: 2
    count:commit:commits  the same with a noun in the singular and the plural: 1 commit, 2 commits
    date                  the day of a time
    ref                   a Git reference as branch main or tag v1
    short                 the first eight characters, for commit ids
    words                 snake_case as words
    if:TEXT               this text if the value is present and neither false nor empty

A part in square brackets is left out if a value in it is absent. A template with another absent value is skipped: the next
one of its type is tried, then those of the shorter types, then those of ``*``.

An agent reads the line, and anybody may have written the event. So a value is one line of at most three words and 64
characters: names, numbers and enumerations pass, but prose counts as absent, whatever the template says.

This module has more than 200 lines because the grammar above and its compilation are one definition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Annotated

from pydantic import AfterValidator

from gateway.adapters.identity import Identity, clean_time
from gateway.signatures.extractors import SourceContext, check_source, compile_sources, text_of

MAX_SUMMARY = 200
"""Maximum characters of a summary, which is one line of a terminal or a log."""

MAX_VALUE = 64
"""Maximum characters of one value in a summary."""

_INTEGER_LIMIT = 10 ** (MAX_VALUE - 1)
"""The first integer that may not fit into a value, with its sign."""

MAX_WORDS = 3
"""Maximum words of one value. A value with more words is prose."""

MAX_TEMPLATE = 512
"""Maximum characters of a template."""

_MAX_SPLIT = 1024
"""Characters of a value that are split into words; a value may be as large as a body."""

_DECIMALS = dict.fromkeys(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
    0,
) | dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3)
"""The decimals of the currencies that do not have two, by Stripe's list: ISK and UGX are still sent with two."""

Summariser = Callable[[SourceContext, Identity], str | None]
"""A function that makes the summary of an event; None if no template fits."""

_Filter = Callable[[object, SourceContext], str | None]

_PART = re.compile(r"\[((?:[^\[\]{}]|\{[^\[\]{}]*\})*)\]")
_FIELD = re.compile(r"\{([^{}]*)\}")
_CONDITION = re.compile(r"\{([^{}]*\|if:[^{}]*)\}")
_IDENTITY_FIELDS: dict[str, Callable[[Identity], object]] = {
    "actor": attrgetter("actor"),
    "subject": attrgetter("subject"),
    "account": attrgetter("account"),
    "type": attrgetter("event_type"),
    "action": lambda identity: identity.event_type.rpartition(".")[2] if "." in identity.event_type else None,
}


def check_template(text: str) -> str:
    """Return a valid template unchanged.

    Raises:
        ValueError: The text is not a template.
    """
    if len(text) > MAX_TEMPLATE or not text.isprintable():
        raise ValueError(f"must be one line of at most {MAX_TEMPLATE} characters")
    _compile_template(text)
    return text


SummaryTemplate = Annotated[str, AfterValidator(check_template)]
"""The template of a summary."""

Templates = SummaryTemplate | list[SummaryTemplate]
"""One template, or several, of which the first that fits counts."""


def compile_summaries(by_type: Mapping[str, str | list[str]], event_type: str) -> Summariser:
    """Return a function that makes the summaries of events of this type."""
    texts: list[str] = []
    prefix = event_type
    while prefix:
        texts += _listed(by_type.get(prefix, []))
        prefix = prefix.rpartition(".")[0]
    templates = [_compile_template(text) for text in texts + _listed(by_type.get("*", []))]

    def summarise(context: SourceContext, identity: Identity) -> str | None:
        for template in templates:
            if line := template(context, identity):
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
    # They decide between the templates of a type, so a template that does not fit costs no more than its condition.
    conditions = [_compile_field(field) for field in _CONDITION.findall(_PART.sub("", text))]

    def fill(context: SourceContext, identity: Identity) -> str | None:
        for condition in conditions:
            if not condition(context, identity):
                return None
        line = ""
        for literal, fields, is_optional in parts:
            filled = literal
            for field, following in fields:
                value = field(context, identity)
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
    """Return the literal before the first field, and each field with the literal after it."""
    pieces = _FIELD.split(text)
    literals = pieces[::2]
    if any(set("[]{}") & set(literal) for literal in literals):
        raise ValueError("has a bracket or a brace without its other half, or one within another")
    return literals[0], list(zip(map(_compile_field, pieces[1::2]), literals[1:], strict=True))


def _compile_field(text: str) -> Summariser:
    place, *names = text.split("|")
    if place == "action":
        names.insert(0, "words")
    own = _IDENTITY_FIELDS.get(place)
    if own and not names:
        return lambda _, identity: _text(own(identity))
    read = None if own else compile_sources(check_source(place))
    if read and not names:
        return lambda context, _: _text(read(context))
    apply = _compile_filters(names, place)
    if read:
        return lambda context, _: apply(_clean(read(context)), context)
    return lambda context, identity: apply(_clean(own(identity) if own else None), context)


def _text(value: object) -> str | None:
    """Return a value as text for a summary; None for prose and for values without a text."""
    return value if type(value) is str and _is_plain(value) else text_of(_clean(value))


def _clean(value: object) -> object:
    """Return a value that is fit for a summary; None for prose."""
    if type(value) is str:
        return value if _is_plain(value) else _as_name(value)
    if type(value) is int:
        return value if abs(value) < _INTEGER_LIMIT else None
    if value is None or type(value) in (bool, list, dict):
        return value
    if type(value) is float and value.is_integer():
        value = int(value)
    text = text_of(value)
    return value if text and len(text) <= MAX_VALUE else None


_is_plain = re.compile(f"[!-~]{{1,{MAX_VALUE}}}").fullmatch


def _as_name(text: str) -> str | None:
    words = text[:_MAX_SPLIT].split()
    if len(words) > MAX_WORDS:
        return None
    name = "".join(filter(str.isprintable, " ".join(words)))
    if len(name) > MAX_VALUE:
        return name[: MAX_VALUE - 1] + "…"
    return name or None


def _compile_filters(texts: list[str], place: str) -> _Filter:
    first, *others = [_compile_filter(text, place) for text in texts]
    if not others:
        return first

    def apply(value: object, context: SourceContext) -> str | None:
        found = first(value, context)
        for other in others:
            found = None if found is None else other(found, context)
        return found

    return apply


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

    def money(amount: object, context: SourceContext) -> str | None:
        currency = read(context)
        if type(amount) is str and amount.isascii() and amount.isdigit():
            amount = int(amount)
        if type(amount) is not int or type(currency) is not str or not _CURRENCY.fullmatch(currency):
            return None
        decimals = _DECIMALS.get(currency.lower(), 2)
        if not decimals:
            return f"{amount} {currency}"
        whole, rest = divmod(abs(amount), 10**decimals)
        sign = "-" if amount < 0 else ""
        return "%s%d.%0*d %s" % (sign, whole, decimals, rest, currency)  # noqa: UP031 -- half of an f-string's time

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
