"""The form of an endpoint: its fields as people write them, and the settings that they mean.

A form that changes an endpoint says nothing about what it leaves as it was: values that are not shown, such as those of headers,
stay. So do several subscriptions, which the form has as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.console.pages.formatting import visible
from gateway.operations.delivery_replays import read_where
from gateway.operations.endpoint_models import EndpointView, SubscriptionView
from gateway.operations.endpoint_settings import EndpointChange
from gateway.operations.outbound import DEFAULT_TENANT, Refused

Settings = TypeVar("Settings", bound=EndpointChange)

DEFAULTS = {
    "url": "",
    "name": "",
    "description": "",
    "events": "",
    "where": "",
    "subscriptions": "",
    "format": "json",
    "sign_as": "",
    "signature": "standard",
    "headers": "",
    "rate": "",
    "concurrency": "8",
    "timeout": "15",
    "ordering": "none",
    "on_dead": "skip",
    "give_up_on": "",
    "max_pending": "100000",
    "tenant": DEFAULT_TENANT,
    "secret": "",
    "enabled": "1",
    "no_headers": "",
}
"""Each field with what an empty form has in it."""

_NUMBERS = ("concurrency", "timeout", "max_pending")
_TEXTS = ("url", "name", "description", "format", "sign_as", "signature", "ordering", "on_dead", "tenant")
_WANTED = ("events", "where", "subscriptions")

_PLACES = {"subscriptions": "events"}
"""The field that shows what is wrong with a place of the settings, unless the form has one of its name."""

_HEADER = re.compile(r"([^:\s]+):(.*)")

_subscriptions = msgspec.json.Decoder(list[dict[str, Any]])


class Mistake(NamedTuple):
    """What is wrong with a form.

    Attributes:
        field: The field; empty for the form as a whole.
        text: What is wrong with it, and what to do.
    """

    field: str
    text: str


def fields_of(form: Mapping[str, str], *, is_new: bool) -> dict[str, str]:
    """Return the fields of a form that was sent; a box that is not checked sends nothing."""
    boxes = {"enabled": "", "no_headers": ""} if form else {}
    given = {**boxes, **{name: form[name] for name in DEFAULTS if name in form}}
    found = {**DEFAULTS, **given} if is_new else given
    return {name: value.strip().replace("\r\n", "\n") for name, value in found.items()}


def fields_of_view(view: EndpointView) -> dict[str, str]:
    """Return the fields of an endpoint as it is."""
    shown: dict[str, Any] = {
        **{name: getattr(view, name) for name in (*_TEXTS, *_NUMBERS)},
        **_wanted_of(view.subscriptions),
        "format": view.format.value,
        "signature": view.signature.value,
        "rate": "" if view.rate is None else _rate_text(view.rate),
        "give_up_on": ", ".join(map(str, view.give_up_on)),
    }
    texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in shown.items()}
    # As the page shows them, so that what comes back unchanged is the same.
    return {**DEFAULTS, **{name: visible(text).strip() for name, text in texts.items()}}


def settings_of(form: Mapping[str, str], kind: type[Settings], before: Mapping[str, str]) -> Settings:
    """Return what a form sets.

    Args:
        form: Its fields.
        kind: The type of the settings.
        before: The fields as they were; what is the same is not set. Empty to set all that is not empty.

    Raises:
        Refused: A field has no value that it can have; the text begins with its name.
    """
    is_new = "enabled" in kind.__struct_fields__
    changed = {name: value for name, value in form.items() if value != before.get(name, "")}
    found: dict[str, Any] = {name: changed[name] for name in _TEXTS if name in changed}
    found |= {name: _number(name, changed[name]) for name in _NUMBERS if name in changed}
    if is_new or any(name in changed for name in _WANTED):
        found["subscriptions"] = _subscriptions_of(form)
    if changed.get("headers") or changed.get("no_headers"):
        found["headers"] = {} if changed.get("no_headers") else dict(_headers(form["headers"]))
    if "rate" in changed:
        found["rate"] = changed["rate"] or None
    if "give_up_on" in changed:
        found["give_up_on"] = [_status(each) for each in re.findall(r"[^\s,]+", changed["give_up_on"])]
    if is_new:
        found["enabled"] = form["enabled"] == "1"
        found["secret"] = form["secret"] or None
    else:
        found.pop("tenant", None)
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        name = re.split(r"[.\[`]", place)[0]
        raise Refused("invalid_body", f"{name}: {text}" if name else text) from None


def mistake_of(error: str) -> Mistake:
    """Return the field that an error is about, and its text without the place."""
    place, colon, text = error.partition(": ")
    parts = place.split(".")
    names = [part for part in parts if part in DEFAULTS]
    if not colon or not names or " " in place:
        return Mistake("", error)
    rest = ".".join(part for part in parts if part not in DEFAULTS and not part.isdigit())
    name = names[-1]
    return Mistake(_PLACES.get(name, name), f"{rest}: {text}" if rest else text)


def _wanted_of(subscriptions: list[SubscriptionView]) -> dict[str, str]:
    if len(subscriptions) != 1:
        return {"subscriptions": _pretty(msgspec.to_builtins(subscriptions))}
    (only,) = subscriptions
    where = only.where[0] if len(only.where) == 1 else only.where
    return {"events": "\n".join(only.events), "where": _pretty(where) if where else ""}


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _subscriptions_of(form: Mapping[str, str]) -> list[dict[str, Any]]:
    if form.get("subscriptions"):
        try:
            return _subscriptions.decode(form["subscriptions"])
        except msgspec.MsgspecError:
            raise Refused(
                "invalid_body", 'subscriptions: is not JSON such as [{"events": ["stripe.#"], "where": []}]'
            ) from None
    events = [line for each in form.get("events", "").splitlines() if (line := each.strip())]
    if not events:
        raise Refused(
            "invalid_body", "events: name at least one pattern, such as stripe.invoice.*; # is every event"
        )
    return [{"events": events, "where": read_where(form["where"]) if form.get("where") else []}]


def _headers(text: str) -> Iterable[tuple[str, str]]:
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise Refused("invalid_body", "headers: write one a line, as Name: value")
        yield match[1], match[2].strip()


def _number(name: str, text: str) -> float | int:
    try:
        return float(text) if name == "timeout" else int(text)
    except ValueError:
        raise Refused("invalid_body", f"{name}: is not a number") from None


def _status(text: str) -> int:
    if not re.fullmatch(r"[45][0-9][0-9]", text):
        raise Refused("invalid_body", "give_up_on: write statuses from 400 to 599, such as 400, 422")
    return int(text)


def _rate_text(rate: float) -> str:
    """Return a rate as it is written, in the first unit in which it is a whole number."""
    for unit, seconds in (("s", 1), ("m", 60), ("h", 3600)):
        events = round(rate * seconds, 6)
        if events >= 1 and events == int(events):
            return f"{int(events)}/{unit}"
    return f"{max(round(rate * 3600), 1)}/h"
