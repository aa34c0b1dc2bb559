"""The composition root: the only module that knows which implementation stands behind each port."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.adapters.adapter import Adapter, BoundAdapter
from gateway.claims import Claims
from gateway.claims.clock_skew import ClockWatch
from gateway.claims.dedupe import MAX_WAIT, Dedupe
from gateway.claims.event_key import EventKeys
from gateway.claims.redis import RedisClaims
from gateway.claims.sqlite import SqliteClaims
from gateway.config import EMBEDDED, Config, ProviderConfig
from gateway.config.loader import adapter_of, deadline_of, max_body_of, retention_of
from gateway.events.body import Reader
from gateway.events.envelope import Envelope
from gateway.events.redaction import Redaction
from gateway.events.schemas import AdapterSchemas, Catalogue, load_file
from gateway.observability import logs
from gateway.observability.counters import shared_tallies
from gateway.observability.metrics import Metrics
from gateway.observability.shared_memory import SharedCounters
from gateway.publishers import Publisher, Retention
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.spool.publisher import SpoolingPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.receive.access import AccessControl, TrustedProxies
from gateway.receive.asgi import Health, admin_app, public_app
from gateway.receive.enrolment import Enrolment
from gateway.receive.pipeline import Pipeline
from gateway.receive.public_keys import PublicKeyFetcher
from gateway.receive.receiver import Receiver
from gateway.receive.responses import Success
from gateway.receive.route import Route
from gateway.transport.embedded import Database
from gateway.transport.topic_patterns import key_pattern

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

_FIXED = (
    "server.bind",
    "server.admin_bind",
    "server.workers",
    "server.max_connections",
    "server.max_connections_per_client",
    "server.keep_alive",
    "server.max_in_flight",
    "server.max_buffered",
    "server.shutdown_delay",
    "redis",
    "rabbitmq",
    "data_dir",
    "dedupe",
    "spool",
    "archive",
)
"""What a running gateway cannot change."""


class Gateway:
    """A gateway, ready to be started.

    Args:
        config: what is configured.
        folder: the folder that schema files are relative to.
        claims: the claim store; by default the configured one.
        publisher: the way to the broker; by default the configured one.
        clock: Unix seconds.
        slot: which of the workers this is, from 0.
        slots: how many workers there are.
        tallies: where all workers count; by default a place of its own.
        spans: makes spans, where there are any.

    Attributes:
        webhooks: what becomes of webhooks.
        public: the ASGI application for senders.
        admin: the ASGI application for the operator.
        metrics: what is counted.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        *,
        claims: Claims | None = None,
        publisher: Publisher | None = None,
        clock: Callable[[], float] = time.time,
        slot: int = 0,
        slots: int = 1,
        tallies: SharedCounters | None = None,
        spans: Spans | None = None,
    ) -> None:
        database = Database(config.data_dir)
        self._claims = claims or open_claims(config, database)
        self._publisher = publisher or open_publisher(config, database, slot, slots)
        self._dedupe = Dedupe(self._claims, accepts_unchecked=config.dedupe.on_unavailable == "accept")
        self._clock_watch = ClockWatch(self._claims, clock)
        self.metrics = Metrics(tallies or shared_tallies(slots), slot)
        self.metrics.sample("webhook_publishes_unconfirmed", lambda: self._publisher.unconfirmed)
        self.metrics.sample("webhook_spooled", lambda: self._publisher.spooled)
        self.metrics.sample("webhook_spool_corrupt", lambda: self._publisher.corrupt)
        self.metrics.sample("webhook_broker_unavailable", lambda: bool(self._publisher.unavailable_reason))
        self.metrics.sample("webhook_clock_offset_seconds", lambda: self._clock_watch.offset or 0.0)
        self.metrics.sample("webhook_log_lines_dropped", logs.lines_dropped)
        self._catalogue = Catalogue.bundled()
        self._config = config
        self._folder = folder
        self._is_ending = False
        pipeline = Pipeline(self._dedupe, self._publisher, config.rabbitmq.exchange, clock, spans)
        health = Health(self.troubles, self.is_ready)
        self._keys = PublicKeyFetcher(config.data_dir, clock=clock)
        endpoints = self._endpoints(config)
        self._keys.attach(_adapters(endpoints))
        self.webhooks = Receiver(endpoints, _proxies(config), pipeline, self.metrics, self._keys)
        self.public = public_app(self.webhooks, health)
        self.admin = admin_app(self.metrics, health)

    async def start(self) -> None:
        """Open the stores and begin to connect to the servers.

        Raises:
            OSError: an embedded store cannot be opened.
        """
        await self._claims.start()
        await self._publisher.start()
        await self._clock_watch.start()
        await self.metrics.start()
        await self._keys.start()

    async def stop(self) -> None:
        """Finish what was accepted and close everything."""
        await self.metrics.stop()
        await self._keys.aclose()
        await self._clock_watch.stop()
        await self._publisher.stop()
        await self._claims.stop()

    def reload(self, config: Config) -> list[str]:
        """Use the providers of ``config`` for all requests from now on.

        Returns:
            The settings that differ and cannot change while the gateway runs.

        Raises:
            ValueError: a schema cannot be used; nothing has changed then.
        """
        endpoints = self._endpoints(config)
        self._keys.attach(_adapters(endpoints))
        self.webhooks.replace(endpoints, _proxies(config))
        return [setting for setting in _FIXED if _get(config, setting) != _get(self._config, setting)]

    def announce_end(self) -> None:
        """Say on /readyz that nothing more should be sent here."""
        self._is_ending = True

    def troubles(self) -> dict[str, str]:
        """What is wrong with each part; empty texts where nothing is."""
        troubles = {
            "publisher": self._publisher.unavailable_reason,
            "claims": self._claims.unavailable_reason,
            "clock": self._clock_watch.unavailable_reason,
        }
        return {**troubles, "process": "is ending"} if self._is_ending else troubles

    def is_ready(self) -> bool:
        """Whether events can be accepted.

        The claim store is waited for at the start; later, events go out unchecked while it is away, if they may.
        """
        can_dedupe = not self._claims.unavailable_reason or (
            self._dedupe.accepts_unchecked and self._claims.has_been_ready
        )
        is_well = not (self._clock_watch.unavailable_reason or self._is_ending)
        return can_dedupe and self._publisher.is_accepting and is_well

    def _endpoints(self, config: Config) -> dict[str, Route]:
        return {
            name: _endpoint(name, provider, config, self._folder, self._catalogue, self.metrics)
            for name, provider in config.providers.items()
        }


def _adapters(endpoints: Mapping[str, Route]) -> dict[str, BoundAdapter]:
    return {name: endpoint.adapter for name, endpoint in endpoints.items()}


def _proxies(config: Config) -> TrustedProxies:
    return TrustedProxies(config.server.trusted_proxies, config.server.forwarded)


def _get(config: Config, setting: str) -> object:
    return attrgetter(setting)(config)


def open_claims(config: Config, database: Database | None = None) -> Claims:
    """The configured claim store, not started yet."""
    lease, retention = config.dedupe.lease, config.dedupe.retention
    if config.redis.url == EMBEDDED:
        return SqliteClaims(database or Database(config.data_dir), lease, retention)
    return RedisClaims(config.redis.address, lease, retention, config.redis.timeout)


def schemas_of(
    provider: ProviderConfig, adapter: Adapter, folder: Path, catalogue: Catalogue
) -> AdapterSchemas:
    """What the events of a provider with this adapter are held to; ``folder`` is that of the configuration.

    Raises:
        SchemaError: its own schema cannot be used.
    """
    if provider.schema_file:
        return load_file(folder / provider.schema_file)
    return catalogue.of_adapter(adapter.family)


def open_publisher(
    config: Config, database: Database | None = None, slot: int = 0, slots: int = 1
) -> Publisher:
    """The configured way to the broker, not started yet, for worker ``slot`` of ``slots``."""
    rabbitmq, archive = config.rabbitmq, config.archive
    retention = Retention(archive.max_age, archive.max_size) if archive.enabled else None
    if rabbitmq.url == EMBEDDED:
        return SqlitePublisher(database or Database(config.data_dir), rabbitmq.exchange, retention)
    broker = RabbitPublisher(rabbitmq.address, rabbitmq.exchange, rabbitmq.confirm_timeout, retention)
    if not config.spool.enabled:
        return broker
    return SpoolingPublisher(broker, config.data_dir, config.spool.max_size, slot, slots)


def _endpoint(
    name: str, provider: ProviderConfig, config: Config, folder: Path, catalogue: Catalogue, metrics: Metrics
) -> Route:
    adapter = adapter_of(provider)
    spec = adapter.spec
    hidden = [*spec.redact, *provider.redact]
    if provider.redact and spec.form_xml:
        hidden.append(f"/{spec.form_xml}")  # what is masked in the document stands there in base64
    redaction = Redaction(hidden, provider.redact, name) if hidden else None
    deadline = deadline_of(config, adapter)
    bound = adapter.bind(
        provider.secret_texts(),
        provider.parameters,
        provider.handshake_token_text(),
        redaction.mask if redaction else None,
    )
    return Route(
        name=name,
        adapter=bound,
        reader=Reader(spec, is_body_signed=spec.signature.is_body_bound),
        schemas=schemas_of(provider, adapter, folder, catalogue),
        envelope=Envelope(
            name, adapter.name, redaction, is_partly_signed=spec.signature.is_body_partly_signed
        ),
        keys=EventKeys(bound, retention_of(config, provider, adapter)),
        metrics=metrics.of_provider(name, len(provider.secrets)),
        events=tuple(map(key_pattern, provider.events)),
        rejects_invalid=provider.on_invalid == "reject",
        max_body=max_body_of(config, provider, adapter),
        deadline=deadline,
        # What is left suffices for the servers to answer, if it can at all.
        body_deadline=max(deadline / 2, deadline - config.redis.timeout - config.rabbitmq.confirm_timeout),
        longest_wait=min(MAX_WAIT, deadline / 2),
        admission=AccessControl(provider.allow_ips, provider.rate_limit),
        public_url=provider.public_url,
        enrolment=Enrolment(config.data_dir, name) if provider.enrol else None,
        success=Success(spec.success, accepts_any_2xx=spec.any_2xx),
    )
