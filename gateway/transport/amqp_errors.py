"""What a broker refuses."""

from __future__ import annotations

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


class BrokerRefusal(ConnectionError):
    """The broker closed the channel or the connection and said why.

    Attributes:
        code: the AMQP reply code, such as 403; 0 where it is not known.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code
