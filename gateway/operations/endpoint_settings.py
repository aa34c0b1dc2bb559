"""What somebody may set about an endpoint, checked as the configuration is: one grammar for both.

:class:`EndpointConfig` and :mod:`gateway.config.endpoint_checks` decide; what they refuse becomes one readable line.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from pydantic import ValidationError

from gateway.config import Config
from gateway.config.endpoint_checks import check_endpoint
from gateway.config.outbound_models import EndpointConfig
from gateway.operations.outbound import DEFAULT_TENANT, Refused
from gateway.outbound.addresses import AddressRefused, judge_url
from gateway.outbound.configured import rules_of
from gateway.outbound.models import Endpoint, Format, SignatureKind, Subscription
from gateway.signatures.units import parse_rate
from gateway.transport.topic_patterns import routing_pattern

Text = Annotated[str, Meta(max_length=2048)]
Words = Annotated[str, Meta(max_length=500)]
Conditions = dict[str, dict[str, Any]]

MAX_SUBSCRIPTIONS = 20
"""Subscriptions of an endpoint."""

_PLACES = {"events": "subscriptions", "where": "subscriptions", "order": "ordering", "secrets": "secret"}
"""Where the API has what the configuration calls otherwise."""


class SubscriptionSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The events that an endpoint wants.

    Attributes:
        events: Patterns over routing keys, such as `stripe.invoice.*`: `*` is one word, `#` any number; any of them.
        where: Conditions on the event, all of which must hold, such as `{"/data/status": {"in": ["failed"]}}`; a list has
            alternatives.
    """

    events: Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(min_length=1, max_length=100)]
    where: Conditions | list[Conditions] = []


class EndpointChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change of an endpoint; what is absent stays as it is.

    Attributes:
        url: Where events are POSTed.
        name: A name for people and commands.
        subscriptions: What it wants; the first that matches decides.
        description: A text for people.
        headers: Further headers of each request. They replace those before, and are not shown.
        format: `json` or `cloudevents` for the event as a CloudEvent, `original` for the provider's own body.
        signature: How requests are signed.
        sign_as: With the format `original`, the adapter whose signature is made; empty for that of each event's provider.
        rate: The most attempts, such as `50/s`; null for no limit.
        concurrency: The most attempts at a time.
        ordering: `none`, `subject`, or a JSON pointer: events with the same value go one after another.
        on_dead: With an order, what follows a delivery that could not be made: `skip` it, or `hold` the others.
        timeout: Seconds for one attempt.
        give_up_on: Statuses after which an event is not tried again.
        max_pending: Deliveries that may wait; further ones are held.
    """

    url: Text | UnsetType = UNSET
    name: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    subscriptions: (
        Annotated[list[SubscriptionSettings], Meta(min_length=1, max_length=MAX_SUBSCRIPTIONS)] | UnsetType
    ) = UNSET
    description: Words | UnsetType = UNSET
    headers: dict[str, Text] | UnsetType = UNSET
    format: Format | UnsetType = UNSET
    signature: SignatureKind | UnsetType = UNSET
    sign_as: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    rate: Annotated[str, Meta(max_length=20)] | UnsetType | None = UNSET
    concurrency: Annotated[int, Meta(ge=1, le=64)] | UnsetType = UNSET
    ordering: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    on_dead: Annotated[str, Meta(pattern="^(skip|hold)$")] | UnsetType = UNSET
    timeout: Annotated[float, Meta(ge=1, le=30)] | UnsetType = UNSET
    give_up_on: Annotated[list[Annotated[int, Meta(ge=400, le=599)]], Meta(max_length=20)] | UnsetType = UNSET
    max_pending: Annotated[int, Meta(ge=1, le=10_000_000)] | UnsetType = UNSET


class NewEndpoint(EndpointChange, kw_only=True):
    """The endpoint to make.

    Attributes:
        url: Where events are POSTed.
        subscriptions: What it wants; the first that matches decides.
        tenant: Whose events it gets.
        enabled: Whether it is sent events from now on; otherwise they are held.
        secret: The secret to sign with; by default one is made.
    """

    url: Text
    subscriptions: Annotated[list[SubscriptionSettings], Meta(min_length=1, max_length=MAX_SUBSCRIPTIONS)]
    tenant: Annotated[str, Meta(pattern="^[a-z0-9-]{1,48}$")] = DEFAULT_TENANT
    enabled: bool = True
    secret: Annotated[str, Meta(max_length=8192)] | None = None


def with_change(endpoint: Endpoint, change: EndpointChange) -> Endpoint:
    """Return an endpoint with what is set."""
    found = {
        name: value
        for name in EndpointChange.__struct_fields__
        if (value := getattr(change, name)) is not UNSET
    }
    if "subscriptions" in found:
        found["subscriptions"] = tuple(map(_subscription, found["subscriptions"]))
    if "give_up_on" in found:
        found["give_up_on"] = tuple(found["give_up_on"])
    if "ordering" in found:
        found["order"] = found.pop("ordering")
    if found.get("rate") is not None:
        found["rate"] = _per_second(found["rate"])
    return msgspec.structs.replace(endpoint, **found)


def check(config: Config, endpoint: Endpoint) -> None:
    """Check an endpoint as one of the configuration, and its URL as each attempt does.

    Raises:
        Refused: Something about it is wrong.
    """
    for number, subscription in enumerate(endpoint.subscriptions):
        _check_block(config, endpoint, subscription, number)
    try:
        judge_url(endpoint.url, rules_of(config, endpoint))
    except AddressRefused as error:
        raise Refused("url_refused", f"url: {error}") from None


def _check_block(config: Config, endpoint: Endpoint, subscription: Subscription, number: int) -> None:
    block = {
        "url": endpoint.url,
        "events": list(subscription.events),
        "where": list(subscription.where),
        "description": endpoint.description,
        "tenant": endpoint.tenant,
        "format": endpoint.format.value,
        "signature": endpoint.signature.value,
        "secrets": [each.value for each in endpoint.secrets],
        "private_key": _private_key_text(endpoint.private_key),
        "sign_as": endpoint.sign_as,
        "headers": endpoint.headers,
        "order": endpoint.order,
        "on_dead": endpoint.on_dead,
        "concurrency": endpoint.concurrency,
        "give_up_on": list(endpoint.give_up_on),
        "max_pending": endpoint.max_pending,
    }
    try:
        checked = EndpointConfig.model_validate(block)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _refusal(first["loc"], first["msg"].removeprefix("Value error, "), number) from None
    for path, text in check_endpoint(checked, config, has_secrets=True):
        raise _refusal(path, text, number)


def _refusal(path: tuple[str | int, ...], text: str, number: int) -> Refused:
    place = str(path[0]) if path else ""
    reason = {"url": "url_refused", "secrets": "secret_invalid", "private_key": "secret_invalid"}.get(
        place, "invalid_body"
    )
    if place in {"events", "where"}:
        named = f"subscriptions.{number}.{'.'.join(map(str, path))}"
    else:
        rest = path[1:] if place != "secrets" else ()  # the API has one at a time
        named = ".".join(map(str, (_PLACES.get(place, place), *rest))) if place else ""
    return Refused(reason, f"{named}: {text}" if named else text)


def _subscription(settings: SubscriptionSettings) -> Subscription:
    where = [settings.where] if isinstance(settings.where, dict) else settings.where
    return Subscription(
        events=tuple(map(routing_pattern, settings.events)), where=tuple(each for each in where if each)
    )


def _per_second(text: str) -> float:
    try:
        rate = parse_rate(text)
    except ValueError as error:
        raise Refused("invalid_body", f"rate: {error}") from None
    return rate.events / rate.seconds


def _private_key_text(key: bytes) -> str | None:
    return "whsk_" + base64.b64encode(key).decode() if key else None
