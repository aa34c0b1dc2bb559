"""Warnings: settings that are valid but most likely a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.config.models import Config
from gateway.config.resolve import adapter_of, deadline_of, enrolled_folder, max_body_of, retention_of
from gateway.config.secrets import RECOMMENDED_LENGTH, length_of, warnings_about
from gateway.events.schemas import Catalogue
from gateway.signatures.units import format_duration, format_size
from gateway.transport.topic_patterns import key_pattern, key_segment, matches

_MIN_KNOWN_TYPES = 10
"""Known event types of an adapter, below which a pattern that matches none of them causes no warning: too few types of
such a provider are known."""

_BALANCER_KEEP_ALIVE = 60.0
"""Seconds for which AWS's load balancers and nginx keep an idle connection to a server by default."""


def config_warnings(config: Config) -> list[str]:
    """Return what is most likely a mistake, one line each, without any secret."""
    return [
        *config.document_warnings,
        *_odd_secrets(config),
        *_shared_secrets(config),
        *_low_limits(config),
        *_open_proxies(config),
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
        if not provider.events:
            continue
        adapter = adapter_of(provider)
        known = _types_of(adapter, catalogue)
        if len(known) < _MIN_KNOWN_TYPES:
            continue
        for position, pattern in enumerate(provider.events):
            spelled = key_pattern(pattern)
            # A subtype of a known type, such as an action of an issue, need not be known.
            if spelled[0] in "*#" or any(
                matches(spelled, each) or f"{spelled}.".startswith(f"{each}.") for each in known
            ):
                continue
            close = get_close_matches(spelled, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            title = adapter.spec.title or adapter.name
            yield (
                f"providers.{name}.events.{position}: {pattern} matches none of the {len(known)} known event types "
                f"of {title}{hint}"
            )


def _types_of(adapter: Adapter, catalogue: Catalogue) -> list[str]:
    """Return the event types of an adapter with a schema or a sample, spelled as in patterns."""
    named = [*catalogue.event_types(adapter.family), *registry.sample_files(adapter.family)]
    return sorted({key_segment(each) for each in named if not each.startswith("_")})


def _short_retentions(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        retention, horizon = retention_of(config, provider, adapter), adapter.spec.retry_horizon
        if horizon and retention < horizon:
            yield (
                f"providers.{name}.dedupe.retention: is {format_duration(retention)}; {adapter.spec.title} retries a "
                f"request for up to {format_duration(horizon)}, and a later retry is published again"
            )
