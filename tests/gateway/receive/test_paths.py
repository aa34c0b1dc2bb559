"""Where a provider may call, how its events are named, and whom the log names."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import pytest
import structlog

from support.acme import Acme
from support.spies import SECRET

BODY = b'{"id":"1","type":"order.created"}'
NAMED = {"event_id": "body:/id", "event_type": "body:/type"}
LOCAL = ["127.0.0.0/8"]


async def call(folder: Path, path: str, settings: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Send an event to ``path``; return what was logged about it."""
    provider = NAMED | settings.pop("provider", {})
    signature = hmac.new(SECRET.encode(), BODY, "sha256").hexdigest()
    with structlog.testing.capture_logs() as logs:
        async with Acme(folder, provider=provider, **settings) as acme:
            await acme.client.post(path, content=BODY, headers={"X-Signature": signature, **headers})
    (line,) = [line for line in logs if line["event"] == "request"]
    return dict(line)


@pytest.mark.parametrize("path", ["/webhooks/acme", "/webhooks/acme/", "/acme/hook", "/acme/hook/"])
async def test_a_provider_may_call_at_a_path_of_its_own_too(tmp_path: Path, path: str) -> None:
    """Beside the usual one; a slash at the end makes no difference."""
    line = await call(tmp_path, path, {"provider": {"path": "/acme/hook"}})

    assert (line["status"], line["provider"]) == (202, "acme")
    assert "path" not in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "com.acme.order.created"),
        ({"type_prefix": "org.example.shop"}, "org.example.shop.order.created"),
    ],
)
async def test_a_provider_of_ones_own_has_event_types_of_its_own(
    tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    """They begin with its name, unless the configuration says how."""
    async with Acme(tmp_path, provider=NAMED | settings) as acme:
        event = await acme.publish(BODY)

    assert event["type"] == expected
    assert acme.publisher.messages[0].type == expected
    assert acme.publisher.messages[0].routing_key == "acme.order.created"


async def test_a_proxy_that_names_no_client_is_the_client(tmp_path: Path) -> None:
    """Such as one that checks our health."""
    settings = {"server": {"trusted_proxies": LOCAL}}

    assert (await call(tmp_path, "/webhooks/acme", settings))["client"] == "127.0.0.1"
    named = await call(tmp_path, "/webhooks/acme", settings, **{"X-Forwarded-For": "192.0.2.7"})
    assert named["client"] == "192.0.2.7"


@pytest.mark.parametrize("path", ["/webhooks/acme", "/webhooks/nobody"])
async def test_the_request_id_of_a_proxy_is_logged(tmp_path: Path, path: str) -> None:
    """So that its log and ours can be joined; bounded, escaped, and only where there is a proxy."""
    with_proxy = {"server": {"trusted_proxies": LOCAL}}
    line = await call(tmp_path, path, with_proxy, **{"X-Request-Id": "7f-" + "x" * 500})

    assert line["request_id"] == ("7f-" + "x" * 500)[:128]
    assert "request_id" not in await call(tmp_path, path, with_proxy)
    assert "request_id" not in await call(tmp_path, path, {}, **{"X-Request-Id": "7f"})


async def test_what_leads_nowhere_is_logged_with_method_and_path(tmp_path: Path) -> None:
    """The path is cut, and its query is left out."""
    line = await call(tmp_path, "/webhooks/" + "a" * 500 + "?token=secret", {})

    assert (line["status"], line["method"]) == (404, "POST")
    assert line["path"] == ("/webhooks/" + "a" * 500)[:200]
    assert "secret" not in str(line)


async def test_a_method_that_is_not_allowed_is_logged(tmp_path: Path) -> None:
    """Somebody opened the address in a browser."""
    with structlog.testing.capture_logs() as logs:
        async with Acme(tmp_path, provider=NAMED) as acme:
            answer = await acme.client.get("/webhooks/acme")

    assert answer.status_code == 405
    assert (logs[0]["method"], logs[0]["path"], logs[0]["provider"]) == ("GET", "/webhooks/acme", "acme")
