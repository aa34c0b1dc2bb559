"""What the response of an API means for an event: success, another attempt, or the dead-letter queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from gateway.worker import Dead, Retry, raise_for_retry

REQUEST = httpx.Request("POST", "https://api.example.com/private/path?key=private")


def response(status: int, **headers: str) -> httpx.Response:
    """Return a response of httpx."""
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=found, request=REQUEST, text="private")


class AiohttpResponse:
    """A response in the shape of aiohttp's."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: dict[str, str] = {"Retry-After": "7"}
        self.url = "https://api.example.com/"


@pytest.mark.parametrize("status", [200, 201, 204, 304])
def test_a_response_that_succeeded_is_returned(status: int) -> None:
    """So that calls can be chained."""
    found = response(status)

    assert raise_for_retry(found) is found


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_retried(status: int) -> None:
    """By the worker's own delays if the server names none."""
    with pytest.raises(Retry) as raised:
        raise_for_retry(response(status))

    assert raised.value.after is None


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.parametrize(
    ("text", "after"), [("30", 30.0), ("0", 0.0), ("1.5", 1.5), ("-5", 0.0), ("1e400", 366 * 86_400.0)]
)
def test_the_server_says_after_how_many_seconds(status: int, text: str, after: float) -> None:
    """Also with a 403, by which GitHub limits rates."""
    with pytest.raises(Retry) as raised:
        raise_for_retry(response(status, Retry_After=text))

    assert raised.value.after == after


def test_the_server_says_until_when() -> None:
    """A date that has passed is now."""
    for ahead, least, most in ((3600, 3500.0, 3600.0), (-3600, 0.0, 0.0)):
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
        with pytest.raises(Retry) as raised:
            raise_for_retry(response(503, Retry_After=text))
        assert raised.value.after is not None
        assert least <= raised.value.after <= most


@pytest.mark.parametrize("text", ["soon", "", "nan", "Mon, 99 Jan 2025 00:00:00 GMT", "\u0663x"])
def test_what_is_neither_is_ignored(text: str) -> None:
    """The worker's own delays apply."""
    found = response(429)
    found.headers = httpx.Headers({"Retry-After": text}, encoding="utf-8")
    with pytest.raises(Retry) as raised:
        raise_for_retry(found)

    assert raised.value.after is None


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 410, 422])
def test_what_will_not_pass_is_dead(status: int) -> None:
    """The reason has the status and the host, and nothing that could be confidential."""
    with pytest.raises(Dead) as raised:
        raise_for_retry(response(status))

    assert raised.value.reason.startswith(f"HTTP {status} from api.example.com")
    assert "private" not in raised.value.reason


def test_a_response_without_a_request_has_no_host() -> None:
    """As in tests."""
    with pytest.raises(Dead, match=r"^HTTP 404$"):
        raise_for_retry(httpx.Response(404))


def test_aiohttp_calls_the_status_otherwise() -> None:
    """And its responses are understood, too."""
    found = AiohttpResponse(200)

    assert raise_for_retry(found) is found
    with pytest.raises(Retry, match="7 s"):
        raise_for_retry(AiohttpResponse(429))
