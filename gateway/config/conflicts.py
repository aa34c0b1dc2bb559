"""Settings that are right by themselves and do not fit together."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.document import FieldPath
from gateway.config.models import Config
from gateway.enrolment import FOLDER
from providers.units import format_duration, format_size


def conflicts(config: Config) -> Iterator[tuple[FieldPath, str]]:
    """What makes a configuration unusable: the setting to change, and why."""
    server, dedupe = config.server, config.dedupe
    if dedupe.lease < 2 * server.deadline:
        yield (
            ("dedupe", "lease"),
            (
                f"{format_duration(dedupe.lease)} must be at least twice server.deadline "
                f"({format_duration(server.deadline)}), or a slow event is handled twice"
            ),
        )
    if dedupe.retention < dedupe.lease:
        yield (
            ("dedupe", "retention"),
            f"must not be shorter than dedupe.lease ({format_duration(dedupe.lease)})",
        )
    if server.bind == server.admin_bind and not server.bind.endswith(":0"):
        yield ("server", "admin_bind"), "must differ from server.bind: metrics are not for the public"
    limits: list[tuple[FieldPath, int | None]] = [(("server", "max_body"), server.max_body)]
    limits += [(("providers", name, "max_body"), each.max_body) for name, each in config.providers.items()]
    for place, limit in limits:
        if limit and limit > server.max_buffered:
            yield place, f"must not be larger than server.max_buffered ({format_size(server.max_buffered)})"


def config_warnings(config: Config) -> list[str]:
    """What can be meant but is most likely a mistake: one line each, never with a secret."""
    return [*_shared_secrets(config), *_open_proxies(config), *_late_answers(config), *_open_windows(config)]


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
    deadline = config.server.deadline
    if config.redis.timeout + config.rabbitmq.confirm_timeout >= deadline:
        yield (
            "rabbitmq.confirm_timeout: is with redis.timeout not shorter than server.deadline "
            f"({format_duration(deadline)}); a request can end before its event is spooled"
        )


def _open_windows(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        if provider.enrol:
            yield (
                f"providers.{name}.enrol: is true; the first secret that anybody tells is written to "
                f"{config.data_dir / FOLDER / name}; configure it, and leave enrol out again"
            )
