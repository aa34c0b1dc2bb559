"""The composition root: build a gateway from its configuration and connect its parts.

The module has slightly more than 200 lines because it names every part of a gateway once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from gateway.adapters.adapter import BoundAdapter
from gateway.backends import open_claims, open_publisher, open_shared_buckets
from gateway.claims import Claims
from gateway.claims.clock_skew import ClockWatch
from gateway.claims.dedupe import MAX_WAIT, Dedupe
from gateway.claims.event_key import EventKeys
from gateway.config import Config, ProviderConfig
from gateway.config.resolve import (
    adapter_of,
    deadline_of,
    enrolled_folder,
    max_body_of,
    retention_of,
    schemas_of,
    type_prefix_of,
)
from gateway.events.body import Reader
from gateway.events.envelope import Envelope
from gateway.events.redaction import Redaction
from gateway.events.schemas import Catalogue
from gateway.http.apps import Health, admin_app, public_app
from gateway.journal import JOURNAL_FOLDER
from gateway.journal.capture import CaptureRing
from gateway.journal.drained import DrainRecorder
from gateway.journal.fingerprints import Fingerprints
from gateway.journal.writer import JournalWriter
from gateway.observability import logs
from gateway.observability.counters import JOURNAL_STAGES, shared_counters
from gateway.observability.metrics import Metrics
from gateway.observability.outbound_counters import OutboundReader
from gateway.observability.readiness import ReadinessBoard, ReadinessWriter
from gateway.observability.shared_memory import PRIVATE, SharedCounters
from gateway.publishers import Publisher
from gateway.receive.access import AccessControl
from gateway.receive.credentials import CredentialMask
from gateway.receive.handshakes import Enrolment
from gateway.receive.ignored_types import IgnoredTypes
from gateway.receive.pipeline import Pipeline
from gateway.receive.proxy_headers import TrustedProxies
from gateway.receive.public_keys import PublicKeyFetcher
from gateway.receive.publishing import EventPublisher
from gateway.receive.receiver import Receiver
from gateway.receive.recording import RequestRecorder
from gateway.receive.responses import Success
from gateway.receive.route import Route
from gateway.receive.shared_limits import SharedLimits
from gateway.signatures.units import EventRate
from gateway.transport.embedded import Database
from gateway.transport.token_bucket import TokenBucket
from gateway.transport.topic_patterns import key_pattern

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

_FIXED = (
    "server.bind",
    "server.admin_bind",
    "server.processes",
    "server.max_connections",
    "server.max_connections_per_client",
    "server.keep_alive",
    "server.limits",
    "server.max_in_flight",
    "server.max_buffered",
    "server.shutdown_delay",
    "redis",
    "rabbitmq",
    "data_dir",
    "dedupe",
    "spool",
    "archive",
    "postgres",
    "journal",
    "console",
    "capture",
    "log",
    "outbound.keys",
    "outbound.retention",
    "outbound.separate",
)
"""The settings that a running gateway cannot change."""


log = structlog.get_logger()


class Gateway:
    """A gateway, ready to be started.

    Args:
        config: the configuration.
        folder: the folder that schema files are relative to.
        claims: the deduplication store; by default the configured one.
        publisher: publishes events; by default the configured one.
        clock: Unix seconds.
        slot: the number of this process, from 0.
        slots: the number of processes.
        counters: the counters that all processes share; by default this process has its own.
        readiness: where the process writes whether it accepts events, for the console; by default nowhere.
        spans: makes spans if tracing is on.
        captures: the memory of refused requests that all processes share; by default none are kept.
        outbound: the numbers of the way out, which is a process of its own; by default there are none.

    Attributes:
        receiver: receives webhooks.
        public: the ASGI application of the public listener.
        admin: the ASGI application of the operator's listener.
        metrics: the metrics.
        claims: the deduplication store.
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
        counters: SharedCounters | None = None,
        readiness: ReadinessBoard | None = None,
        spans: Spans | None = None,
        captures: CaptureRing | None = None,
        outbound: SharedCounters | None = None,
    ) -> None:
        database = Database(config.data_dir)
        self._journal = JournalWriter(config.data_dir / JOURNAL_FOLDER, slot, clock)
        drained = DrainRecorder(self._journal, config.journal.sample)
        self.claims = claims or open_claims(config, database)
        self._publisher = publisher or open_publisher(config, database, slot, slots, drained.note)
        self._dedupe = Dedupe(self.claims, accepts_unchecked=config.dedupe.on_unavailable == "accept")
        self._clock_watch = ClockWatch(self.claims, clock)
        buckets = open_shared_buckets(config)
        self._limits = SharedLimits(buckets) if buckets else None
        self.metrics = Metrics(counters or shared_counters(slots, PRIVATE), slot)
        self.metrics.sample("webhook_publishes_unconfirmed", lambda: self._publisher.unconfirmed)
        self.metrics.sample("webhook_spooled", lambda: self._publisher.spooled)
        self.metrics.sample("webhook_spool_corrupt", lambda: self._publisher.corrupt)
        self.metrics.sample("webhook_broker_unavailable", lambda: bool(self._publisher.unavailable_reason))
        self.metrics.sample("webhook_clock_offset_seconds", lambda: self._clock_watch.offset or 0.0)
        self.metrics.sample(
            "webhook_limits_unshared", lambda: bool(self._limits and self._limits.unavailable_reason)
        )
        self.metrics.sample("webhook_log_lines_dropped", logs.lines_dropped)
        for stage in JOURNAL_STAGES:
            self.metrics.sample(
                "webhook_journal_dropped", partial(self._journal.dropped.__getitem__, stage), stage
            )
        self._catalogue = Catalogue.bundled()
        self._config = config
        self._folder = folder
        self._is_ending = False
        self._fingerprints: Fingerprints | None = None
        self._keys = PublicKeyFetcher(config.data_dir, clock=clock)
        routes = self._routes(config)
        self._keys.attach(_adapters(routes))
        publishing = EventPublisher(self._dedupe, self._publisher, config.rabbitmq.exchange)
        is_recording = config.journal.enabled
        pipeline = Pipeline(publishing, self._keys, clock, spans, notes_events=is_recording)
        self._recorder = RequestRecorder(
            self._journal,
            captures.writer(slot) if captures and config.capture != "off" else None,
            config.journal.addresses,
            config.journal.sample,
        )
        recorder = self._recorder if is_recording or captures else None
        self.receiver = Receiver(routes, _proxies(config), pipeline, self.metrics, recorder)
        health = Health(self.unavailable_reasons, self.is_ready)
        self._readiness = (
            ReadinessWriter(readiness, slot, self.is_ready, self.unavailable_reasons) if readiness else None
        )
        self.public = public_app(health)
        beside = OutboundReader(outbound) if outbound else None
        self.admin = admin_app(self.metrics, health, beside)

    async def start(self) -> None:
        """Open the stores, and start connecting to the servers.

        Raises:
            OSError: an embedded store cannot be opened.
        """
        if self._config.journal.enabled:
            self._journal.start()
            await asyncio.to_thread(self._open_fingerprints)
        await self.claims.start()
        await self._publisher.start()
        await self._clock_watch.start()
        if self._limits:
            await self._limits.start()
        await self.metrics.start()
        await self._keys.start()
        if self._readiness:
            self._readiness.start()

    async def stop(self) -> None:
        """Finish what was accepted, then close everything."""
        if self._readiness:
            self._readiness.stop()
        await self.metrics.stop()
        await self._keys.aclose()
        if self._limits:
            await self._limits.stop()
        await self._clock_watch.stop()
        await self._publisher.stop()
        await self.claims.stop()
        self._journal.stop()

    def reload(self, config: Config) -> list[str]:
        """Use the providers of ``config`` for all requests from now on.

        Returns:
            The settings that differ but cannot change while the gateway runs.

        Raises:
            ValueError: a schema cannot be used; nothing has changed.
        """
        routes = self._routes(config)
        self._keys.attach(_adapters(routes))
        self.receiver.replace(routes, _proxies(config))
        self._note_secrets(config)
        return [setting for setting in _FIXED if _get(config, setting) != _get(self._config, setting)]

    async def reload_certificates(self) -> None:
        """Connect anew to each server whose files of TLS have changed; go on with the connection there is until then."""
        for connected in (self._publisher, self.claims, self._limits):
            if connected:
                await connected.reload_certificates()

    def announce_end(self) -> None:
        """Report on /readyz that this process takes no more traffic."""
        self._is_ending = True
        if self._readiness:
            self._readiness.refresh()

    def unavailable_reasons(self) -> dict[str, str]:
        """Return why each part is unavailable; an empty text for a part that is not."""
        reasons = {
            "publisher": self._publisher.unavailable_reason,
            "claims": self.claims.unavailable_reason,
            "clock": self._clock_watch.unavailable_reason,
        }
        if self._limits:
            reasons["limits"] = self._limits.unavailable_reason
        return {**reasons, "process": "is ending"} if self._is_ending else reasons

    def is_ready(self) -> bool:
        """Return whether events are accepted.

        If the policy allows it, events are published unchecked while the deduplication store is away: a fleet that restarts
        then still takes traffic. At the start, the store is waited for until the first attempt to reach it has ended.
        """
        can_dedupe = not self.claims.unavailable_reason or (
            self._dedupe.accepts_unchecked and self.claims.has_been_tried
        )
        is_well = not (self._clock_watch.unavailable_reason or self._is_ending)
        return can_dedupe and self._publisher.is_accepting and is_well

    def _open_fingerprints(self) -> None:
        try:
            self._fingerprints = Fingerprints(self._config.data_dir / JOURNAL_FOLDER)
        except OSError as error:
            log.warning("secrets have no fingerprints in the journal", cause=str(error))
        self._note_secrets(self._config)

    def _note_secrets(self, config: Config) -> None:
        if self._fingerprints:
            self._recorder.fingerprints = {
                name: [*map(self._fingerprints.of, provider.secret_texts())]
                for name, provider in config.providers.items()
            }

    def _routes(self, config: Config) -> dict[str, Route]:
        return {
            name: _route(
                name,
                provider,
                config,
                self._folder,
                self._catalogue,
                self.metrics,
                self._bucket(name, provider.rate_limit),
            )
            for name, provider in config.providers.items()
        }

    def _bucket(self, name: str, rate: EventRate | None) -> TokenBucket | None:
        if rate is None:
            return None
        return self._limits.bucket_of(name, rate) if self._limits else TokenBucket(rate, time.monotonic)


def _adapters(routes: Mapping[str, Route]) -> dict[str, BoundAdapter]:
    return {name: route.adapter for name, route in routes.items()}


def _proxies(config: Config) -> TrustedProxies:
    return TrustedProxies(config.server.trusted_proxies, config.server.forwarded)


def _get(config: Config, setting: str) -> object:
    return attrgetter(setting)(config)


def _route(
    name: str,
    provider: ProviderConfig,
    config: Config,
    folder: Path,
    catalogue: Catalogue,
    metrics: Metrics,
    bucket: TokenBucket | None,
) -> Route:
    adapter = adapter_of(provider)
    spec = adapter.spec
    hidden = [*spec.redact, *provider.redact]
    if provider.redact and spec.form_xml:
        hidden.append(f"/{spec.form_xml}")  # the document holds what is masked, in base64
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
            name,
            adapter.name,
            redaction,
            is_partly_signed=spec.signature.is_body_partly_signed,
            type_prefix=type_prefix_of(name, provider),
        ),
        keys=EventKeys(bound, retention_of(config, provider, adapter)),
        metrics=metrics.of_provider(name, len(provider.secrets)),
        events=tuple(map(key_pattern, provider.events)),
        rejects_invalid=provider.on_invalid == "reject",
        max_body=max_body_of(config, provider, adapter),
        deadline=deadline,
        # The rest suffices for Redis and RabbitMQ to answer, if the deadline is long enough at all.
        body_deadline=max(deadline / 2, deadline - config.redis.timeout - config.rabbitmq.confirm_timeout),
        longest_wait=min(MAX_WAIT, deadline / 2),
        admission=AccessControl(provider.allow_ips, bucket),
        public_url=provider.public_url,
        enrolment=Enrolment(enrolled_folder(config), name) if provider.enrol else None,
        success=Success(spec.success, accepts_any_2xx=spec.any_2xx),
        refusal=spec.refusal,
        ignored=IgnoredTypes(name),
        mask=CredentialMask(spec.signature),
        paths=(provider.path.encode(),) if provider.path else (),
    )
