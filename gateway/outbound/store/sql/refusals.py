"""What an operation refuses, carried out of its transaction as a value.

Many operations may share one commit, and a connection that an error has left is not used again: a refusal is neither's fault.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.errors import OperatorError
from gateway.outbound.store import Conflict
from gateway.outbound.store.sql.transaction import Transaction


class _Refused(NamedTuple):
    error: Exception


def attempted(operation: Any, transaction: Transaction) -> object:
    """Return the result of an operation, or what it refuses. It refuses before it has written anything."""
    try:
        return operation(transaction)
    except (Conflict, KeyError, OperatorError) as error:
        return _Refused(error)


def result_of(attempt: object) -> Any:
    """Return the result, or raise what was refused.

    Raises:
        Conflict: As the operation.
        KeyError: As the operation.
        OperatorError: As the operation.
    """
    if isinstance(attempt, _Refused):
        raise attempt.error
    return attempt
