"""The gateway's own HTTPS requests, which fetch keys and confirm subscriptions.

The address comes out of a request, so its host has been checked against the provider's before. A redirect is never
followed: it could lead to any other host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

    import httpx

TIMEOUT = 2.0
"""Seconds for a whole request: a provider's own request waits for it, and providers give up after a few seconds."""

MAX_CONTENT = 64 * 1024
"""The largest response in bytes; key sets and certificates have a few thousand."""

_HEADERS = {
    "accept-encoding": "identity",
    "connection": "close",  # minutes or hours pass before the next one
    "content-type": "application/json",
    "user-agent": "webhook-gateway",
}


class FetchFailed(Exception):
    """Raised when there is no usable response. The text says why, and does not quote it."""


class Fetched(NamedTuple):
    """A response. The caller decides which statuses it accepts."""

    status: int
    content: bytes


def open_client(trust: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Return a client for :func:`fetch`, to be closed with ``aclose``.

    Args:
        trust: Replaces the usual certificate authorities.
    """
    import httpx  # noqa: PLC0415 -- slow, and most gateways never fetch anything

    return httpx.AsyncClient(
        verify=trust or httpx.create_ssl_context(trust_env=False),
        trust_env=False,
        # Requests are rare, so that a connection that was kept is likely to be dead.
        limits=httpx.Limits(max_keepalive_connections=0),
    )


async def fetch(
    client: httpx.AsyncClient,
    url: str,
    body: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Fetched:
    """Send a GET to ``url``, or POST ``body`` to it; return the response whatever its status.

    Args:
        client: From :func:`open_client`.
        url: The address; anything but ``https://`` is refused.
        body: What is POSTed; None for a GET.
        headers: Added to ours, or in their place. The body is JSON unless they say otherwise.

    Raises:
        FetchFailed: The address is not HTTPS, or the response is late, too large or compressed.
    """
    import httpx  # noqa: PLC0415

    if not url.startswith("https://"):
        raise FetchFailed("is not https")
    method = "GET" if body is None else "POST"
    content = bytearray()
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            client.stream(
                method, url, content=body, headers=_HEADERS | dict(headers), follow_redirects=False
            ) as answer,
        ):
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise FetchFailed("answers compressed although it was asked not to")
            async for part in answer.aiter_raw():
                content += part
                if len(content) > MAX_CONTENT:
                    raise FetchFailed(f"answers with more than {MAX_CONTENT} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise FetchFailed(f"does not answer: {type(error).__name__}") from error
    return Fetched(answer.status_code, bytes(content))
