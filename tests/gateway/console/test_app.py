"""Hosts, headers, open paths, and who may come in how."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.config import Config, config_warnings
from gateway.config.cross_checks import conflicts
from gateway.console.security.headers import CONTENT_SECURITY_POLICY
from support.console import PROVIDERS, Console


async def _who(request: Request) -> Response:
    principal = request.state.principal
    return PlainTextResponse(f"{principal.name}:{principal.role}:{request.state.caller.client}")


async def _fail(_: Request) -> Response:
    raise ZeroDivisionError


PAGES = [Route("/", _who), Route("/static/a.css", lambda _: PlainTextResponse("css")), Route("/fail", _fail)]


@pytest.mark.parametrize("path", ["/", "/login", "/login.js", "/static/a.css", "/nowhere"])
def test_every_answer_has_the_headers(make_console: Any, path: str) -> None:
    """Also errors, and what is open."""
    with make_console(pages=PAGES).browser() as browser:
        headers = browser.get(path).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "total;dur=" in headers["server-timing"]


@pytest.mark.parametrize("host", ["localhost:8081", "127.0.0.1", "127.9.9.9:1", "[::1]:8081", "LOCALHOST"])
def test_loopback_is_a_host(console: Console, host: str) -> None:
    """In any spelling, with any port: a tunnel has another."""
    with console.browser() as browser:
        assert browser.get("/login", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.5", "", "[::1", "0x7f.1", "a:b:c"]
)
def test_other_hosts_are_not(console: Console, host: str) -> None:
    """A name can be made to lead here by anybody."""
    with console.browser() as browser:
        for path in ("/login", "/", "/api/v1/status", "/static/a.css"):
            assert browser.get(path, headers={"host": host}).status_code == 421


def test_configured_and_bound_hosts_are(make_console: Any) -> None:
    """And any address, where all are bound."""
    console = make_console(server={"admin_bind": "0.0.0.0:8081"}, console={"hosts": ["Hooks.Example"]})
    with console.browser() as browser:
        for host in ("hooks.example", "hooks.example:8081", "10.0.0.5:8081", "[2001:db8::1]"):
            assert browser.get("/login", headers={"host": host}).status_code == 200
        assert browser.get("/login", headers={"host": "evil.example"}).status_code == 421


def test_a_forwarded_host_does_not_replace_the_host(make_console: Any) -> None:
    """A page that rebinds its name sends any field from an address that may count as a proxy."""
    console = make_console(server={"trusted_proxies": ["127.0.0.1"]})
    forged = {"host": "evil.example", "x-forwarded-host": "localhost", "x-forwarded-proto": "https"}
    with console.browser() as browser:
        assert browser.get("/login", headers=forged).status_code == 421
        turned = {**forged, "host": "localhost", "x-forwarded-host": "evil.example"}
        assert browser.get("/login", headers=turned).status_code == 421


def test_a_reload_changes_the_hosts(console: Console) -> None:
    """The configuration in force decides."""
    with console.browser() as browser:
        assert browser.get("/login", headers={"host": "new.example"}).status_code == 421
        console.config = console.configured({"console": {"hosts": ["new.example"]}})
        assert browser.get("/login", headers={"host": "new.example"}).status_code == 200


def test_a_bug_is_an_answer_too(make_console: Any) -> None:
    """Without its traceback."""
    with make_console(pages=PAGES).program("viewer") as client:
        response = client.get("/fail")
    assert response.status_code == 500
    assert "ZeroDivision" not in response.text


def test_a_storage_that_fails_is_said(make_console: Any) -> None:
    """And nobody is let in."""
    console: Console = make_console(pages=PAGES)
    with console.program("viewer") as client:
        console.access.close()
        response = client.get("/")
    assert response.status_code == 503
    console.access = type(console.access)(console.folder, console.clock)


PROXY = {"server": {"trusted_proxies": ["10.0.0.1"], "admin_bind": "0.0.0.0:8081"}}
GROUPS = {"sre": "admin", "support": "operator"}


def proxied(make_console: Any, **more: Any) -> Console:
    """Make a console behind a proxy."""
    console: Console = make_console(
        pages=PAGES, console={"auth": "proxy", "groups": {**GROUPS, **more}}, **PROXY
    )
    return console


def ask(console: Console, client: str, **headers: str) -> tuple[int, str]:
    """Ask who one is."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    with console.browser(client=client) as browser:
        response = browser.get("/", headers=fields)
        return response.status_code, response.text


def test_a_proxy_names_the_user(make_console: Any) -> None:
    """The highest role of its groups counts."""
    console = proxied(make_console)
    assert ask(console, "10.0.0.1", x_forwarded_user="ann", x_forwarded_groups="support, sre") == (
        200,
        "ann:admin:10.0.0.1",
    )
    forwarded = {"x_forwarded_for": "192.0.2.7", "x_forwarded_user": "bob", "x_forwarded_groups": "support"}
    assert ask(console, "10.0.0.1", **forwarded) == (200, "bob:operator:192.0.2.7")


def test_nobody_else_names_a_user(make_console: Any) -> None:
    """Whoever calls past the proxy is nobody; so is a user without a group."""
    console = proxied(make_console)
    named = {"x_forwarded_user": "ann", "x_forwarded_groups": "sre"}
    assert ask(console, "10.0.0.2", **named)[0] == 403
    assert ask(console, "10.0.0.1", x_forwarded_groups="sre")[0] == 403
    assert ask(console, "10.0.0.1", x_forwarded_user="ann")[0] == 403
    assert ask(console, "10.0.0.1", x_forwarded_user="ann", x_forwarded_groups="*, sre2")[0] == 403


def test_everybody_may_have_a_role(make_console: Any) -> None:
    """Where the proxy decides who comes in."""
    console = proxied(make_console, **{"*": "viewer"})
    assert ask(console, "10.0.0.1", x_forwarded_user="ann\x1b[3") == (200, "ann\\u001b[3:viewer:10.0.0.1")


def test_a_repeated_name_is_nobody(make_console: Any) -> None:
    """One of the two is not the proxy's."""
    console = proxied(make_console, **{"*": "viewer"})
    with console.browser(client="10.0.0.1") as browser:
        fields = [("x-forwarded-user", "ann"), ("x-forwarded-user", "root")]
        assert browser.get("/", headers=fields).status_code == 403


def test_without_authentication_everybody_is_admin(make_console: Any) -> None:
    """On loopback, where the configuration allows it."""
    assert ask(make_console(pages=PAGES, console={"auth": "none"}), "127.0.0.1") == (
        200,
        "local:admin:127.0.0.1",
    )


@pytest.mark.parametrize(("network", "count"), [("10.0.0.0/8", 1), ("10.0.0.1", 0), ("2001:db8::/124", 0)])
def test_a_network_in_which_everybody_is_anybody_is_warned_of(network: str, count: int) -> None:
    """Each machine there can name the user."""
    console = {"auth": "proxy", "groups": {"sre": "admin"}}
    config = Config.model_validate(
        {**PROVIDERS, "console": console, "server": {"trusted_proxies": [network]}}
    )
    found = [text for text in config_warnings(config) if "can name any user" in text]
    assert len(found) == count


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"console": {"auth": "none"}, "server": {"admin_bind": "0.0.0.0:8081"}}, "none is for loopback"),
        (
            {"console": {"auth": "none"}, "server": {"admin_bind": ["[::1]:8081", "10.0.0.1:8081"]}},
            r"10\.0\.0\.1:8081",
        ),
        (
            {"console": {"auth": "none"}, "server": {"admin_bind": "gateway.internal:8081"}},
            "none is for loopback",
        ),
        ({"console": {"auth": "proxy", "groups": {"a": "admin"}}}, "trusted_proxies"),
        ({"console": {"auth": "proxy"}, "server": {"trusted_proxies": ["10.0.0.1"]}}, r"console\.groups"),
        (
            {
                "console": {"auth": "none"},
                "server": {"admin_bind": ["127.0.0.1:1", "[::1]:1", "localhost:2"]},
            },
            "",
        ),
        ({"console": {"auth": "none", "enabled": False}, "server": {"admin_bind": "0.0.0.0:8081"}}, ""),
    ],
)
def test_settings_that_let_in_everybody_or_nobody_are_refused(
    settings: dict[str, Any], expected: str
) -> None:
    """At the start, with the place and what to do."""
    found = [
        text
        for path, text in conflicts(Config.model_validate({**PROVIDERS, **settings}))
        if path[0] == "console"
    ]
    assert len(found) == bool(expected)
    assert not expected or re.search(expected, found[0])
