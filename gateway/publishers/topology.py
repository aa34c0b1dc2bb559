"""The exchanges, queues and bindings of the gateway, and the checks of existing ones.

An event that no queue is bound for goes, by the alternate exchange, to ``<exchange>.unrouted``: a routing mistake is a full
queue, not a loss.

With an archive, events are published to a fanout exchange in front of the topic exchange, which feeds that and the
stream. If the stream were bound to the topic exchange itself, every event would have a queue, and none would be unrouted.
"""

from __future__ import annotations

import math

from pamqp import commands
from pamqp.common import FieldTable

from gateway.publishers import ARCHIVE_SUFFIX, QUARANTINE_SUFFIX, UNROUTED_SUFFIX, Retention
from gateway.publishers.declaration import Check, Part, Settings

_SEGMENT_SIZE = 64 * 1024**2
"""The size of a stream's files in bytes. Retention deletes whole files only: with RabbitMQ's default of 500 MB, a gateway
with few events would keep them for years."""

_READS_BEFORE_LIMIT = 2
"""Deliveries that a command which reads a queue may return; see :mod:`gateway.queues.dead_letters.rabbitmq`."""


def quorum_queue(*, is_in_cluster: bool) -> FieldTable:
    """Return the arguments of a quorum queue; in a cluster it has three members, and its leader where few others are."""
    settings: FieldTable = {"x-queue-type": "quorum"}
    if is_in_cluster:
        settings |= {"x-quorum-initial-group-size": 3, "x-queue-leader-locator": "balanced"}
    return settings


def topology(exchange: str, *, is_archiving: bool = False, is_in_cluster: bool = False) -> list[Part]:
    """Return the topic exchange, and the quorum queues for unrouted and quarantined events."""
    unrouted, quarantine = exchange + UNROUTED_SUFFIX, exchange + QUARANTINE_SUFFIX
    quorum = quorum_queue(is_in_cluster=is_in_cluster)
    without = "without it such events are returned by the broker, and wait in the spool"

    def breaks_events(settings: Settings) -> str:
        if is_archiving and settings.get("alternate-exchange") != unrouted:
            # The archive takes every event, so the broker would not return those without a queue.
            return "has no alternate exchange, so that events without a queue would be in the archive only"
        return breaks_routing("topic")(settings)

    return [
        Part(
            commands.Exchange.Declare(exchange=unrouted, exchange_type="fanout", durable=True),
            breaks_routing("fanout"),
        ),
        Part(commands.Queue.Declare(queue=unrouted, durable=True, arguments={**quorum}), loses_events),
        Part(commands.Queue.Bind(queue=unrouted, exchange=unrouted, routing_key=""), without=without),
        Part(
            commands.Exchange.Declare(
                exchange=exchange,
                exchange_type="topic",
                durable=True,
                arguments={"alternate-exchange": unrouted},
            ),
            breaks_events,
        ),
        Part(
            commands.Exchange.Declare(exchange=quarantine, exchange_type="topic", durable=True),
            breaks_routing("topic"),
        ),
        Part(commands.Queue.Declare(queue=quarantine, durable=True, arguments={**quorum}), loses_events),
        Part(commands.Queue.Bind(queue=quarantine, exchange=quarantine, routing_key="#"), without=without),
    ]


def archive_topology(exchange: str, retention: Retention) -> list[Part]:
    """Return what an archive needs besides: the stream, and the fanout exchange that feeds it."""
    archive = exchange + ARCHIVE_SUFFIX
    return [
        Part(
            commands.Queue.Declare(
                queue=archive,
                durable=True,
                arguments={
                    "x-queue-type": "stream",
                    "x-max-age": f"{math.ceil(retention.max_age)}s",
                    "x-max-length-bytes": retention.max_size,
                    "x-stream-max-segment-size-bytes": _SEGMENT_SIZE,
                },
            ),
            _is_no_stream,
        ),
        Part(
            commands.Exchange.Declare(exchange=archive, exchange_type="fanout", durable=True),
            breaks_routing("fanout"),
        ),
        Part(
            commands.Queue.Bind(queue=archive, exchange=archive, routing_key=""),
            without="without it no event is archived",
        ),
        Part(
            commands.Exchange.Bind(destination=exchange, source=archive, routing_key=""),
            without="without it events go to the archive only, and to no worker",
        ),
    ]


def _is_no_stream(settings: Settings) -> str:
    return "" if settings.get("x-queue-type") == "stream" else "is no stream"


def breaks_routing(kind: str) -> Check:
    """Return the check of an exchange that has to route as ``kind`` exchanges do."""

    def check(settings: Settings) -> str:
        if settings["type"] != kind:
            return f"does not route as a {kind} exchange does"
        return "takes no event from outside of the broker" if settings["internal"] else ""

    return check


def loses_events(settings: Settings) -> str:
    """Check a queue in which events have to wait for as long as it takes."""
    if not settings["durable"] or settings["auto_delete"] or settings.get("x-expires") is not None:
        return "ends with a restart, with its last consumer or with time, and its events with it"
    if settings.get("x-queue-type") == "stream":
        return "is a stream, from which no event is ever taken out"
    if settings.get("x-dead-letter-exchange") is not None:  # an operator decided where they go
        return ""
    if settings.get("x-message-ttl") is not None:
        return "drops events after a while"
    is_bounded = settings.get("x-max-length") is not None or settings.get("x-max-length-bytes") is not None
    if is_bounded and settings.get("x-overflow") not in ("reject-publish", "reject-publish-dlx"):
        return "drops the oldest events when it is full"
    limit = settings.get("x-delivery-limit")
    if isinstance(limit, int) and 0 <= limit < _READS_BEFORE_LIMIT:
        return "drops events that are looked at"
    return ""
