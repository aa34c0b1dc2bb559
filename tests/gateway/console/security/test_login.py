"""The login form, links and sessions, as a browser uses them."""

from __future__ import annotations

import pytest
from markupsafe import escape
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.console.security.cross_site import csrf_field
from gateway.console.security.gate import require
from gateway.console.security.login import safe_address
from gateway.console.security.roles import Role
from support.console import Console, hidden_fields, log_in


async def _page(request: Request) -> Response:
    return Response(f"{escape(request.state.principal.name)}{csrf_field(request)}", media_type="text/html")


@require(Role.ADMIN)
async def _drop(_: Request) -> Response:
    return PlainTextResponse("dropped")


PAGES = [Route("/", _page), Route("/events", _page), Route("/drop", _drop, methods=["POST"])]
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def console(make_console: object) -> Console:
    """A console with two pages."""
    made = make_console(pages=PAGES)  # type: ignore[operator]
    assert isinstance(made, Console)
    return made


def test_who_is_not_logged_in_is_led_to_the_form_and_back(console: Console) -> None:
    """With the address that was asked for."""
    with console.browser() as browser:
        response = browser.get("/events?q=a%26b")
        assert response.status_code == 303
        assert response.headers["location"] == "/login?next=%2Fevents%3Fq%3Da%2526b"
        form = hidden_fields(browser.get(response.headers["location"]).text)
        assert form["next"] == "/events?q=a%26b"

        logged_in = log_in(browser, token=console.token("viewer"), next=form["next"])
        assert (logged_in.status_code, logged_in.headers["location"]) == (303, "/events?q=a%26b")
        assert browser.get("/events").status_code == 200
        assert browser.get("/login").status_code == 303


def test_the_cookie_is_out_of_reach(console: Console) -> None:
    """HttpOnly, SameSite, for all paths, and Secure if the proxy says TLS."""
    with console.browser() as browser:
        cookie = log_in(browser, token=console.token("viewer")).headers.get_list("set-cookie")[0]
    assert cookie.startswith("gateway-session-8081=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


def test_behind_tls_the_cookie_is_for_tls_only(make_console: object) -> None:
    """And its name says so."""
    console: Console = make_console(  # type: ignore[operator]
        pages=PAGES, server={"trusted_proxies": ["10.0.0.1"]}, console={"hosts": ["hooks.example"]}
    )
    with console.browser("http://hooks.example", "10.0.0.1") as browser:
        browser.headers.update({"x-forwarded-proto": "https", "x-forwarded-host": "hooks.example"})
        shown = browser.get("/login")
        cookies = {"cookie": shown.headers["set-cookie"].partition(";")[0]}
        form = {**hidden_fields(shown.text), "token": console.token("viewer")}
        origin = {"origin": "https://hooks.example"}
        response = browser.post("/login", data=form, headers={**cookies, **origin})
        assert response.status_code == 303
        cookie = response.headers.get_list("set-cookie")[0]
        assert cookie.startswith("__Host-gateway-session-443=")
        assert "Secure" in cookie.split("; ")
        wrong = browser.post("/login", data=form, headers={**cookies, "origin": "http://hooks.example"})
        assert wrong.status_code == 403


def test_a_link_logs_in_once(console: Console) -> None:
    """What the script sends."""
    code = console.access.login_link("http://127.0.0.1:8081", "root").partition("=")[2]
    with console.browser() as browser:
        assert log_in(browser, once=code).status_code == 303
        assert browser.get("/").text.startswith("root")
    with console.browser() as other:
        response = log_in(other, once=code)
        assert response.status_code == 401
        assert "gateway console link" in response.text


def test_logging_out_ends_the_session_on_the_server(console: Console) -> None:
    """Its cookie is worthless from then on."""
    with console.browser() as browser:
        log_in(browser, token=console.token("viewer"))
        cookies = dict(browser.cookies)
        form = hidden_fields(browser.get("/").text)
        assert browser.post("/logout", data=form, headers=SAME).headers["location"] == "/login"
        assert browser.get("/").status_code == 303
    with console.browser() as thief:
        thief.cookies.update(cookies)
        assert thief.get("/").status_code == 303


def test_ten_failures_in_a_minute_are_too_many(console: Console) -> None:
    """Then the right token does not help either, from there; elsewhere it does."""
    token = console.token("viewer")
    with console.browser() as browser, console.browser(client="127.0.0.2") as other:
        for _ in range(10):
            assert log_in(browser, token="wrong").status_code == 401
        response = log_in(browser, token=token)
        assert response.status_code == 429
        assert 0 < int(response.headers["retry-after"]) <= 61
        assert log_in(other, token=token).status_code == 303
    assert [entry.outcome for entry in console.access.audit.entries()][:2] == ["done", "not_authenticated"]


def test_a_crowd_does_not_fill_the_audit(console: Console) -> None:
    """Of failed logins some sixty a minute are kept, whoever fails."""
    for number in range(10):
        with console.browser(client=f"10.0.0.{number}") as browser:
            for _ in range(10):
                assert log_in(browser, token="wrong").status_code == 401
    assert 60 <= len(console.access.audit.entries(limit=200)) <= 75


def test_a_session_survives_a_restart_of_the_console(console: Console) -> None:
    """Everything about it is in the file."""
    with console.browser() as browser:
        log_in(browser, token=console.token("viewer"))
        cookies = dict(browser.cookies)
    console.app = console.make_app()
    with console.browser() as browser:
        browser.cookies.update(cookies)
        assert browser.get("/").status_code == 200


def test_another_site_cannot_log_somebody_in(console: Console) -> None:
    """Neither by what the browser says, nor with a form of its own."""
    token = console.token("viewer")
    with console.browser() as browser:
        form = {**hidden_fields(browser.get("/login").text), "token": token}
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "http://evil.example"},
        ):
            assert browser.post("/login", data=form, headers=headers).status_code == 403
        assert browser.post("/login", data=form, headers={"origin": "null"}).status_code == 303
    with console.browser() as browser:  # without the cookie, as another site's form is sent
        assert browser.post("/login", data=form, headers={"origin": "null"}).status_code == 403


def test_a_write_needs_the_page(console: Console) -> None:
    """The token of a form of this session, and no word of another site."""
    with console.browser() as browser, console.browser() as other:
        log_in(browser, token=console.token("admin"))
        log_in(other, token=console.token("admin"))
        form = hidden_fields(browser.get("/").text)
        assert browser.post("/drop", data=form, headers=SAME).text == "dropped"
        assert (
            browser.post("/drop", data=form, headers={"origin": "http://127.0.0.1:8081"}).status_code == 200
        )
        assert browser.post("/drop", headers={**SAME, "x-csrf-token": form["csrf"]}).status_code == 200
        refused = [
            browser.post("/drop", headers=SAME),
            browser.post("/drop", data={"csrf": "x"}, headers=SAME),
            browser.post("/drop", data=hidden_fields(other.get("/").text), headers=SAME),
            browser.post("/drop", data=form, headers={"sec-fetch-site": "cross-site"}),
            browser.post("/drop", data=form, headers={"sec-fetch-site": "same-site"}),
            browser.post("/drop", data=form, headers={"origin": "http://127.0.0.1:8082"}),
            browser.post("/drop", data={"csrf": [form["csrf"], "x"]}, headers=SAME),
        ]
        assert [response.status_code for response in refused] == [403] * 7


def test_a_role_is_needed(console: Console) -> None:
    """An operator drops nothing."""
    with console.browser() as browser:
        log_in(browser, token=console.token("operator"))
        response = browser.post("/drop", data=hidden_fields(browser.get("/").text), headers=SAME)
        assert response.status_code == 403
        assert "this needs the role admin" in response.text


def test_a_link_on_another_site_loads_the_page_again(console: Console) -> None:
    """The browser leaves the cookie out at first; then the page asks by itself."""
    with console.browser() as browser:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        response = browser.get("/events", headers=headers)
        assert response.status_code == 200
        assert '<meta http-equiv="refresh" content="0">' in response.text
        log_in(browser, token=console.token("viewer"))
        assert browser.get("/events", headers={**headers, "sec-fetch-mode": "no-cors"}).status_code == 403


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/a\n",
        "javascript:x",
        "",
        "/login?next=/",
        "/ä",
    ],
)
def test_a_login_leads_to_the_console_only(text: str) -> None:
    """An address from elsewhere is not followed."""
    assert safe_address(text) == "/"


def test_a_large_body_of_a_stranger_is_refused(console: Console) -> None:
    """A login is short."""
    with console.browser() as browser:
        response = browser.post("/login", data={"token": "x" * 20_000}, headers=SAME)
        assert response.status_code == 413


def test_the_form_escapes(console: Console) -> None:
    """The address to go on to comes from outside."""
    with console.browser() as browser:
        text = browser.get("/login?next=/%22%3E%3Cscript%3E").text
        assert "<script>" not in text.replace('<script src="/login.js" defer></script>', "")
