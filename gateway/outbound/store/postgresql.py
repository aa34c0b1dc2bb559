"""The store in PostgreSQL, for several machines: threads with connections, and a limit for each answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from typing_extensions import override

from gateway.errors import OperatorError

try:
    import psycopg
except ImportError as error:
    raise OperatorError(
        "deliveries are to be kept in PostgreSQL (postgres.url), but its library is not installed; run "
        "pip install 'agent-webhook-gateway[postgres]', or set postgres.url to embedded"
    ) from error

from gateway.outbound.store import StoreUnavailable
from gateway.outbound.store.answers import Tables
from gateway.outbound.store.postgres.call import Call
from gateway.outbound.store.postgres.transaction import PostgresTransaction
from gateway.outbound.store.sql.migrations import migrate, prepare, version_of
from gateway.outbound.store.sql.refusals import attempted, result_of
from gateway.outbound.store.sql.store import Operations, SqlStore
from gateway.transport.postgresql import Connections, reason_of

ANSWER_TIMEOUT = 30.0
"""Seconds to wait for an answer of a server that may be frozen, or gone without a word."""

_THREADS = 6
"""Transactions at a time of those that accept, own and record."""

_BROWSERS = 2
"""Questions of operators at a time."""

_TRUSTED_FOR = 1.0
"""Seconds in which a connection is used again at once: a question before each transaction would be one more round trip."""

_SETTINGS = {"enable_seqscan": "off", "jit": "off"}
"""All that is asked has an index. A plan that was made while a table was small reads the whole table, and is kept for up to a
minute while the table grows: outcomes took twice the time of the server (2026-11-30). Without a choice there is none to compile."""

_MAX_TRIES = 5
"""Times that a transaction is begun which PostgreSQL ends for the sake of another one."""

_TRY_AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)
"""Errors after which a transaction that was rolled back is worth another try."""

_PLACE = "the database of postgres.url"
"""What it is called in errors: the address has a password."""

T = TypeVar("T")


class PostgresStore(SqlStore):
    """The store in a database that all processes share.

    Args:
        url: The address of the database.
        keys: The keys of what is kept encrypted, the newest first.
        answer_timeout: Seconds to wait for an answer.
    """

    def __init__(self, url: str, keys: Sequence[bytes], answer_timeout: float = ANSWER_TIMEOUT) -> None:
        super().__init__(keys)
        self._connections = Connections(url, "outbound", _THREADS + _BROWSERS, _TRUSTED_FOR, _SETTINGS)
        self._answer_timeout = answer_timeout
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="outbound")
        self._browsers = ThreadPoolExecutor(_BROWSERS, thread_name_prefix="outbound-browser")
        self._days: set[int] = set()

    @override
    async def start(self) -> None:
        await self._write(lambda transaction: prepare(transaction, _PLACE))

    @override
    async def tables(self) -> Tables:
        return await self._browse(version_of)

    @override
    async def migrate(self) -> Tables:
        return await self._write(lambda transaction: migrate(transaction, _PLACE))

    @override
    async def stop(self) -> None:
        await asyncio.to_thread(self._connections.close)

    @override
    async def _read(self, operation: Operations[T]) -> T:
        return await self._answer(operation, self._threads, writes=False)

    @override
    async def _browse(self, operation: Operations[T]) -> T:
        return await self._answer(operation, self._browsers, writes=False)

    @override
    async def _write(self, operation: Operations[T]) -> T:
        return await self._answer(operation, self._threads, writes=True)

    async def _answer(self, operation: Operations[T], threads: ThreadPoolExecutor, *, writes: bool) -> T:
        call = Call()
        future: Future[object] = threads.submit(self._run, operation, call, writes)
        answer = asyncio.wrap_future(future)
        answer.add_done_callback(_note)
        done, _ = await asyncio.wait([answer], timeout=self._answer_timeout)
        if not done:
            future.cancel()  # if no thread has taken it
            call.sever()
            raise StoreUnavailable(f"PostgreSQL did not answer within {self._answer_timeout:g} s")
        try:
            result: T = result_of(answer.result())
        except psycopg.Error as error:
            raise StoreUnavailable(f"PostgreSQL: {reason_of(error)}") from error
        return result

    def _run(self, operation: Operations[T], call: Call, writes: bool) -> object:
        for number in range(1, _MAX_TRIES):
            with suppress(*_TRY_AGAIN):
                return self._try(operation, call, writes)
            time.sleep(0.01 * number)  # the other one is to be ahead the next time
        return self._try(operation, call, writes)

    def _try(self, operation: Operations[T], call: Call, writes: bool) -> object:
        with self._connections.use() as connection, call.using(connection):
            transaction = PostgresTransaction(connection, self._days)
            if not writes:
                return attempted(operation, transaction)
            with connection.transaction():
                return attempted(operation, transaction)


def _note(answer: asyncio.Future[object]) -> None:
    """Take the error of a call that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()
