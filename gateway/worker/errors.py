"""Exceptions with which a handler decides what happens to its event. Any other exception is a failed attempt."""

from __future__ import annotations

_MAX_REASON_LENGTH = 500
"""Characters of a reason that are kept: it travels in a header of the message and in a line of the log."""


class Retry(Exception):
    """Raised by a handler to try its event again later. It counts as a failed attempt.

    Args:
        after: The minimum delay in seconds, such as a model's rate limit asks for. The worker's longest delay caps it.
            Without it, the delay follows from the number of attempts.
    """

    def __init__(self, after: float | None = None) -> None:
        super().__init__("retry later" if after is None else f"retry after {after:g} s")
        self.after = after


class Dead(Exception):
    """Raised by a handler when another attempt is hopeless: the event goes to the dead-letter queue at once.

    Args:
        reason: Why, in words for people. Its first 500 characters are kept with the event and logged.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        # A reason may quote a model, and so hold a lone surrogate, which no AMQP header can encode.
        self.reason = str(reason)[:_MAX_REASON_LENGTH].encode("utf-8", "replace").decode()
