"""What can be meant in a configuration but is most likely a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from gateway.config.loader import adapter_of, deadline_of, retention_of
from gateway.config.models import Config
from gateway.enrolment import FOLDER
from gateway.samples import sample_names
from gateway.schemas import Catalogue
from gateway.topics import key_pattern, key_segment, matches
from providers.adapter import Adapter
from providers.units import format_duration

_ENOUGH_TYPES = 10
"""Known event types of an adapter; of one with fewer, what a pattern names may well be another."""
_KEEP_ALIVE_OF_BALANCERS = 60.0  # seconds: AWS's and nginx's default


def config_warnings(config: Config) -> list[str]:
    """What can be meant but is most likely a mistake: one line each, never with a secret."""
    return [
        *_shared_secrets(config),
        *_open_proxies(config),
        *_late_answers(config),
        *_short_keep_alive(config),
        *_open_windows(config),
        *_unknown_types(config),
        *_short_memories(config),
    ]


def _shared_secrets(config: Config) -> Iterator[str]:
    owners: dict[str, str] = {}
    for name, provider in config.providers.items():
        for position, secret in enumerate(provider.secret_texts()):
            place = f"providers.{name}.secrets.{position}"
            if secret in owners:
                yield f"{place}: is also {owners[secret]}; who may send to one may then sign for the other"
            owners.setdefault(secret, place)


def _open_proxies(config: Config) -> Iterator[str]:
    for position, network in enumerate(config.server.trusted_proxies):
        if network.prefixlen == 0:
            yield f"server.trusted_proxies.{position}: is every address; anybody can then claim to be in allow_ips"


def _late_answers(config: Config) -> Iterator[str]:
    needed = config.redis.timeout + config.rabbitmq.confirm_timeout
    if needed >= config.server.deadline:
        yield (
            "rabbitmq.confirm_timeout: is with redis.timeout not shorter than server.deadline "
            f"({format_duration(config.server.deadline)}); a request can end before its event is spooled"
        )
        return
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        patience = adapter.spec.patience
        if patience and needed >= deadline_of(config, adapter):
            yield (
                f"providers.{name}: {adapter.spec.title or 'its sender'} waits {format_duration(patience)} for an "
                f"answer, and redis.timeout and rabbitmq.confirm_timeout together are {format_duration(needed)}; "
                "a request can end before its event is spooled"
            )


def _short_keep_alive(config: Config) -> Iterator[str]:
    if config.server.keep_alive <= _KEEP_ALIVE_OF_BALANCERS:
        yield (
            f"server.keep_alive: {format_duration(config.server.keep_alive)} is not longer than the "
            f"{format_duration(_KEEP_ALIVE_OF_BALANCERS)} for which most load balancers keep a connection; they would "
            "now and then send a request into one that ends, and answer its sender 502"
        )


def _open_windows(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        if provider.enrol:
            yield (
                f"providers.{name}.enrol: is true; the first secret that anybody tells is written to "
                f"{config.data_dir / FOLDER / name}; configure it, and leave enrol out again"
            )


def _unknown_types(config: Config) -> Iterator[str]:
    catalogue = Catalogue.bundled()
    for name, provider in config.providers.items():
        if not provider.events:
            continue
        adapter = adapter_of(provider)
        known = _types_of(adapter, catalogue)
        if len(known) < _ENOUGH_TYPES:
            continue
        for position, pattern in enumerate(provider.events):
            spelt = key_pattern(pattern)
            # The finer types of a known one, such as the actions of an issue, need not be known.
            if spelt[0] in "*#" or any(
                matches(spelt, each) or f"{spelt}.".startswith(f"{each}.") for each in known
            ):
                continue
            close = get_close_matches(spelt, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            title = adapter.spec.title or adapter.name
            yield (
                f"providers.{name}.events.{position}: {pattern} matches none of the {len(known)} event types that are "
                f"known of {title}{hint}"
            )


def _types_of(adapter: Adapter, catalogue: Catalogue) -> list[str]:
    """The event types of an adapter that there is a schema or a sample of, as patterns spell them."""
    named = [*catalogue.event_types(adapter.family), *sample_names(adapter)]
    return sorted({key_segment(each) for each in named if not each.startswith("_")})


def _short_memories(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        retention, horizon = retention_of(config, provider, adapter), adapter.spec.retry_horizon
        if horizon and retention < horizon:
            yield (
                f"providers.{name}.dedupe.retention: is {format_duration(retention)}; {adapter.spec.title} repeats a "
                f"delivery for up to {format_duration(horizon)}, and what it repeats later is published again"
            )
