"""The composition root: the only module that knows which implementation stands behind each port."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gateway.admission import Admission, Proxies
from gateway.asgi import Health, admin_app, public_app
from gateway.claims import Claims
from gateway.claims.redis import RedisClaims
from gateway.claims.sqlite import SqliteClaims
from gateway.config import EMBEDDED, Config, ProviderConfig
from gateway.config.loader import adapter_of
from gateway.dedupe import Dedupe
from gateway.embedded import Database
from gateway.endpoint import Endpoint
from gateway.event import Envelope
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.publishers import Publisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.schemas import Catalogue, load_file
from gateway.spool import Spool, SpoolingPublisher
from gateway.webhooks import Webhooks

_HEADROOM = 0.5
"""Seconds of a sender's patience that are left to the network."""


class Gateway:
    """A gateway, ready to be started.

    Args:
        config: what is configured.
        folder: the folder that schema files are relative to.
        claims: the claim store; by default the configured one.
        publisher: the way to the broker; by default the configured one.
        clock: Unix seconds.

    Attributes:
        webhooks: what becomes of webhooks.
        public: the ASGI application for senders.
        admin: the ASGI application for the operator.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        *,
        claims: Claims | None = None,
        publisher: Publisher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        database = Database(config.data_dir)
        self._claims = claims or open_claims(config, database)
        self._publisher = publisher or _publisher(config, database)
        self._dedupe = Dedupe(self._claims, accepts_unchecked=config.dedupe.on_unavailable == "accept")
        metrics = Metrics(lambda: self._publisher.unconfirmed, lambda: self._publisher.spooled)
        catalogue = Catalogue.bundled()
        endpoints = {
            name: _endpoint(name, provider, config, folder, catalogue, metrics)
            for name, provider in config.providers.items()
        }
        pipeline = Pipeline(self._dedupe, self._publisher, config.rabbitmq.exchange, clock)
        health = Health(self.troubles, self.is_ready)
        proxies = Proxies(config.server.trusted_proxies)
        self.webhooks = Webhooks(endpoints, proxies, pipeline, metrics)
        self.public = public_app(self.webhooks, health)
        self.admin = admin_app(metrics, health)

    async def start(self) -> None:
        """Open the stores and begin to connect to the servers.

        Raises:
            OSError: an embedded store cannot be opened.
        """
        await self._claims.start()
        await self._publisher.start()

    async def stop(self) -> None:
        """Finish what was accepted and close everything."""
        await self._publisher.stop()
        await self._claims.stop()

    def troubles(self) -> dict[str, str]:
        """What is wrong with each part; empty texts where nothing is."""
        return {"publisher": self._publisher.trouble, "claims": self._claims.trouble}

    def is_ready(self) -> bool:
        """Whether events can be accepted.

        The claim store is waited for at the start; later, events go out unchecked while it is away, if they may.
        """
        can_dedupe = not self._claims.trouble or (self._dedupe.accepts_unchecked and self._claims.was_ready)
        return can_dedupe and self._publisher.is_accepting


def open_claims(config: Config, database: Database | None = None) -> Claims:
    """The configured claim store, not started yet."""
    lease, retention = config.dedupe.lease, config.dedupe.retention
    if config.redis.url == EMBEDDED:
        return SqliteClaims(database or Database(config.data_dir), lease, retention)
    return RedisClaims(config.redis.url, lease, retention, config.redis.timeout)


def _publisher(config: Config, database: Database) -> Publisher:
    rabbitmq = config.rabbitmq
    if rabbitmq.url == EMBEDDED:
        return SqlitePublisher(database, rabbitmq.exchange)
    broker = RabbitPublisher(rabbitmq.url, rabbitmq.exchange, rabbitmq.confirm_timeout)
    return (
        SpoolingPublisher(broker, Spool(config.data_dir, config.spool.max_size))
        if config.spool.enabled
        else broker
    )


def _endpoint(
    name: str, provider: ProviderConfig, config: Config, folder: Path, catalogue: Catalogue, metrics: Metrics
) -> Endpoint:
    adapter = adapter_of(provider)
    server, patience = config.server, adapter.spec.patience
    deadline = min(server.deadline, patience - _HEADROOM) if patience else server.deadline
    return Endpoint(
        name=name,
        adapter=adapter.bind(provider.secret_texts()),
        schemas=load_file(folder / provider.schema_file)
        if provider.schema_file
        else catalogue.of_adapter(adapter.name),
        envelope=Envelope(name, adapter.name),
        metrics=metrics.of_provider(name, len(provider.secrets)),
        events=tuple(provider.events),
        rejects_invalid=provider.on_invalid == "reject",
        max_body=provider.max_body or server.max_body,
        deadline=deadline,
        # What is left suffices for the servers to answer, if it can at all.
        body_deadline=max(deadline / 2, deadline - config.redis.timeout - config.rabbitmq.confirm_timeout),
        admission=Admission(provider.allow_ips, provider.rate_limit),
        public_url=provider.public_url,
    )
