"""The worker of worker.py, for those who have Celery.

    pip install celery
    RABBITMQ_URL=amqp://guest:guest@localhost:5672/ celery --app examples.celery_worker worker --loglevel INFO

Events are no messages of Celery, so a step of the worker's own consumes them, makes a task of each, and acknowledges an
event when RabbitMQ has confirmed its task. From there on it is a task like any other: retried after a while,
acknowledged when it has ended, and rejected into the dead queue when it has failed for good.
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
    "x-delivery-limit": 5,  # what kills the process that has it comes back five times, not for ever
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD.name,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # which that strategy asks for
}

# The same declaration as the gateway's, so that it does not matter which of the two comes first.
webhooks = Exchange("webhooks", "topic", arguments={"alternate-exchange": "webhooks.unrouted"})
events = Queue(
    "celery-worker", bindings=[binding(webhooks, pattern) for pattern in EVENTS], queue_arguments=QUORUM
)
# A topic exchange: with a direct one, a task that waits for its next attempt would wait in the worker.
tasks = Queue("celery-worker.tasks", Exchange("celery-worker", "topic"), "tasks", queue_arguments=QUORUM)

app = Celery("celery-worker", broker=os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost:5672/"))
app.conf.update(
    task_queues=[tasks],  # a quorum queue, by which Celery knows that there is no global QoS
    task_default_queue=tasks.name,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_acks_late=True,  # a task is done when it has ended, not when it has begun
    task_acks_on_failure=False,  # one that failed for good is rejected, not forgotten
    task_reject_on_worker_lost=True,  # one whose process was killed comes again
)


@app.task(autoretry_for=(Exception,), max_retries=5, retry_backoff=True)
def handle(event: dict[str, Any]) -> None:
    """Do the work; here, say what happened.

    ``handle.request.id`` is the same whenever the same event comes: what must not be done twice is kept by it.
    """
    log.info("%s %s about %s", event["type"], event["id"], event.get("subject", "nothing in particular"))


class Events(bootsteps.ConsumerStep):
    """Makes a task of each event."""

    def get_consumers(self, channel: Any) -> list[Consumer]:
        """A consumer for each connection that the worker makes."""
        DEAD.bind(channel).declare()
        return [Consumer(channel, [events], on_message=self.receive, prefetch_count=10)]

    def receive(self, message: Any) -> None:
        """Acknowledge the event when its task is safe; if we die in between, there will be two of it."""
        try:
            event = json.loads(message.body)
            # A name for source and id together, by which the gateway's events are told apart.
            task_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['source']} {event['id']}"))
        except (ValueError, KeyError, TypeError):
            message.reject()  # into the dead queue: it will not become an event by coming again
            return
        try:
            handle.apply_async((event,), task_id=task_id)
        except OperationalError as error:
            # This is what makes Celery connect anew, and RabbitMQ deliver the event again; the other ends the worker.
            raise ConnectionError("the task was not confirmed") from error
        message.ack()


app.steps["consumer"].add(Events)
