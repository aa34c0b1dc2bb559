"""A message: one event in a queue, with its AMQP properties and headers."""

from __future__ import annotations

ATTEMPTS = "x-attempts"
"""The header that counts how often a handler has failed with the event."""

FIRST_FAILED_AT = "x-first-failed-at"
"""The header with the time of the first failure, in RFC 3339."""

LAST_FAILED_AT = "x-last-failed-at"
"""The header with the time of the last failure, in RFC 3339."""

REASON = "x-reason"
"""The header that says why the worker gave the event up."""

EXCEPTION = "x-exception"
"""The header with the class of the handler's last error."""

QUEUE = "x-queue"
"""The header with the name of the queue whose worker gave the event up."""

DEAD_SUFFIX = ".dead"
"""Appended to the name of a worker's queue, this names its dead-letter queue."""
