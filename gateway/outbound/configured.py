"""The configured endpoints, as the way out keeps them, and the rules for where endpoints may lead."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.config import Config
from gateway.config.outbound_models import EndpointConfig
from gateway.errors import ConfigurationError
from gateway.outbound.addresses import AddressRefused, AddressRules, judge_url
from gateway.outbound.models import Endpoint, Format, Secret, SignatureKind, Subscription
from gateway.transport.topic_patterns import routing_pattern

if TYPE_CHECKING:
    from gateway.outbound.client import Client

_PREFIX = "ep_"
"""The beginning of an endpoint's id; that of a configured one goes on with its name."""

_PRIVATE: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    *map(IPv6Network, ("::1/128", "fc00::/7")),
)
"""What `allow_private` opens for one endpoint."""


def endpoints_of(config: Config, now: float) -> list[Endpoint]:
    """Return the configured endpoints.

    Args:
        config: The configuration.
        now: When they were made, as far as anybody knows, in Unix seconds.

    Raises:
        ConfigurationError: A URL is one that an endpoint must not have.
    """
    endpoints, problems = [], []
    for name, settings in config.endpoints.items():
        endpoint = _endpoint_of(name, settings, now)
        try:
            judge_url(endpoint.url, rules_of(config, endpoint))
        except AddressRefused as error:
            problems.append(f"endpoints.{name}.url: {error}")
        endpoints.append(endpoint)
    if problems:
        raise ConfigurationError(*problems)
    return endpoints


def rules_of(config: Config, endpoint: Endpoint) -> AddressRules:
    """Return where an endpoint may lead: private networks are shut to those that tenants have made."""
    outbound = config.outbound
    ports, networks = frozenset(outbound.ports), tuple(outbound.allow_networks)
    hosts = frozenset(outbound.allow_hosts)
    settings = config.endpoints.get(endpoint.name) if endpoint.is_configured else None
    if endpoint.is_by_tenant:
        networks = ()
    elif settings and settings.allow_private:
        parts = urlsplit(endpoint.url)
        networks += _PRIVATE
        hosts = frozenset({parts.hostname or ""})
        ports |= _port_of(endpoint.url)
    return AddressRules(outbound.allow_http, ports, networks, hosts, frozenset(_own_hosts(config)))


def client_of(config: Config) -> Client:
    """Return what sends requests to endpoints; it is not started."""
    # Not above: `gateway serve` checks endpoints, and its processes must not load aiohttp.
    from gateway.outbound.client import Client
    from gateway.outbound.proxy import Proxy

    outbound = config.outbound
    rules = AddressRules(
        outbound.allow_http,
        frozenset(outbound.ports),
        tuple(outbound.allow_networks),
        frozenset(outbound.allow_hosts),
        frozenset(_own_hosts(config)),
    )
    return Client(rules, proxy=Proxy.parse(outbound.proxy) if outbound.proxy else None)


def _endpoint_of(name: str, settings: EndpointConfig, now: float) -> Endpoint:
    subscription = Subscription(
        events=tuple(map(routing_pattern, settings.events)),
        where=tuple(_plain(each) for each in settings.where),
    )
    private_key = b""
    if settings.private_key is not None:
        private_key = base64.b64decode(settings.private_key.get_secret_value().removeprefix("whsk_"))
    return Endpoint(
        id=_PREFIX + name,
        name=name,
        tenant=settings.tenant,
        url=settings.url,
        subscriptions=(subscription,),
        is_configured=True,
        description=settings.description,
        headers={field: value.get_secret_value() for field, value in settings.headers.items()},
        format=Format(settings.format),
        signature=SignatureKind(settings.signature),
        sign_as=settings.sign_as,
        secrets=tuple(
            Secret(id=f"sec_{position}", value=text, created_at=now)
            for position, text in enumerate(settings.secret_texts())
        ),
        private_key=private_key,
        rate=settings.rate.events / settings.rate.seconds if settings.rate else None,
        concurrency=settings.concurrency,
        order=settings.order,
        on_dead=settings.on_dead,
        timeout=settings.timeout,
        give_up_on=tuple(settings.give_up_on),
        max_pending=settings.max_pending,
        is_verified=True,
        created_at=now,
        changed_at=now,
    )


def _plain(conditions: Mapping[str, Mapping[Any, Any]]) -> dict[str, dict[str, Any]]:
    return {pointer: dict(operands) for pointer, operands in conditions.items()}


def _port_of(url: str) -> frozenset[int]:
    """Return the port that a URL names; none if it names none, or no port."""
    try:
        port = urlsplit(url).port
    except ValueError:  # told by the judge of URLs
        return frozenset()
    return frozenset() if port is None else frozenset({port})


def _own_hosts(config: Config) -> Iterable[str]:
    """Yield the names by which providers call the gateway: an endpoint there would be sent its own events."""
    for provider in config.providers.values():
        if provider.public_url and (host := urlsplit(provider.public_url).hostname):
            yield host
