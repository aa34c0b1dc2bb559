"""Sends one request to an endpoint, and says how that ended. Every byte and every second is bounded.

No redirect is followed, nothing is read from the environment, and no cookie is kept. A response is decided by its head: what comes
after a 2xx costs the connection, and not the delivery.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from gateway.outbound.addresses import AddressRefused, AddressRules, judge_url
from gateway.outbound.connector import JudgedConnector, Limits, open_trust
from gateway.outbound.exchange import MAX_HEAD
from gateway.outbound.outcomes import Outcome
from gateway.outbound.progress import PROGRESS, AttemptFailed, Progress
from gateway.outbound.proxy import Proxy
from gateway.outbound.resolver import CachedResolver, CaresResolver, Resolver

MAX_BODY = 16 * 1024
"""The bytes of a body that are read. If there are more, the connection is closed."""

MAX_EXCERPT = 1024
"""The bytes of a body that are kept."""

_KEPT_FIELDS = (
    "retry-after",
    "webhook-delivery",
    "webhook-allowed-origin",
    "webhook-allowed-rate",
)
"""The header fields of a response that mean something here."""

_NOT_SENT = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""What aiohttp would add. The request is what its maker says."""


_HEAD_TOO_LARGE = f"the head of the response has more than {MAX_HEAD} bytes"


class OutboundRequest(NamedTuple):
    """A request to an endpoint.

    Attributes:
        url: Where it goes.
        headers: All its header fields, but for `Host` and `Content-Length`.
        body: Its body.
        timeout: Seconds for everything: name, connection, request, head, and what is read of the body.
        method: `POST`, or `OPTIONS` for a handshake.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float = 15.0
    method: str = "POST"


class Result(NamedTuple):
    """How a request ended.

    Attributes:
        outcome: The word for it.
        detail: More about a failure, for people; may be empty. It has nothing of the response.
        status: The HTTP status; None if there was no response.
        ms: How long it took, in milliseconds.
        phases: Milliseconds of each phase that was begun: `dns`, `connect`, `tls`, `head`.
        address: The address that was connected to; empty if there was no connection.
        excerpt: The first bytes of the body as they came. They are hostile.
        headers: Some header fields of the response by their lower-case names. They are hostile.
        earlier: A try before this one on a kept connection, which the receiver had closed.
    """

    outcome: Outcome
    detail: str = ""
    status: int | None = None
    ms: float = 0.0
    phases: Mapping[str, float] = {}
    address: str = ""
    excerpt: bytes = b""
    headers: Mapping[str, str] = {}
    earlier: Result | None = None


class Client:
    """Sends requests to endpoints.

    Args:
        rules: Which URLs and addresses endpoints may have.
        resolver: Looks up names; c-ares by default.
        trust: The TLS settings; :func:`open_trust` by default.
        proxy: The way out; None to connect directly.
        limits: How long the phases of a connection may take.
    """

    def __init__(
        self,
        rules: AddressRules,
        resolver: Resolver | None = None,
        trust: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._rules = rules
        self._resolver = CachedResolver(resolver or CaresResolver())
        self._trust = trust or open_trust()
        self._proxy = proxy
        self._limits = limits or Limits()
        self._session: ClientSession | None = None

    async def start(self) -> None:
        """Make ready to send on the running event loop."""
        self._session = ClientSession(
            connector=JudgedConnector(self._resolver, self._trust, self._limits, self._proxy),
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=_NOT_SENT,
            timeout=ClientTimeout(),
            read_bufsize=MAX_BODY,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
        )

    async def stop(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()
        await self._resolver.close()

    async def send(self, request: OutboundRequest, rules: AddressRules | None = None) -> Result:
        """Send a request and return how that ended, whatever happens; only cancelling it raises.

        A request is sent a second time, on a new connection, if a kept connection ended before a byte of the response came: then
        the receiver had closed it, which every server does after a while.

        Args:
            request: The request.
            rules: Rules of this endpoint in place of the general ones.
        """
        begun = time.perf_counter()
        rules = rules or self._rules
        try:
            target = judge_url(request.url, rules)
        except AddressRefused as error:
            return Result(Outcome.ADDRESS_REFUSED, f"the URL {error}")
        deadline = asyncio.get_running_loop().time() + request.timeout
        progress = Progress(target, rules, wants_fresh=False)
        try:
            return _timed(await self._try(request, progress, deadline), progress, begun)
        except _StaleConnection:
            earlier = _timed(
                Result(Outcome.RESET, "the receiver had closed the kept connection"), progress, begun
            )
        begun = time.perf_counter()
        progress = Progress(target, rules, wants_fresh=True)
        result = await self._try(request, progress, deadline)
        return _timed(result, progress, begun)._replace(earlier=earlier)

    async def _try(self, request: OutboundRequest, progress: Progress, deadline: float) -> Result:
        """Send a request once.

        Raises:
            _StaleConnection: A kept connection was closed already.
        """
        token = PROGRESS.set(progress)
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._begin(request, progress)
        except TimeoutError:
            return Result(progress.timeout_outcome)
        except AttemptFailed as error:
            return Result(error.outcome, error.detail)
        finally:
            PROGRESS.reset(token)
        try:
            excerpt = await self._read(response, deadline)
        finally:
            response.close()  # which is nothing if the body was read to its end
        status = response.status
        headers = {name: value for name in _KEPT_FIELDS if (value := response.headers.get(name)) is not None}
        return Result(_outcome_of(status), "", status, excerpt=excerpt, headers=headers)

    async def _begin(self, request: OutboundRequest, progress: Progress) -> ClientResponse:
        """Send a request, and return the response when its head is complete."""
        if self._session is None:
            raise RuntimeError("the client was not started")
        if self._session.closed:
            raise AttemptFailed(Outcome.INTERRUPTED)
        try:
            return await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            )
        except AttemptFailed:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(error, progress) from None
        except ValueError:  # raised for a head that is too large, and for header fields that are none
            if progress.exchange is None or not progress.exchange.is_head_too_large:
                raise
            raise AttemptFailed(Outcome.PROTOCOL, _HEAD_TOO_LARGE) from None
        finally:
            progress.end()

    def _failure(self, error: Exception, progress: Progress) -> Exception:
        """Return what an error of aiohttp, after there was a connection, means."""
        exchange = progress.exchange
        if exchange is None:
            return AttemptFailed(Outcome.INTERRUPTED if self._is_stopped else Outcome.CONNECT)
        if exchange.is_head_too_large:
            return AttemptFailed(Outcome.PROTOCOL, _HEAD_TOO_LARGE)
        if isinstance(error, aiohttp.ClientResponseError):
            return AttemptFailed(Outcome.PROTOCOL, "the response is not HTTP")
        if self._is_stopped:
            return AttemptFailed(Outcome.INTERRUPTED)
        if progress.is_kept and exchange.received == 0:
            return _StaleConnection()
        return AttemptFailed(Outcome.RESET)

    @property
    def _is_stopped(self) -> bool:
        return self._session is None or self._session.closed

    async def _read(self, response: ClientResponse, deadline: float) -> bytes:
        """Read the body as far as it comes soon; return its beginning."""
        content = bytearray()
        end = min(deadline, asyncio.get_running_loop().time() + self._limits.body)
        with suppress(TimeoutError, aiohttp.ClientError, OSError):  # the status has decided already
            if response.content.is_eof():  # it came with the head, and there is nothing to wait for
                return response.content.read_nowait()[:MAX_EXCERPT]
            async with asyncio.timeout_at(end):
                while len(content) <= MAX_BODY and (piece := await response.content.readany()):
                    content += piece
        return bytes(content[:MAX_EXCERPT])


class _StaleConnection(Exception):
    """Raised when a kept connection had been closed."""


def _outcome_of(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if 300 <= status < 400:
        return Outcome.REDIRECT
    # An interim response is the end only if the receiver changes to a protocol that nobody offered.
    return Outcome.STATUS if status >= 400 else Outcome.PROTOCOL


def _timed(result: Result, progress: Progress, begun: float) -> Result:
    """Add what the progress has measured."""
    ms = round((time.perf_counter() - begun) * 1000, 3)
    return result._replace(ms=ms, phases=progress.phases, address=progress.address)
