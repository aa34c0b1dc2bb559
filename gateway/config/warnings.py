"""Warnings: settings that are valid but most likely a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.adapters import registry
from gateway.config.known_types import doubt
from gateway.config.models import Config
from gateway.config.resolve import adapter_of, deadline_of, enrolled_folder, max_body_of, retention_of
from gateway.config.secrets import RECOMMENDED_LENGTH, length_of, warnings_about
from gateway.events.schemas import Catalogue
from gateway.signatures.units import format_duration, format_size

_BALANCER_KEEP_ALIVE = 60.0
"""Seconds for which AWS's load balancers and nginx keep an idle connection to a server by default."""


_MANY_PROXIES = 16
"""Addresses of a network in which there is hardly anything but proxies."""


def config_warnings(config: Config) -> list[str]:
    """Return what is most likely a mistake, one line each, without any secret."""
    return [
        *config.document_warnings,
        *_odd_secrets(config),
        *_shared_secrets(config),
        *_low_limits(config),
        *_open_proxies(config),
        *_many_proxies(config),
        *_late_responses(config),
        *_short_keep_alive(config),
        *_open_enrolments(config),
        *_unknown_types(config),
        *_short_retentions(config),
    ]


def _odd_secrets(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        texts = {f"secrets.{position}": text for position, text in enumerate(provider.secret_texts())}
        token = provider.handshake_token_text()
        if token:
            texts["handshake_token"] = token
        for place, text in texts.items():
            yield from (f"providers.{name}.{place}: {warning}" for warning in warnings_about(text))
            if length_of(text) < RECOMMENDED_LENGTH and place != "handshake_token":
                yield (
                    f"providers.{name}.{place}: is shorter than {RECOMMENDED_LENGTH} characters, so anyone who has seen a "
                    "request may be able to guess it; choose a longer one at the provider, if possible"
                )


def _shared_secrets(config: Config) -> Iterator[str]:
    owners: dict[str, tuple[str, str]] = {}
    for name, provider in config.providers.items():
        for position, secret in enumerate(provider.secret_texts()):
            place = f"providers.{name}.secrets.{position}"
            key = secret.removeprefix("v1,").removeprefix("whsec_")
            owner, other = owners.setdefault(key, (name, place))
            if other == place:
                continue
            if owner == name:
                yield f"{place}: equals {other}; while rotating, list two different secrets"
            else:
                yield f"{place}: equals {other}; anyone who can sign for one can sign for the other"


def _low_limits(config: Config) -> Iterator[str]:
    """Yield limits below what a provider documents, which refuse its genuine requests."""
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        title = adapter.spec.title or "its provider"
        largest, limit = adapter.spec.max_body or 0, max_body_of(config, provider, adapter)
        if limit < largest:
            place = f"providers.{name}.max_body" if provider.max_body else "server.max_body"
            if not provider.max_body and limit == config.server.max_buffered:
                place = "server.max_buffered"
            yield (
                f"{place}: is {format_size(limit)}, but {title} (providers.{name}) sends bodies of up to "
                f"{format_size(largest)}; those beyond the limit are answered 413"
            )
        if provider.tolerance is None:
            continue
        usual = registry.load(provider.adapter).spec.signature.timestamp_tolerance or 0
        if provider.tolerance < usual:
            yield (
                f"providers.{name}.tolerance: is {format_duration(provider.tolerance)}, but the default of adapter "
                f"{provider.adapter} is {format_duration(usual)}, because {title} may sign that long before it sends; "
                "older requests are answered 401"
            )


def _many_proxies(config: Config) -> Iterator[str]:
    """Yield networks in which every machine can use the console as anybody."""
    if not (config.console.enabled and config.console.auth == "proxy"):
        return
    for network in config.server.trusted_proxies:
        if network.num_addresses > _MANY_PROXIES:
            yield (
                f"server.trusted_proxies: {network} has {network.num_addresses:,} addresses, each of which can name any "
                "user to the console (console.auth: proxy); list the proxies' own addresses"
            )


def _open_proxies(config: Config) -> Iterator[str]:
    for position, network in enumerate(config.server.trusted_proxies):
        if network.prefixlen == 0:
            yield f"server.trusted_proxies.{position}: contains every address; anybody could claim an address in allow_ips"


def _late_responses(config: Config) -> Iterator[str]:
    needed = config.redis.timeout + config.rabbitmq.confirm_timeout
    if needed >= config.server.deadline:
        yield (
            "rabbitmq.confirm_timeout: together with redis.timeout, is not shorter than server.deadline "
            f"({format_duration(config.server.deadline)}); a request can end before its event is spooled"
        )
        return
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        patience = adapter.spec.patience
        if patience and needed >= deadline_of(config, adapter):
            yield (
                f"providers.{name}: {adapter.spec.title or 'its provider'} waits {format_duration(patience)} for a "
                f"response, but redis.timeout and rabbitmq.confirm_timeout together are {format_duration(needed)}; "
                "a request can end before its event is spooled"
            )


def _short_keep_alive(config: Config) -> Iterator[str]:
    if config.server.keep_alive <= _BALANCER_KEEP_ALIVE:
        yield (
            f"server.keep_alive: {format_duration(config.server.keep_alive)} is not longer than the "
            f"{format_duration(_BALANCER_KEEP_ALIVE)} for which most load balancers keep a connection; now and then "
            "they would send a request into a connection that is closing, and answer 502"
        )


def _open_enrolments(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        if provider.enrol:
            yield (
                f"providers.{name}.enrol: is true; the first secret that anybody sends is written to "
                f"{enrolled_folder(config) / name}; configure that secret, and remove enrol"
            )


def _unknown_types(config: Config) -> Iterator[str]:
    catalogue = Catalogue.bundled()
    for name, provider in config.providers.items():
        for position, pattern in enumerate(provider.events):
            if why := doubt(pattern, adapter_of(provider), catalogue):
                yield f"providers.{name}.events.{position}: {pattern} {why}"


def _short_retentions(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        retention, horizon = retention_of(config, provider, adapter), adapter.spec.retry_horizon
        if horizon and retention < horizon:
            yield (
                f"providers.{name}.dedupe.retention: is {format_duration(retention)}; {adapter.spec.title} retries a "
                f"request for up to {format_duration(horizon)}, and a later retry is published again"
            )
