"""What a broker refuses."""

from __future__ import annotations

import re

ACCESS_REFUSED = 403
NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406

CODES = {
    "ACCESS_REFUSED": ACCESS_REFUSED,
    "NOT_FOUND": NOT_FOUND,
    "RESOURCE_LOCKED": RESOURCE_LOCKED,
    "PRECONDITION_FAILED": PRECONDITION_FAILED,
}


_MEANINGS = {
    re.compile("ACCESS_REFUSED - Login was refused"): "user or password is wrong",
    re.compile("NOT_ALLOWED - access to vhost .* refused for user '[^']*'(?!:)"): (
        "the user may not use this virtual host; give it permissions there"
    ),
    re.compile("NOT_ALLOWED - vhost .* not found"): (
        "there is no such virtual host; create it, or correct the end of the address"
    ),
}
"""What a refusal of the connection means and what to do."""


def explain_login(words: str) -> str:
    """Say what a refusal of a connection means, with the broker's own words; others stay as they are."""
    meaning = next((meaning for pattern, meaning in _MEANINGS.items() if pattern.search(words)), "")
    return f"{meaning} (RabbitMQ: {words})" if meaning else words


class BrokerRefusal(ConnectionError):
    """The broker closed the channel or the connection and said why.

    Attributes:
        code: the AMQP reply code, such as 403; 0 where it is not known.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code
