"""Idempotency keys: a write that is repeated with its key is done once, and answered as it was the first time.

The form is that of the IETF's draft: a header field `Idempotency-Key`, which belongs to the token or session that sends it. An answer is kept
for a day. A write that failed is not kept: it can be tried again with the same key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import Response

from gateway.console.problems import Problem
from gateway.console.security.access import Access
from gateway.console.security.roles import Principal

HEADER = "idempotency-key"

REPLAYED = "idempotency-replayed"
"""The field of an answer that is the one of the first time."""

MAX_AGE = 86_400.0
"""Seconds for which an answer is kept."""

_MAX_ANSWERS = 10_000
"""Answers that are kept; beyond it the oldest go."""

_MAX_BODY = 64 * 1024
"""Bytes of an answer that is kept."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class IdempotentWrites:
    """Does each write with a key once.

    Args:
        access: Keeps the answers.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._under_way: set[bytes] = set()

    async def run(
        self,
        principal: Principal,
        key: str,
        request: bytes,
        act: Callable[[], Awaitable[Response]],
        *,
        keeps_answer: bool,
    ) -> Response:
        """Do a write, or return the answer that it had.

        Args:
            principal: Who writes.
            key: The key.
            request: What makes the write what it is.
            act: Does it.
            keeps_answer: Whether the answer may be kept; if not, a repetition learns only that it was done.

        Raises:
            Problem: The key is malformed or belongs to another write, or the same write is under way.
        """
        if not _KEY.fullmatch(key):
            raise Problem("malformed_request", "an Idempotency-Key has 1 to 255 visible characters of ASCII")
        name = hashlib.sha256(f"{principal.way}\0{principal.key}\0{key}".encode()).digest()
        digest = hashlib.sha256(request).digest()
        async with self._exclusively(name):
            if (answer := await asyncio.to_thread(self._find, name, digest)) is not None:
                return answer
            response = await act()
            if response.status_code < 400:
                await asyncio.to_thread(self._keep, name, digest, response, keeps_answer=keeps_answer)
            return response

    @asynccontextmanager
    async def _exclusively(self, name: bytes) -> AsyncIterator[None]:
        if name in self._under_way:
            raise Problem(
                "conflict", "a request with this Idempotency-Key is under way", {"retry-after": "1"}
            )
        self._under_way.add(name)
        try:
            yield
        finally:
            self._under_way.discard(name)

    def _find(self, name: bytes, digest: bytes) -> Response | None:
        rows: list[Any] = self._access.database.rows(
            "SELECT request, status, headers, body FROM answers WHERE key = ? AND at > ?",
            name,
            self._access.clock() - MAX_AGE,
        )
        if not rows:
            return None
        request, status, headers, body = rows[0]
        if request != digest:
            raise Problem("idempotency_key_reused", "choose another key for another request")
        if body is None:
            raise Problem("conflict", "this was done already; its answer is not kept")
        return Response(body, status, {**json.loads(headers), REPLAYED: "true"})

    def _keep(self, name: bytes, digest: bytes, response: Response, *, keeps_answer: bool) -> None:
        body = bytes(response.body)
        kept = body if keeps_answer and len(body) <= _MAX_BODY else None
        headers = {
            key: value for key, value in response.headers.items() if key in {"content-type", "location"}
        }
        now = self._access.clock()
        with self._access.database.transaction() as connection:
            connection.execute(
                "DELETE FROM answers WHERE at <= ? OR key IN "
                "(SELECT key FROM answers ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (now - MAX_AGE, _MAX_ANSWERS - 1),
            )
            connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                (name, digest, now, response.status_code, json.dumps(headers), kept),
            )
