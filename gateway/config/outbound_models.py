"""The models of the way out: the endpoints that events are POSTed to, and what holds for all of them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, WithJsonSchema

from gateway.config.section import Section
from gateway.config.value_checks import check_proxy_url, parse_network
from gateway.events.conditions import compile_where
from gateway.events.pointers import parse_pointer
from gateway.signatures.units import Duration, Rate
from gateway.transport.custom_headers import MAX_FIELDS, NAME

EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
"""The key of an endpoint; its id is `ep_` and this name."""

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,48}$")]
"""The label of a tenant."""

KeyPattern = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_*#-]+(\.[^\x00-\x1f\x7f-\x9f]+)?$", max_length=255)
]
"""A pattern over routing keys, whose event type may be in the provider's spelling."""


def _as_alternatives(value: object) -> object:
    """Return one object of conditions as a list of alternatives."""
    return [value] if isinstance(value, dict) else value


def _check_conditions(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    compile_where(value)
    return value


Alternatives = Annotated[
    list[dict[str, Any]],
    BeforeValidator(_as_alternatives),
    AfterValidator(_check_conditions),
    WithJsonSchema({"type": ["object", "array"], "items": {"type": "object"}}),
]
"""Conditions, or a list of alternatives."""


def check_order(text: str) -> str:
    """Check the key by which events are delivered one after another.

    Raises:
        ValueError: It is none.
    """
    if text not in {"none", "subject"}:
        try:
            parse_pointer(text)
        except ValueError:
            raise ValueError("must be none, subject, or a JSON pointer such as /data/object/id") from None
    return text


HeaderName = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
"""The name of a header."""

NetworkSetting = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(parse_network),
    WithJsonSchema({"type": "string", "examples": ["10.20.0.0/16", "fd12:3456::/48"]}),
]
"""An IP network, or a single address."""

Status = Annotated[int, Field(ge=400, le=599, strict=True)]
"""A status that refuses a request."""


class EndpointConfig(Section):
    """One endpoint: a URL to which events are POSTed, signed and retried."""

    url: str = Field(
        repr=False,  # it may contain a token
        max_length=2048,
        description="Where events are POSTed: https://, without user, password or fragment.",
    )
    events: list[KeyPattern] = Field(
        min_length=1,
        max_length=100,
        description="Patterns over routing keys, such as `stripe.invoice.*` or `billing-agent.agent.run.#`: `*` is one word, "
        "`#` any number of words.",
    )
    where: Alternatives = Field(
        [],
        description='Conditions on the event, all of which must hold: `{"/data/status": {"in": [failed]}}`. A list has '
        "alternatives. Operators: `eq`, `ne`, `in`, `not_in`, `exists`, `prefix`, `gt`, `gte`, `lt`, `lte`.",
    )
    description: str = Field("", max_length=500, description="A text for people.")
    tenant: TenantName = Field("default", description="A label, which limits what tokens of that tenant see.")
    format: Literal["json", "cloudevents", "original"] = Field(
        "json",
        description="What a request carries: the CloudEvent as `application/json` or `application/cloudevents+json`, or the "
        "provider's own body, signed anew as the provider signs.",
    )
    signature: Literal["standard", "ed25519", "ed25519_only", "timestamp"] = Field(
        "standard",
        description="How requests are signed: as Standard Webhooks does, with an Ed25519 signature besides or alone, or with "
        "a header as Stripe's. The format `original` has the provider's signature in place of this.",
    )
    secrets: list[SecretStr] = Field(
        [],
        max_length=5,
        description="The secrets that sign, several while rotating: `whsec_` and base64 for Standard Webhooks; for the format "
        "`original` as the provider would issue them.",
    )
    private_key: SecretStr | None = Field(
        None, description="The Ed25519 key for `signature: ed25519`: `whsk_` and base64 of its 32 bytes."
    )
    sign_as: str = Field(
        "",
        description="For the format `original`, the adapter whose signature is made; by default that of each event's provider.",
    )
    headers: dict[HeaderName, SecretStr] = Field(
        {},
        max_length=MAX_FIELDS,
        description="Further headers of each request; their values are never shown.",
    )
    order: Annotated[str, AfterValidator(check_order)] = Field(
        "none",
        max_length=200,
        description="Deliver events of the same `subject`, or of the same value at a JSON pointer, one after another.",
    )
    on_dead: Literal["skip", "hold"] = Field(
        "skip",
        description="With an order, whether the next event of a key goes on after one that could not be delivered, or waits "
        "for a person.",
    )
    rate: Rate | None = Field(
        None, description="Attempts that are made, such as `50/s`; by default no limit."
    )
    concurrency: int = Field(
        8, ge=1, le=64, strict=True, description="Attempts at a time, once the receiver has taken the first."
    )
    timeout: Duration = Field(
        15.0, ge=1, le=30, description="Time for one attempt, from the look-up of the name to the response."
    )
    give_up_on: list[Status] = Field(
        [],
        max_length=20,
        description="Statuses after which an event is not tried again, such as 400 and 422.",
    )
    max_pending: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        strict=True,
        description="Events that wait, beyond which new ones are held.",
    )
    allow_private: bool = Field(
        default=False,
        description="Whether the URL may lead to a private address (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
        "fc00::/7), loopback or a name without a domain. Link-local addresses stay closed.",
    )

    def secret_texts(self) -> list[str]:
        """Return the secrets in clear text, for the signer alone."""
        return [secret.get_secret_value() for secret in self.secrets]


class OutboundRetention(Section):
    """How long the way out keeps what it did."""

    messages: Duration = Field(
        1_296_000.0, description="How long events and their deliveries are kept, for a replay."
    )
    attempts: Duration = Field(2_592_000.0, description="How long single attempts are kept.")
    held: Duration = Field(
        1_209_600.0,
        description="How long a delivery is held for an endpoint that is disabled or full; at most as long as events are kept.",
    )


class OutboundConfig(Section):
    """The way out: events to endpoints, by a process of its own."""

    enabled: Literal["auto"] | bool = Field(
        "auto",
        description="Whether events are delivered to endpoints; `auto` if `endpoints` has any. Endpoints that are made through "
        "the API alone need `true`.",
    )
    separate: bool = Field(
        default=False,
        description="Whether `gateway outbound run` delivers, in processes of its own; otherwise one beside `gateway serve` does.",
    )
    allow_http: bool = Field(
        default=False,
        description="Whether endpoints may have http:// URLs, which anybody on the way can read.",
    )
    ports: list[Annotated[int, Field(ge=1, le=65535, strict=True)]] = Field(
        [],
        max_length=100,
        description="Ports that URLs may have, beside 443 and 8443 (and 80 with `allow_http`).",
    )
    allow_networks: list[NetworkSetting] = Field(
        [],
        description="Private networks that endpoints made by administrators may lead to. Link-local addresses and those of "
        "cloud metadata stay closed.",
    )
    allow_hosts: list[Annotated[str, StringConstraints(min_length=1, max_length=253)]] = Field(
        [],
        description="The only names that URLs may have; empty for all public ones. `*.example.com` is any below it.",
    )
    proxy: Annotated[str, AfterValidator(check_proxy_url)] = Field(
        "",
        repr=False,  # it may contain a password
        description="An egress proxy, such as `http://egress.internal:3128`, which then decides what addresses are reached.",
    )
    keys: list[SecretStr] = Field(
        [],
        max_length=5,
        description="The keys that encrypt endpoints' secrets in the database, newest first: base64 of 32 bytes, such as "
        "`openssl rand -base64 32` makes. By default a key in a file of data_dir.",
    )
    retention: OutboundRetention = Field(
        OutboundRetention(), description="How long events, deliveries and attempts are kept."
    )

    def key_texts(self) -> list[str]:
        """Return the keys in clear text, for the store alone."""
        return [key.get_secret_value() for key in self.keys]
