"""Checks across settings: each is valid by itself, but they contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.bind_addresses import do_clash, is_loopback
from gateway.config.document import FieldPath
from gateway.config.models import Config
from gateway.config.value_checks import EMBEDDED
from gateway.signatures.units import format_duration, format_size
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import TlsFiles

_OTHER_PATHS = ("/livez", "/readyz")
"""The paths of the public listener that are no webhooks."""


def conflicts(config: Config, *, has_servers: bool = True) -> Iterator[tuple[FieldPath, str]]:
    """Yield each conflict: the path of the setting to change, and the reason.

    Unless it ``has_servers``, placeholders may stand for their addresses.
    """
    server, dedupe = config.server, config.dedupe
    yield from dict.fromkeys(_tls_conflicts(config))  # each node may have the same
    yield from _path_conflicts(config)
    yield from _console_conflicts(config)
    if dedupe.lease < 2 * server.deadline:
        yield (
            ("dedupe", "lease"),
            (
                f"{format_duration(dedupe.lease)} must be at least twice server.deadline "
                f"({format_duration(server.deadline)}), or a slow event is published twice"
            ),
        )
    too_short = f"must not be shorter than dedupe.lease ({format_duration(dedupe.lease)})"
    if dedupe.retention < dedupe.lease:
        yield ("dedupe", "retention"), too_short
    for name, provider in config.providers.items():
        if (own := provider.dedupe.retention) is not None and own < dedupe.lease:
            yield ("providers", name, "dedupe", "retention"), too_short
    if server.limits == "shared" and config.redis.is_embedded and has_servers:
        yield ("server", "limits"), "shared needs a Redis that all gateways use; name it in redis.url"
    if any(do_clash(bind, admin) for bind in server.bind for admin in server.admin_bind):
        yield ("server", "admin_bind"), "must differ from server.bind: metrics must not be public"
    limits: list[tuple[FieldPath, int | None]] = [(("server", "max_body"), server.max_body)]
    limits += [(("providers", name, "max_body"), each.max_body) for name, each in config.providers.items()]
    for place, limit in limits:
        if limit and limit > server.max_buffered:
            yield place, f"must not be larger than server.max_buffered ({format_size(server.max_buffered)})"


def _path_conflicts(config: Config) -> Iterator[tuple[FieldPath, str]]:
    """Yield the paths that lead somewhere else already."""
    taken = dict.fromkeys(_OTHER_PATHS, "the gateway itself")
    taken |= {f"/webhooks/{name}": f"providers.{name}" for name in config.providers}
    for name, provider in config.providers.items():
        if provider.path is None:
            continue
        owner = taken.setdefault(provider.path, f"providers.{name}")
        if owner != f"providers.{name}":
            yield ("providers", name, "path"), f"{provider.path} belongs to {owner}; choose another path"


def _console_conflicts(config: Config) -> Iterator[tuple[FieldPath, str]]:
    """Yield ways of logging in that would let in everybody, or nobody."""
    console, server = config.console, config.server
    if not console.enabled:
        return
    if console.auth == "none":
        for bind in server.admin_bind:
            if not is_loopback(bind):
                yield (
                    ("console", "auth"),
                    (
                        f"none is for loopback addresses only, and server.admin_bind has {bind}; choose token or proxy, "
                        "or bind 127.0.0.1"
                    ),
                )
    elif console.auth == "proxy" and not server.trusted_proxies:
        yield ("console", "auth"), "proxy needs the addresses of the proxies in server.trusted_proxies"
    elif console.auth == "proxy" and not console.groups:
        yield (
            ("console", "auth"),
            'proxy needs console.groups, such as {sre: admin, "*": viewer}: nobody has a role without it',
        )


def _tls_conflicts(config: Config) -> Iterator[tuple[FieldPath, str]]:
    redis, rabbitmq = config.redis, config.rabbitmq
    kinds = {"url": [redis.url], "sentinels": redis.sentinels, "cluster": redis.cluster}
    named = [field for field, urls in kinds.items() if urls and urls != [EMBEDDED]]
    if len(named) > 1:
        yield ("redis", named[1]), f"and redis.{named[0]} both name servers; keep one of them"
    if redis.sentinels and not redis.master:
        yield ("redis", "sentinels"), "needs redis.master, the name of the primary"
    if redis.master and not redis.sentinels:
        yield ("redis", "master"), "is a name that Sentinels know; name them in redis.sentinels"
    if (redis.username or redis.password) and not redis.sentinels:
        yield ("redis", "password"), "is for Sentinels only; elsewhere user and password stand in the address"
    field = named[0] if named else "url"
    for url in kinds[field]:
        parts = None if url == EMBEDDED else RedisUrl.parse(url)
        yield from _tls_conflicts_of("redis", field, "rediss", redis.tls.files, parts)
    if rabbitmq.urls and rabbitmq.url != EMBEDDED:
        yield ("rabbitmq", "urls"), "and rabbitmq.url both name nodes; name all of them here"
    for url in rabbitmq.urls or [rabbitmq.url]:
        field = "urls" if rabbitmq.urls else "url"
        broker = None if url == EMBEDDED else BrokerUrl.parse(url)
        yield from _tls_conflicts_of("rabbitmq", field, "amqps", rabbitmq.tls.files, broker)


def _tls_conflicts_of(
    name: str, field: str, scheme: str, in_file: TlsFiles, url: RedisUrl | BrokerUrl | None
) -> Iterator[tuple[FieldPath, str]]:
    """Yield what is wrong with the files of one connection; ``url`` is None for an embedded store."""
    in_url, is_encrypted = (url.tls, url.is_tls) if url else (TlsFiles(), False)
    if in_file and not is_encrypted:
        yield (name, "tls"), f"needs an encrypted connection; write {name}.{field} as {scheme}://"
    elif in_file and in_url:
        yield (name, "tls"), f"and {name}.{field} both name files; name all of them here"
    elif in_file:
        for each, problem in in_file.problems():
            yield (name, "tls", each), problem
    else:
        for each, problem in in_url.problems():
            yield (name, field), f"{each}: {problem}"
