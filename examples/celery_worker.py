"""The worker of worker.py, with Celery.

    pip install celery
    RABBITMQ_URL=amqp://guest:guest@localhost:5672/ celery --app examples.celery_worker worker --loglevel INFO

Events are not messages of Celery, so a bootstep of the worker consumes them, makes a task of each, and acknowledges an
event once RabbitMQ has confirmed its task. From there on it is a task like any other: retried after a delay,
acknowledged when it has ended, and rejected into the dead-letter queue when it has failed for good.
"""

import json
import os
import uuid
from typing import Any

from celery import Celery, bootsteps
from celery.utils.log import get_task_logger
from kombu import Consumer, Exchange, Queue, binding
from kombu.exceptions import OperationalError

EVENTS = ["stripe.payment_intent.*", "github.pull_request.#", "acme.#"]  # * is one word, # any number
log = get_task_logger(__name__)
DEAD = Queue("celery-worker.dead", queue_arguments={"x-queue-type": "quorum"})
QUORUM = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 5,  # a message that kills its process comes back five times, not for ever
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD.name,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # required by that strategy
}

# The same declaration as the gateway's, so that either of them may come first.
webhooks = Exchange("webhooks", "topic", arguments={"alternate-exchange": "webhooks.unrouted"})
events = Queue(
    "celery-worker", bindings=[binding(webhooks, pattern) for pattern in EVENTS], queue_arguments=QUORUM
)
# A topic exchange: with a direct one, tasks that wait for a retry would wait in the worker's memory.
tasks = Queue("celery-worker.tasks", Exchange("celery-worker", "topic"), "tasks", queue_arguments=QUORUM)

app = Celery("celery-worker", broker=os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost:5672/"))
app.conf.update(
    task_queues=[tasks],  # a quorum queue, so that Celery does not use global QoS
    task_default_queue=tasks.name,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_acks_late=True,  # a task is done when it ends, not when it begins
    task_acks_on_failure=False,  # one that failed for good is rejected, not dropped
    task_reject_on_worker_lost=True,  # one whose process was killed is delivered again
)


@app.task(autoretry_for=(Exception,), max_retries=5, retry_backoff=True)
def handle(event: dict[str, Any]) -> None:
    """Do the work; here, say what happened.

    ``handle.request.id`` is the same whenever the same event comes: use it to do nothing twice.
    """
    log.info("%s %s about %s", event["type"], event["id"], event.get("subject", "nothing in particular"))


class Events(bootsteps.ConsumerStep):
    """A bootstep that makes a task of each event."""

    def get_consumers(self, channel: Any) -> list[Consumer]:
        """Return the consumer of events for a new connection of the worker."""
        DEAD.bind(channel).declare()
        return [Consumer(channel, [events], on_message=self.receive, prefetch_count=10)]

    def receive(self, message: Any) -> None:
        """Acknowledge the event once its task is confirmed; a crash in between leaves two copies."""
        try:
            event = json.loads(message.body)
            # One name for source and id together, which identify an event.
            task_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['source']} {event['id']}"))
        except (ValueError, KeyError, TypeError):
            message.reject()  # into the dead-letter queue: another delivery would not make it an event
            return
        try:
            handle.apply_async((event,), task_id=task_id)
        except OperationalError as error:
            # A ConnectionError makes Celery reconnect, and RabbitMQ deliver the event again; an OperationalError would
            # end the worker.
            raise ConnectionError("the task was not confirmed") from error
        message.ack()


app.steps["consumer"].add(Events)
