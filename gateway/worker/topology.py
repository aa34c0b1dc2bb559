"""The topology of a worker in RabbitMQ: its queues and bindings, and what may differ."""

from __future__ import annotations

from pamqp import commands
from pamqp.common import FieldTable

from gateway.events.message import DEAD_SUFFIX
from gateway.publishers import UNROUTED_SUFFIX
from gateway.publishers.declaration import Part, Settings
from gateway.publishers.topology import breaks_routing, loses_events, quorum_queue
from gateway.worker.backoff import Backoff
from gateway.worker.worker import Worker

_AT_LEAST_ONCE: FieldTable = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
"""Arguments of a queue that passes its messages on: it removes one only when the next queue has confirmed it."""

_OTHER_PATTERNS = "keeps other patterns"
"""Marks a refusal whose cause is a change of the worker's events, so that the error names the remedy."""


class WorkerTopology:
    """The exchanges, queues and bindings that ``worker`` needs.

    Args:
        worker: The declaration.
        exchange: The exchange of the events.
        is_in_cluster: Whether the broker is a cluster.

    Attributes:
        dead: The name of the dead-letter queue.
        delays: The names of the delay queues, by their seconds.
    """

    def __init__(self, worker: Worker, exchange: str, *, is_in_cluster: bool = False) -> None:
        self._worker = worker
        self._exchange = exchange
        self._quorum = quorum_queue(is_in_cluster=is_in_cluster)
        self._patterns = " ".join(sorted(worker.events))
        self.dead = worker.queue + DEAD_SUFFIX
        self.delays = {
            seconds: f"{worker.queue}.retry.{seconds:g}"
            for seconds in Backoff(worker.retry_from, worker.retry_most).delays
        }

    def parts(self) -> list[Part]:
        """Return everything to declare, in an order in which nothing names what does not exist yet."""
        queue, exchange = self._worker.queue, self._exchange
        settings: FieldTable = {**self._quorum, **_AT_LEAST_ONCE, **_passes_on_to(self.dead)}
        if self._worker.ordered_by:
            settings["x-single-active-consumer"] = True
        return [
            Part(
                commands.Exchange.Declare(
                    exchange=exchange,
                    exchange_type="topic",
                    durable=True,
                    arguments={"alternate-exchange": exchange + UNROUTED_SUFFIX},
                ),
                breaks_routing("topic"),
            ),
            # AMQP has no way to list the bindings of a queue. This exchange routes nothing: it exists because the broker
            # compares the argument in which it keeps the patterns that the queue was declared with.
            Part(
                commands.Exchange.Declare(
                    exchange=f"{queue}.events",
                    exchange_type="fanout",
                    durable=True,
                    internal=True,
                    arguments={"alternate-exchange": self._patterns},
                ),
                self._breaks_patterns,
                "a change of the worker's events will not be noticed",
            ),
            Part(
                commands.Queue.Declare(queue=self.dead, durable=True, arguments={**self._quorum}),
                loses_events,
            ),
            Part(
                commands.Queue.Declare(queue=queue, durable=True, arguments=settings), self._breaks_handling
            ),
            *(self._delay(seconds, name) for seconds, name in self.delays.items()),
            *(
                Part(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=pattern))
                for pattern in self._worker.events
            ),
        ]

    def explain(self, refusal: str) -> str:
        """Explain ``refusal``, the broker's reason for not declaring a part, with the remedy."""
        queue = self._worker.queue
        if _OTHER_PATTERNS in refusal:
            return (
                f"queue {queue} was declared for other events than {', '.join(self._worker.events)}; nothing was "
                f"changed. Unbind the patterns that it should no longer get, delete the exchange {queue}.events and start "
                f"again, or give the worker another queue. RabbitMQ says: {refusal}"
            )
        return (
            f"something that queue {queue} needs exists with other arguments; nothing was changed. Delete it when it "
            f"is empty and start again, or give the worker another queue. RabbitMQ says: {refusal}"
        )

    def _delay(self, seconds: float, name: str) -> Part:
        return Part(
            commands.Queue.Declare(
                queue=name,
                durable=True,
                arguments={
                    **self._quorum,
                    **_AT_LEAST_ONCE,
                    **_passes_on_to(self._worker.queue),
                    "x-message-ttl": round(seconds * 1000),
                },
            ),
            self._breaks_delay,
        )

    def _breaks_patterns(self, settings: Settings) -> str:
        return "" if settings.get("alternate-exchange") == self._patterns else _OTHER_PATTERNS

    def _breaks_handling(self, settings: Settings) -> str:
        if settings.get("x-queue-type") != "quorum":
            return (
                "does not count deliveries, so that an event which kills its worker would come back for ever"
            )
        if self._worker.ordered_by and not settings.get("x-single-active-consumer"):
            return "has several consumers at a time, so that events are not handled in their order"
        return loses_events(settings)

    def _breaks_delay(self, settings: Settings) -> str:
        if settings.get("x-message-ttl") is None or settings.get("x-expires") is not None:
            return "never gives an event back"
        target = settings.get("x-dead-letter-exchange"), settings.get("x-dead-letter-routing-key")
        if target != ("", self._worker.queue):
            return f"does not give an event back to {self._worker.queue}"
        return loses_events(settings)


def _passes_on_to(queue: str) -> FieldTable:
    """Return the arguments of a queue that passes expired and rejected messages to ``queue``."""
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
