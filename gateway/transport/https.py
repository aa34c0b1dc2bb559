"""The gateway's own requests, for a key to verify with or to confirm a subscription: HTTPS, and bounded in all ways.

The address comes from what a sender says, so whoever asks has pinned its host before; a redirect is never followed,
or it could lead anywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

    import httpx

TIMEOUT = 2.0
"""Seconds for the whole of a request; a sender waits for what depends on it."""

MAX_CONTENT = 64 * 1024
"""Bytes of an answer; key sets and certificates have a few thousand."""

_HEADERS = {
    "accept-encoding": "identity",
    "connection": "close",  # minutes or hours pass before the next one
    "content-type": "application/json",
    "user-agent": "webhook-gateway",
}


class FetchFailed(Exception):
    """There is no answer that could be used; its text says why, and nothing of what came."""


class Fetched(NamedTuple):
    """An answer; it is for the caller to say which status is good enough."""

    status: int
    content: bytes


def open_client(trust: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client for :func:`fetch`, to be closed with ``aclose``; ``trust`` replaces the usual authorities."""
    import httpx  # noqa: PLC0415 -- slow, and most gateways never fetch anything

    return httpx.AsyncClient(
        verify=trust or httpx.create_ssl_context(trust_env=False),
        trust_env=False,
        limits=httpx.Limits(
            max_keepalive_connections=0
        ),  # requests are rare, and one that was kept may be dead
    )


async def fetch(
    client: httpx.AsyncClient,
    url: str,
    body: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Fetched:
    """What ``url`` answers to a GET, or to a POST of ``body``; it is JSON where ``headers`` do not say otherwise.

    Raises:
        FetchFailed: it is not HTTPS, does not answer in time, or with too much, or compressed.
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
