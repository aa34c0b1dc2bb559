"""What the response of an API means for the event that the request was made for."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from gateway.worker.errors import Dead, Retry

_RETRIED = frozenset((408, 425, 429))
"""Client errors that ask for another attempt: a timeout, too early, and too many requests."""

_MAX_AFTER = 366 * 86_400.0
"""Seconds of a Retry-After that are believed. The worker's own longest delay caps it further."""


class _Response(Protocol):
    """A response of httpx, requests or urllib3's likes."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class _AiohttpResponse(Protocol):
    """A response of aiohttp."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


R = TypeVar("R", bound=_Response | _AiohttpResponse)


def raise_for_retry(response: R) -> R:
    """Return ``response`` if it succeeded; else raise what suits its status, for a handler to pass on.

        invoice = raise_for_retry(await http.get(url)).json()

    - 2xx, and 304: the response is returned.
    - 408, 425, 429, 5xx, and any 4xx with a ``Retry-After``: :class:`~gateway.worker.Retry`, after the time that the
      server asks for, be it seconds or a date.
    - any other 4xx, and a redirect that the client did not follow: :class:`~gateway.worker.Dead`, because another
      attempt would get the same response. The reason has the status and the host, and nothing of path, query or body.

    The response is one of httpx, requests or aiohttp, or has their ``status_code`` or ``status``, and ``headers``.
    """
    status: int = getattr(response, "status_code", None) or getattr(response, "status", None) or 0
    if 200 <= status < 300 or status == 304:
        return response
    after = _retry_after(response.headers)
    if status >= 500 or status in _RETRIED or (status >= 400 and after is not None):
        raise Retry(after)
    host = _host_of(response)
    advice = "; let the client follow redirects" if 300 <= status < 400 else ""
    raise Dead(f"HTTP {status} from {host}{advice}" if host else f"HTTP {status}{advice}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; None if it is absent or malformed."""
    text = (headers.get("Retry-After") or headers.get("retry-after") or "").strip()
    seconds = math.nan
    with suppress(ValueError):
        seconds = float(text)
    if math.isnan(seconds):
        with suppress(ValueError, TypeError, OverflowError):
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _MAX_AFTER)


def _host_of(response: Any) -> str:
    with suppress(RuntimeError, ValueError):  # httpx raises if a response has no request
        return urlsplit(str(getattr(response, "url", ""))).hostname or ""
    return ""
