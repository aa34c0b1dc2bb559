"""The one place that asks "embedded or real?": open what the configuration names, behind its port.

A third backend is one module for each port and one line for each function here. Implementations are imported inside
the functions: a command needs one or two of them, and ``gateway --help`` none. Nothing that is returned has been
started or connected yet.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from gateway.claims import Claims
from gateway.claims.buckets import SharedBuckets
from gateway.config import EMBEDDED, Config
from gateway.config.resolve import max_retention_of
from gateway.events.message import Message
from gateway.journal import Journal
from gateway.journal.catching_up import CatchingUpJournal
from gateway.journal.indexer import Indexer
from gateway.journal.intake import Intake as JournalIntake
from gateway.journal.raw import raw_folder
from gateway.journal.reports import Carrier, ReportSource
from gateway.journal.reports.sender import Reports
from gateway.journal.workers import Workers
from gateway.outbound.intake import Intake
from gateway.outbound.store import Store as OutboundStore
from gateway.publishers import ARCHIVE_SUFFIX, Publisher, Retention
from gateway.queues.archive import Archive
from gateway.queues.dead_letters import DeadLetterQueue
from gateway.queues.inspection import QueueInspection
from gateway.transport.embedded import Database
from gateway.worker.idempotency import Idempotency
from gateway.worker.queue import Queue
from gateway.worker.runner import Runner
from gateway.worker.store import Store
from gateway.worker.worker import Worker

if TYPE_CHECKING:
    from gateway.claims.redis_servers import RedisServers
    from gateway.observability.tracing.spans import Spans


def has_embedded_claims(config: Config) -> bool:
    """Return whether claims and leases are kept in the data directory rather than in Redis."""
    return config.redis.is_embedded


def has_embedded_queue(config: Config) -> bool:
    """Return whether events are queued in the data directory rather than in RabbitMQ."""
    return config.rabbitmq.is_embedded


def messaging_system_of(config: Config) -> str:
    """Return the name of the broker in traces (``messaging.system`` of the semantic conventions)."""
    return EMBEDDED if has_embedded_queue(config) else "rabbitmq"


def open_claims(config: Config, database: Database | None = None, *, is_quiet: bool = False) -> Claims:
    """Return the configured deduplication store; if ``is_quiet``, its connection is not logged."""
    lease, retention = config.dedupe.lease, config.dedupe.retention
    if has_embedded_claims(config):
        from gateway.claims.sqlite import SqliteClaims

        return SqliteClaims(database or Database(config.data_dir), lease, retention)
    from gateway.claims.redis_packed import PackedRedisClaims

    return PackedRedisClaims(
        _redis_servers(config),
        lease,
        retention,
        config.redis.timeout,
        max_retention=max_retention_of(config),
        is_quiet=is_quiet,
    )


def open_shared_buckets(config: Config) -> SharedBuckets | None:
    """Return the buckets in which all gateways count rate limits; None if each process counts its own."""
    if config.server.limits == "process" or has_embedded_claims(config):
        return None
    from gateway.claims.redis_buckets import RedisBuckets

    return RedisBuckets(_redis_servers(config), config.redis.timeout)


def _redis_servers(config: Config) -> RedisServers:
    redis = config.redis
    if redis.sentinels:
        from gateway.claims.redis_sentinel import SentinelServers

        password = redis.password.get_secret_value() if redis.password else ""
        return SentinelServers(
            [redis.with_tls(url) for url in redis.sentinels], redis.master, redis.username, password
        )
    if redis.cluster:
        from gateway.claims.redis_cluster import ClusterServers

        return ClusterServers([redis.with_tls(url) for url in redis.cluster])
    from gateway.claims.redis_servers import OneServer

    return OneServer(redis.with_tls(redis.url))


def open_publisher(
    config: Config,
    database: Database | None = None,
    slot: int = 0,
    slots: int = 1,
    note_drained: Callable[[Message, float], None] | None = None,
) -> Publisher:
    """Return the configured way to the broker, with its spool, for process ``slot`` of ``slots``.

    ``note_drained`` is called with each message that has left the spool, and the seconds that it waited there.
    """
    rabbitmq, archive = config.rabbitmq, config.archive
    retention = Retention(archive.max_age, archive.max_size) if archive.enabled else None
    if has_embedded_queue(config):
        from gateway.publishers.sqlite import SqlitePublisher

        return SqlitePublisher(database or Database(config.data_dir), rabbitmq.exchange, retention)
    from gateway.publishers.rabbitmq import RabbitPublisher

    broker = RabbitPublisher(rabbitmq.nodes, rabbitmq.exchange, rabbitmq.confirm_timeout, retention)
    if not config.spool.enabled:
        return broker
    from gateway.publishers.spool.publisher import SpoolingPublisher

    return SpoolingPublisher(broker, config.data_dir, config.spool.max_size, slot, slots, note_drained)


def open_tail(config: Config, pattern: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    """Open a view of the events published from now on whose routing key matches ``pattern``.

    Each is a CloudEvent in JSON. Other consumers receive them all the same. None is missed once the block is entered.

    Raises:
        OSError: the broker cannot be reached, or no gateway has declared the exchange yet.
    """
    if has_embedded_queue(config):
        from gateway.queues.embedded import tail_database

        return tail_database(Database(config.data_dir), config.rabbitmq.exchange, pattern)
    from gateway.queues.tail import tail_broker

    return tail_broker(config.rabbitmq.nodes, config.rabbitmq.exchange, pattern)


def open_archive(config: Config) -> AbstractAsyncContextManager[Archive]:
    """Open the archive of the configured gateway.

    Raises:
        OSError: the broker cannot be reached.
        NotThere: there is no archive.
    """
    if has_embedded_queue(config):
        from gateway.queues.archive.sqlite import open_log

        return open_log(Database(config.data_dir))
    from gateway.queues.archive.rabbitmq import open_stream

    return open_stream(config.rabbitmq.nodes, config.rabbitmq.exchange + ARCHIVE_SUFFIX)


def open_dead_letters(
    config: Config, queue: str, target: str | None = None
) -> AbstractAsyncContextManager[DeadLetterQueue]:
    """Open the dead-letter queue ``queue``, from which events may be moved to ``target``.

    Raises:
        OperatorError: the queue does not exist, or the broker cannot be reached, now or later.
    """
    if has_embedded_queue(config):
        from gateway.queues.dead_letters.sqlite import open_sqlite_queue

        return open_sqlite_queue(Database(config.data_dir), queue, target)
    from gateway.queues.dead_letters.rabbitmq import open_rabbitmq_queue

    return open_rabbitmq_queue(config.rabbitmq.nodes, queue, target)


def open_inspection(config: Config) -> AbstractAsyncContextManager[QueueInspection]:
    """Open a view of the queues of the configured broker, which changes nothing in them.

    Raises:
        OSError: The broker cannot be reached.
    """
    if has_embedded_queue(config):
        from gateway.queues.inspection.sqlite import inspect_database

        return inspect_database(Database(config.data_dir).path)
    rabbitmq = config.rabbitmq
    if rabbitmq.management_url:
        from gateway.queues.inspection.management import inspect_through_management

        return inspect_through_management(rabbitmq.nodes, rabbitmq.management_url)
    from gateway.queues.inspection.rabbitmq import inspect_broker

    return inspect_broker(rabbitmq.nodes)


async def smaller_message_limit(config: Config, size: int) -> int | None:
    """Return the largest message in bytes that the broker takes if that is less than ``size``, else None.

    Raises:
        OSError: The broker cannot be reached, or does not say.
    """
    if has_embedded_queue(config):
        return None
    from gateway.queues.inspection.message_limit import smaller_limit

    rabbitmq, suffix = config.rabbitmq, ARCHIVE_SUFFIX if config.archive.enabled else ""
    return await smaller_limit(rabbitmq.nodes, rabbitmq.exchange + suffix, size)


def open_journal(config: Config, *, writable: bool) -> Journal:
    """Return the configured journal, which is made when something is first written to it.

    Args:
        config: The configuration.
        writable: Whether the caller is the console, which indexes (:func:`open_indexer`). For others what processes have
            written is indexed before each answer, unless a console does so.

    Raises:
        OperatorError: The library of PostgreSQL is needed and missing.
    """
    intake = _open_intake(config)
    return intake if writable else CatchingUpJournal(intake, Indexer(intake, raw_folder(config.data_dir)))


def open_indexer(config: Config, journal: Journal) -> Indexer:
    """Return what fills the journal of :func:`open_journal` with what processes write."""
    assert isinstance(journal, JournalIntake)  # noqa: S101 -- all journals are
    return Indexer(journal, raw_folder(config.data_dir))


def _open_intake(config: Config) -> JournalIntake:
    journal = config.journal
    if config.postgres.url != EMBEDDED:
        from gateway.journal.postgresql import PostgresJournal

        return PostgresJournal(config.postgres.url, config.data_dir, journal.max_age, journal.max_size)
    from gateway.journal.segments.writing import Limits
    from gateway.journal.sqlite import SqliteJournal

    return SqliteJournal(config.data_dir, Limits(journal.max_age, journal.max_size))


def open_queue(config: Config, worker: Worker, database: Database | None = None) -> Queue:
    """Return the queue of ``worker`` at the configured broker."""
    rabbitmq = config.rabbitmq
    if has_embedded_queue(config):
        from gateway.worker.sqlite import SqliteQueue

        return SqliteQueue(
            database or Database(config.data_dir), rabbitmq.exchange, worker, config.dedupe.lease
        )
    from gateway.worker.rabbitmq import RabbitQueue

    return RabbitQueue(rabbitmq.nodes, rabbitmq.exchange, worker)


def open_store(config: Config, worker: Worker, database: Database | None = None) -> Store:
    """Return the configured store of leases, order and limits for ``worker``."""
    lease, retention = config.dedupe.lease, config.dedupe.retention
    if has_embedded_claims(config):
        from gateway.worker.store.sqlite import SqliteStore

        return SqliteStore(database or Database(config.data_dir), lease, retention)
    from gateway.worker.store.redis import RedisStore

    needs_scripts = bool(worker.ordered_by or worker.limit)
    return RedisStore(
        _redis_servers(config), lease, retention, config.redis.timeout, needs_scripts=needs_scripts
    )


def open_idempotency(config: Config, worker: Worker, database: Database | None = None) -> Idempotency | None:
    """Return what lets ``worker`` handle each event once; None if it wants none."""
    if worker.guard == "off":
        return None
    store = open_store(config, worker, database)
    # A cluster keeps keys with the same text in braces on one node, which order and limits of a worker need.
    queue = f"{{{worker.queue}}}" if config.redis.cluster else worker.queue
    return Idempotency(store, queue, config.dedupe.lease, worker.guard)


def open_reports(config: Config, database: Database | None = None) -> Reports | None:
    """Return what tells the journal what this process does; None if there is no journal."""
    return Reports(_open_carrier(config, database)) if config.journal.enabled else None


def _open_carrier(config: Config, database: Database | None) -> Carrier:
    if has_embedded_queue(config):
        from gateway.journal.reports.sqlite import SqliteCarrier

        return SqliteCarrier(database or Database(config.data_dir))
    from gateway.journal.reports.rabbitmq import RabbitCarrier

    return RabbitCarrier(config.rabbitmq.nodes, config.rabbitmq.exchange)


def open_report_source(config: Config) -> AbstractAsyncContextManager[ReportSource]:
    """Open the queue of the reports of workers and commands.

    Raises:
        OSError: The broker cannot be reached, or the embedded database cannot be opened.
    """
    if has_embedded_queue(config):
        from gateway.journal.reports.sqlite import open_sqlite_reports

        return open_sqlite_reports(Database(config.data_dir))
    from gateway.journal.reports.rabbitmq import open_rabbitmq_reports

    return open_rabbitmq_reports(config.rabbitmq.nodes, config.rabbitmq.exchange)


def open_outbound_store(config: Config) -> OutboundStore:
    """Return the configured store of the way out: its endpoints, messages and deliveries.

    Raises:
        OperatorError: The library of PostgreSQL is needed and missing, or the file of the key cannot be used.
    """
    from gateway.outbound.sealing import keys_in

    keys = [base64.b64decode(text) for text in config.outbound.key_texts()] or keys_in(config.data_dir)
    if config.postgres.url != EMBEDDED:
        from gateway.outbound.store.postgresql import PostgresStore

        return PostgresStore(config.postgres.url, keys)
    from gateway.outbound.store.sqlite import SqliteStore

    return SqliteStore(config.data_dir, keys)


def open_outbound_intake(config: Config, exchange: str) -> AbstractAsyncContextManager[Intake]:
    """Open the queue from which the way out takes the events of an exchange.

    Raises:
        OSError: The broker cannot be reached, or the embedded database cannot be opened.
    """
    if has_embedded_queue(config):
        from gateway.outbound.intake.sqlite import open_sqlite_intake

        return open_sqlite_intake(Database(config.data_dir), exchange)
    from gateway.outbound.intake.rabbitmq import open_rabbitmq_intake

    return open_rabbitmq_intake(config.rabbitmq.nodes, exchange)


def open_workers(config: Config) -> Workers:
    """Return the table of the workers that are alive, beside the journal."""
    if config.postgres.url != EMBEDDED:
        from gateway.journal.workers.postgresql import PostgresWorkers

        return PostgresWorkers(config.postgres.url)
    from gateway.journal.workers.sqlite import SqliteWorkers

    return SqliteWorkers(config.data_dir)


def open_runner(config: Config, worker: Worker, spans: Spans | None = None) -> Runner:
    """Return what runs ``worker`` in this process; ``spans`` makes spans if tracing is on."""
    database = Database(config.data_dir)  # one for both, which then commit together
    queue, idempotency = open_queue(config, worker, database), open_idempotency(config, worker, database)
    return Runner(worker, queue, idempotency, spans=spans, reports=open_reports(config, database))
