"""Connections to endpoints, whose address was judged: the one that was looked up and allowed is the one that is connected to.

aiohttp's own connector looks names up itself and follows the environment. This one makes the connections in its place, so that
each phase has its own limit and its own time. aiohttp still keeps them for the next request.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import certifi
from aiohappyeyeballs import AddrInfoType, start_connection
from aiohttp import BaseConnector
from typing_extensions import override

from gateway.outbound.addresses import AddressRefused, judge_address, judge_addresses
from gateway.outbound.exchange import ExchangeProtocol
from gateway.outbound.outcomes import Outcome
from gateway.outbound.progress import PROGRESS, AttemptFailed, Progress
from gateway.outbound.proxy import Proxy
from gateway.outbound.resolver import LookupFailed, Resolver

if TYPE_CHECKING:
    from aiohttp import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_MAX_AGE = 60.0
"""Seconds after which a connection is not used again, so that a name that moves is followed."""

_MAX_IDLE = 30.0
"""Seconds for which a connection is kept without a request."""

_ATTEMPT_DELAY = 0.25
"""Seconds before the next address of a name is tried beside the first, as RFC 8305 recommends."""

# https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_VALIDITY = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the phases of a connection may take, in seconds. The deadline of an attempt ends each of them, too.

    Attributes:
        dns: Looking up the name.
        connect: TCP, and the way through a proxy.
        tls: The TLS handshake.
        body: Reading the body, after the head of the response has decided about the attempt.
    """

    dns: float = 2.0
    connect: float = 3.0
    tls: float = 5.0
    body: float = 2.0


def open_trust(ca: str = "") -> ssl.SSLContext:
    """Return the TLS settings: version 1.2 or newer, certificates verified by the usual authorities.

    The environment has no say in it, unlike in `ssl.create_default_context`.

    Args:
        ca: A PEM file with further authorities; empty for none.

    Raises:
        OSError: The file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    if ca:
        context.load_verify_locations(ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


class JudgedConnector(BaseConnector):
    """Makes and keeps connections to endpoints.

    Args:
        resolver: Looks up names.
        trust: The TLS settings.
        limits: How long the phases may take.
        proxy: The way out; None to connect directly. With a proxy, names and addresses are its job.
    """

    def __init__(
        self, resolver: Resolver, trust: ssl.SSLContext, limits: Limits, proxy: Proxy | None = None
    ) -> None:
        super().__init__(limit=0, keepalive_timeout=_MAX_IDLE)  # the engine bounds the attempts under way
        self._resolver = resolver
        self._trust = trust
        self._limits = limits
        self._proxy = proxy

    @override
    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        progress = PROGRESS.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = cast("ExchangeProtocol", connection.protocol)
            if not protocol.exchanges or self._is_usable(protocol, progress):
                progress.begin(protocol)
                return connection
            connection.close()

    def _is_usable(self, protocol: ExchangeProtocol, progress: Progress) -> bool:
        """Return whether a kept connection may be used for this attempt: endpoints may differ in their rules."""
        if progress.wants_fresh or self._loop.time() - protocol.made_at > _MAX_AGE:
            return False
        if self._proxy:
            return True
        try:
            judge_address(protocol.address, progress.rules)
        except AddressRefused:
            return False
        return True

    @override
    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ExchangeProtocol:
        progress = PROGRESS.get()
        sock = await (self._through_proxy(self._proxy, progress) if self._proxy else self._reach(progress))
        address = sock.getpeername()[0]

        def protocol() -> ExchangeProtocol:
            return ExchangeProtocol(self._loop, address)

        if not progress.target.is_https:
            return (await self._loop.create_connection(protocol, sock=sock))[1]
        with progress.measured("tls"):
            try:
                async with asyncio.timeout(self._limits.tls):
                    return (
                        await self._loop.create_connection(
                            protocol, sock=sock, ssl=self._trust, server_hostname=progress.target.host
                        )
                    )[1]
            except TimeoutError:
                raise AttemptFailed(Outcome.TIMEOUT_TLS) from None
            except ssl.SSLError as error:
                raise _tls_failure(error) from None
            except OSError as error:
                raise AttemptFailed(Outcome.RESET, f"TLS: {_cause(error)}") from None

    async def _reach(self, progress: Progress) -> socket.socket:
        """Return a connection to an address of the target, which was judged before and is judged again."""
        addresses = await self._addresses_of(progress)
        sock = await self._connect_to(addresses, progress.target.port, progress)
        try:
            peer = sock.getpeername()[0]
            if peer not in addresses:
                raise AddressRefused("is connected to another address than the one that was looked up")
            judge_address(peer, progress.rules)
        except AddressRefused as error:
            sock.close()
            raise AttemptFailed(Outcome.ADDRESS_REFUSED, f"the URL {error}") from None
        except OSError as error:
            sock.close()
            raise AttemptFailed(Outcome.RESET, _cause(error)) from None
        progress.address = peer
        return sock

    async def _addresses_of(self, progress: Progress) -> Sequence[str]:
        target = progress.target
        if target.address is not None:
            return (str(target.address),)
        with progress.measured("dns"):
            try:
                async with asyncio.timeout(self._limits.dns):
                    addresses = (await self._resolver.resolve(target.host)).addresses
            except TimeoutError:
                raise AttemptFailed(Outcome.TIMEOUT_DNS) from None
            except LookupFailed:
                raise AttemptFailed(Outcome.DNS) from None
        try:
            judge_addresses(addresses, progress.rules)
        except AddressRefused as error:
            raise AttemptFailed(Outcome.ADDRESS_REFUSED, f"the URL {error}") from None
        return addresses

    async def _connect_to(self, addresses: Sequence[str], port: int, progress: Progress) -> socket.socket:
        with progress.measured("connect"):
            try:
                async with asyncio.timeout(self._limits.connect):
                    return await start_connection(
                        [_info(address, port) for address in addresses],
                        happy_eyeballs_delay=_ATTEMPT_DELAY,
                        interleave=1,
                        loop=self._loop,
                    )
            except TimeoutError:
                raise AttemptFailed(Outcome.TIMEOUT_CONNECT) from None
            except OSError as error:
                raise AttemptFailed(Outcome.CONNECT, _cause(error)) from None

    async def _through_proxy(self, proxy: Proxy, progress: Progress) -> socket.socket:
        with progress.measured("connect"):
            try:
                async with asyncio.timeout(self._limits.connect):
                    return await proxy.connect(self._loop, progress.target)
            except TimeoutError:
                raise AttemptFailed(Outcome.TIMEOUT_CONNECT, "the proxy does not answer") from None
            except OSError as error:
                raise AttemptFailed(Outcome.CONNECT, f"proxy: {_cause(error)}") from None


def _info(address: str, port: int) -> AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def _tls_failure(error: ssl.SSLError) -> AttemptFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        outcome = (
            Outcome.TLS_EXPIRED
            if error.verify_code in _VALIDITY
            else Outcome.TLS_NAME
            if error.verify_code in _OTHER_NAME
            else Outcome.TLS_UNTRUSTED
        )
        return AttemptFailed(outcome, error.verify_message)
    return AttemptFailed(Outcome.TLS, (error.reason or "").replace("_", " ").lower())


def _cause(error: OSError) -> str:
    """Return the system's words for an error: those of asyncio repeat the address."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
