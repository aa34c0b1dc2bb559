"""What a handler raises to say what shall become of its event. Anything else that it raises is a failure, too."""

from __future__ import annotations

_LONGEST_REASON = 500


class Retry(Exception):
    """Try again later; an attempt like any other that failed.

    Args:
        after: seconds to wait at least, such as what a model's rate limit asks for; the longest delay of the worker
            is the most that is waited. As long as the attempts say when left out.
    """

    def __init__(self, after: float | None = None) -> None:
        super().__init__("to be tried again" if after is None else f"to be tried again after {after:g} s")
        self.after = after


class Dead(Exception):
    """Trying again is hopeless: the event goes to the dead queue at once.

    Args:
        reason: why, for people. It is kept with the event and logged; 500 characters of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        # What a model has written can have anything in it; what cannot be encoded could not be told to the broker.
        self.reason = str(reason)[:_LONGEST_REASON].encode("utf-8", "replace").decode()
