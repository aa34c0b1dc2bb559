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
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from gateway.adapters.generated import FunctionWriter
from gateway.adapters.identity import clean_time
from gateway.signatures.extractors import check_source, text_of

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

_PART = re.compile(r"\[((?:[^\[\]{}]|\{[^\[\]{}]*\})*)\]")
_FIELD = re.compile(r"\{([^{}]*)\}")
_OWN = {
    "actor": "actor",
    "subject": "subject",
    "account": "account",
    "type": "event_type",
    "action": "action",
}
"""The fields that are no places, and the variables of the generated function that have their values."""

_Filter = Callable[[object], str | None]


class _Field(NamedTuple):
    """A field of a template: a place or one of :data:`_OWN`, and its filters with their arguments."""

    place: str
    filters: tuple[tuple[str, str], ...]


class _Part(NamedTuple):
    """A part of a template: one literal more than there are fields."""

    literals: tuple[str, ...]
    fields: tuple[_Field, ...]
    is_optional: bool


def check_template(text: str) -> str:
    """Return a valid template unchanged.

    Raises:
        ValueError: The text is not a template.
    """
    if len(text) > MAX_TEMPLATE or not text.isprintable():
        raise ValueError(f"must be one line of at most {MAX_TEMPLATE} characters")
    _parts_of(text)
    return text


SummaryTemplate = Annotated[str, AfterValidator(check_template)]
"""The template of a summary."""

Templates = SummaryTemplate | list[SummaryTemplate]
"""One template, or several, of which the first that fits counts."""


def templates_of(by_type: Mapping[str, str | list[str]], event_type: str) -> tuple[str, ...]:
    """Return the templates for events of this type, in the order in which they are tried."""
    texts: list[str] = []
    prefix = event_type
    while prefix:
        texts += _listed(by_type.get(prefix, []))
        prefix = prefix.rpartition(".")[0]
    return tuple(texts + _listed(by_type.get("*", [])))


def words_of_type(event_type: str) -> tuple[str | None, str | None]:
    """Return the values of the fields ``type`` and ``action`` for events of this type."""
    _, dot, action = event_type.rpartition(".")
    return _text(event_type), _words(_text(action)) if dot else None


def write_summary(writer: FunctionWriter, template: str) -> str:
    """Write, within a loop, how a template is filled; return the variable with the line.

    The loop is left if the template does not fit. Its function has the variables ``actor``, ``subject``, ``account``,
    ``event_type`` and ``action``.
    """
    parts = _parts_of(template)
    filled: dict[_Field, str] = {}
    required = [field for part in parts if not part.is_optional for field in part.fields]
    # Conditions decide between the templates of a type, so a template that does not fit costs no more than its condition.
    for field in sorted(required, key=_is_condition, reverse=True):
        if field not in filled:
            filled[field] = _write_field(writer, field)
            writer.line(f"if not {filled[field]}: break")
    literals, values = [""], list[str]()
    for part in parts:
        pieces = part.literals
        if part.is_optional:
            values.append(_write_optional(writer, part))
            literals.append("")
            continue
        literals[-1] += pieces[0]
        literals += pieces[1:]
        values += [filled[field] for field in part.fields]
    line = writer.variable()
    writer.line(f"{line} = {_joined(literals, values)}")
    writer.line(f"if not {line}: break")
    writer.line(f"if len({line}) > {MAX_SUMMARY}: {line} = {line}[:{MAX_SUMMARY - 1}] + '…'")
    return line


def _is_condition(field: _Field) -> bool:
    return any(kind == "if" for kind, _ in field.filters)


def _write_optional(writer: FunctionWriter, part: _Part) -> str:
    text = writer.variable()
    writer.line(f"{text} = ''")
    with ExitStack() as blocks:
        values = []
        for field in part.fields:
            values.append(_write_field(writer, field))
            blocks.enter_context(writer.block(f"if {values[-1]}:"))
        writer.line(f"{text} = {_joined(part.literals, values)}")
    return text


def _joined(literals: Sequence[str], values: Sequence[str]) -> str:
    """Return an expression of literals and the variables between them."""
    if not values:
        return repr(literals[0])
    # The compiler makes of this what it makes of an f-string, in which a literal could not stand as repr() has it.
    return f"{'%s'.join(literal.replace('%', '%%') for literal in literals)!r} % ({', '.join(values)},)"


def _write_field(writer: FunctionWriter, field: _Field) -> str:
    """Write how a field is read; return the variable with its text, which is None or empty if it is absent."""
    place, filters = field
    if place in _OWN:
        name = writer.variable()
        writer.line(f"{name} = {_OWN[place]}")
    else:
        name = writer.read(place)
    match filters[0][0] if filters else "":
        case "count":  # which takes lists alone, and lists are clean
            pass
        case _ if place in ("type", "action"):  # of which the caller has made texts
            pass
        case "money":
            writer.line(f"if type({name}) is not int: {name} = {writer.constant(_clean)}({name})")
        case "if":
            writer.line(f"if {name} is not True: {name} = {name} and {writer.constant(_clean)}({name})")
        case kind:
            clean = writer.constant(_clean if kind else _text)
            plain = writer.constant(_is_plain)
            writer.line(f"if type({name}) is not str or not {plain}({name}): {name} = {clean}({name})")
    for kind, argument in filters:
        _write_filter(writer, name, kind, argument, place)
    return name


def _write_filter(writer: FunctionWriter, name: str, kind: str, argument: str, place: str) -> None:
    match kind:
        case "money":
            beside = f"{place.rpartition('/')[0]}/{argument}"
            currency = writer.read(argument if ":" in argument else beside)
            writer.line(f"{name} = {writer.constant(_money)}({name}, {currency})")
        case "if":
            writer.line(f"{name} = {argument!r} if {name} else None")
        case "count":
            one, _, many = argument.partition(":")
            writer.line(f"{name} = {writer.constant(_count)}({name}, {one!r}, {many!r})")
        case _:
            writer.line(f"{name} = {writer.constant(_FILTERS[kind])}({name})")


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _parts_of(text: str) -> list[_Part]:
    """Return the parts of a template.

    Raises:
        ValueError: The text is not a template.
    """
    return [
        _part_of(piece, is_optional=position % 2 == 1)
        for position, piece in enumerate(_PART.split(text))
        if piece
    ]


def _part_of(text: str, *, is_optional: bool) -> _Part:
    pieces = _FIELD.split(text)
    literals = tuple(pieces[::2])
    if any(set("[]{}") & set(literal) for literal in literals):
        raise ValueError("has a bracket or a brace without its other half, or one within another")
    return _Part(literals, tuple(map(_field_of, pieces[1::2])), is_optional)


def _field_of(text: str) -> _Field:
    place, *names = text.split("|")
    if place not in _OWN:
        check_source(place)
    return _Field(place, tuple(_filter_of(name, place) for name in names))


def _filter_of(text: str, place: str) -> tuple[str, str]:
    name, _, argument = text.partition(":")
    match name, argument:
        case "money", str(currency) if currency:
            check_source(currency if ":" in currency else f"{place.rpartition('/')[0]}/{currency}")
            return name, argument
        case "if", str(then) if then:
            return name, argument
        case "count", str(nouns) if not nouns or all(nouns.partition(":")):
            return name, argument
        case str(), "" if name in _FILTERS:
            return name, argument
    known = ", ".join(["money:CURRENCY", "if:TEXT", "count", "count:ONE:MANY", *_FILTERS])
    raise ValueError(f"has a filter {text!r}, which there is not; there are {known}")


def _text(value: object) -> str | None:
    """Return a value as text for a summary; None for prose and for values without a text."""
    return text_of(_clean(value))


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


def _money(amount: object, currency: object) -> str | None:
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


_CURRENCY = re.compile(r"[A-Za-z]{3}")


def _count(value: object, one: str, many: str) -> str | None:
    if type(value) is not list:
        return None
    return f"{len(value)} {one if len(value) == 1 else many}".rstrip()


def _ref(value: object) -> str | None:
    if type(value) is not str:
        return None
    for prefix, kind in (("refs/heads/", "branch "), ("refs/tags/", "tag ")):
        if value.startswith(prefix):
            return kind + value.removeprefix(prefix)
    return value


def _short(value: object) -> str | None:
    return value[:8] if type(value) is str else None


def _words(value: object) -> str | None:
    return value.replace("_", " ") if type(value) is str else None


def _date(value: object) -> str:
    return (clean_time(value) or "")[:10]


_FILTERS: dict[str, _Filter] = {"date": _date, "ref": _ref, "short": _short, "words": _words}
"""The filters without an argument."""
