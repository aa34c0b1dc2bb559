"""Settings that are right by themselves and do not fit together."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.bind_addresses import do_clash
from gateway.config.document import FieldPath
from gateway.config.models import EMBEDDED, Config
from gateway.signatures.units import format_duration, format_size
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import TlsFiles


def conflicts(config: Config) -> Iterator[tuple[FieldPath, str]]:
    """What makes a configuration unusable: the setting to change, and why."""
    server, dedupe = config.server, config.dedupe
    yield from _tls_conflicts(config)
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
    for name, provider in config.providers.items():
        if (own := provider.dedupe.retention) is not None and own < dedupe.lease:
            yield (
                ("providers", name, "dedupe", "retention"),
                f"must not be shorter than dedupe.lease ({format_duration(dedupe.lease)})",
            )
    if any(do_clash(bind, admin) for bind in server.bind for admin in server.admin_bind):
        yield ("server", "admin_bind"), "must differ from server.bind: metrics are not for the public"
    limits: list[tuple[FieldPath, int | None]] = [(("server", "max_body"), server.max_body)]
    limits += [(("providers", name, "max_body"), each.max_body) for name, each in config.providers.items()]
    for place, limit in limits:
        if limit and limit > server.max_buffered:
            yield place, f"must not be larger than server.max_buffered ({format_size(server.max_buffered)})"


def _tls_conflicts(config: Config) -> Iterator[tuple[FieldPath, str]]:
    for name, section, scheme in (("redis", config.redis, "rediss"), ("rabbitmq", config.rabbitmq, "amqps")):
        stated, url = section.tls.files, section.url
        if url == EMBEDDED:
            in_url, is_encrypted = TlsFiles(), False
        else:
            parts = RedisUrl.parse(url) if name == "redis" else BrokerUrl.parse(url)
            in_url, is_encrypted = parts.tls, parts.is_tls
        if stated and not is_encrypted:
            yield (name, "tls"), f"is of an encrypted connection; write {name}.url as {scheme}://"
        elif stated and in_url:
            yield (name, "tls"), f"and {name}.url both name files; name all of them here"
        else:
            files, place = (stated, (name, "tls")) if stated else (in_url, (name, "url"))
            for field, problem in files.problems():
                yield (*place, field) if stated else place, problem if stated else f"{field}: {problem}"
