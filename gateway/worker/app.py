"""What a worker runs with, by the configuration: the composition root of the consumers' side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import EMBEDDED, Config
from gateway.transport.embedded import Database
from gateway.worker.idempotency import Idempotency
from gateway.worker.queue import Queue
from gateway.worker.rabbitmq import RabbitQueue
from gateway.worker.runner import Runner
from gateway.worker.sqlite import SqliteQueue
from gateway.worker.store import Store
from gateway.worker.store.redis import RedisStore
from gateway.worker.store.sqlite import SqliteStore
from gateway.worker.worker import Worker

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans


def open_queue(config: Config, worker: Worker, database: Database | None = None) -> Queue:
    """The worker's queue at the configured broker, not started yet."""
    rabbitmq = config.rabbitmq
    if rabbitmq.url == EMBEDDED:
        return SqliteQueue(
            database or Database(config.data_dir), rabbitmq.exchange, worker, config.dedupe.lease
        )
    return RabbitQueue(rabbitmq.address, rabbitmq.exchange, worker)


def open_guard(config: Config, worker: Worker, database: Database | None = None) -> Idempotency | None:
    """The worker's guard over the configured store, not started yet; None when it wants none."""
    if worker.guard == "off":
        return None
    lease, retention = config.dedupe.lease, config.dedupe.retention
    store: Store
    if config.redis.url == EMBEDDED:
        store = SqliteStore(database or Database(config.data_dir), lease, retention)
    else:
        needs_scripts = bool(worker.ordered_by or worker.limit)
        store = RedisStore(
            config.redis.address, lease, retention, config.redis.timeout, needs_scripts=needs_scripts
        )
    return Idempotency(store, worker.queue, lease, worker.guard)


def runner_of(config: Config, worker: Worker, spans: Spans | None = None) -> Runner:
    """What runs ``worker`` in this process; ``spans`` makes spans, where there are any."""
    database = Database(config.data_dir)  # one for both, which then commit together
    queue, guard = open_queue(config, worker, database), open_guard(config, worker, database)
    return Runner(worker, queue, guard, spans=spans)
