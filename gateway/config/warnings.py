"""What can be meant in a configuration but is most likely a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.config.loader import adapter_of, deadline_of, max_body_of, retention_of
from gateway.config.models import Config
from gateway.config.secrets import SHORT, doubts_about, length_of
from gateway.devtools.samples import sample_names
from gateway.events.schemas import Catalogue
from gateway.receive.enrolment import FOLDER
from gateway.signatures.units import format_duration, format_size
from gateway.transport.topic_patterns import key_pattern, key_segment, matches

_ENOUGH_TYPES = 10
"""Known event types of an adapter; of one with fewer, what a pattern names may well be another."""
_KEEP_ALIVE_OF_BALANCERS = 60.0  # seconds: AWS's and nginx's default


def config_warnings(config: Config) -> list[str]:
    """What can be meant but is most likely a mistake: one line each, never with a secret."""
    return [
        *_odd_secrets(config),
        *_shared_secrets(config),
        *_low_limits(config),
        *_open_proxies(config),
        *_late_answers(config),
        *_short_keep_alive(config),
        *_open_windows(config),
        *_unknown_types(config),
        *_short_memories(config),
    ]


def _odd_secrets(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        texts = {f"secrets.{position}": text for position, text in enumerate(provider.secret_texts())}
        token = provider.handshake_token_text()
        if token:
            texts["handshake_token"] = token
        for place, text in texts.items():
            yield from (f"providers.{name}.{place}: {doubt}" for doubt in doubts_about(text))
            if length_of(text) < SHORT and place != "handshake_token":
                yield (
                    f"providers.{name}.{place}: is shorter than {SHORT} characters, so that who has seen a delivery may "
                    "find it out; choose a longer one at the sender, if it lets you"
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
                yield f"{place}: is {other} once more; while rotating there are two that differ"
            else:
                yield f"{place}: is also {other}; who may send to one may then sign for the other"


def _low_limits(config: Config) -> Iterator[str]:
    """Settings below what a sender documents, by which genuine deliveries are refused."""
    for name, provider in config.providers.items():
        adapter = adapter_of(provider)
        title = adapter.spec.title or "its sender"
        largest, limit = adapter.spec.max_body or 0, max_body_of(config, provider, adapter)
        if limit < largest:
            place = f"providers.{name}.max_body" if provider.max_body else "server.max_body"
            if not provider.max_body and limit == config.server.max_buffered:
                place = "server.max_buffered"
            yield (
                f"{place}: is {format_size(limit)}, and {title} (providers.{name}) sends bodies of up to "
                f"{format_size(largest)}; larger ones are answered 413"
            )
        if provider.tolerance is None:
            continue
        usual = registry.load(provider.adapter).spec.signature.timestamp_tolerance or 0
        if provider.tolerance < usual:
            yield (
                f"providers.{name}.tolerance: is {format_duration(provider.tolerance)}, and adapter {provider.adapter} has "
                f"{format_duration(usual)}, since {title} may sign that long before it sends; what is older is answered 401"
            )


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
