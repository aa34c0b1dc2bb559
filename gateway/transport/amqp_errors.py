"""Errors of RabbitMQ: reply codes, refusals, and what they mean to an operator."""

from __future__ import annotations

import re
from typing import Self

from pamqp import commands

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
"""AMQP reply codes by their names, with which RabbitMQ begins a reply text."""

_MEANINGS = {
    re.compile("(unknown|support).*mechanism.*EXTERNAL", re.IGNORECASE): (
        "the broker takes no certificate for a login; switch on its plugin rabbitmq_auth_mechanism_ssl and list EXTERNAL in "
        "auth_mechanisms, or write user and password into the address"
    ),
    re.compile("ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL"): (
        "the broker knows no user of the name in the certificate; add one, without a password"
    ),
    re.compile("ACCESS_REFUSED - Login was refused"): "user or password is wrong",
    re.compile("NOT_ALLOWED - access to vhost .* refused for user '[^']*'(?!:)"): (
        "the user may not use this virtual host; give it permissions there"
    ),
    re.compile("NOT_ALLOWED - vhost .* not found"): (
        "there is no such virtual host; create it, or correct the end of the address"
    ),
}
"""The meaning and the remedy of RabbitMQ's reply texts when it refuses a connection."""


_MESSAGE_LIMIT = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")
"""RabbitMQ's reply text for a message beyond its ``max_message_size``."""


def explain_login(words: str) -> str:
    """Explain why the broker refused a connection, or return its words if they are unknown."""
    meaning = next((meaning for pattern, meaning in _MEANINGS.items() if pattern.search(words)), "")
    return f"{meaning} (RabbitMQ: {words})" if meaning else words


class BrokerRefusal(ConnectionError):
    """Raised when the broker closed the channel or the connection and said why.

    Attributes:
        code: The AMQP reply code, such as 403; 0 if it is unknown.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code

    @property
    def message_limit(self) -> int | None:
        """Return how many bytes the body of a message may have, if a larger one was refused; else None."""
        found = _MESSAGE_LIMIT.search(str(self))
        return int(found[1]) if found else None

    @classmethod
    def from_close(cls, close: commands.Connection.Close | commands.Channel.Close) -> Self:
        """Make the error from the method with which the broker closes a channel or the connection."""
        words = f"{close.reply_code} {close.reply_text}"
        if isinstance(close, commands.Connection.Close):
            words = explain_login(words)
        return cls(words, close.reply_code or 0)
