"""Every page: who may see it, and who may send its forms. The API's operations have a walk of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from gateway.console.pages import Pages
from gateway.console.security.gate import OPEN_PATHS, OPEN_PREFIX
from gateway.console.security.roles import Role
from support.console import Console, hidden_fields
from support.console_pages import PagesConsole

FOR_EVERYBODY = {"/theme", "/logout"}
"""Forms that change nothing but what one sees oneself."""

FOR_ADMINS = {"/drop", "/forget", "/tokens", "/tokens/revoke"}
"""Forms that an operator may not send."""

SAME = {"sec-fetch-site": "same-origin"}


@cache
def routes() -> tuple[tuple[str, str], ...]:
    """Return method and path of each page that is not open."""
    with TemporaryDirectory() as folder:
        console = Console(Path(folder))
        found = [each for each in Pages(console.services).routes() if isinstance(each, Route)]
        console.access.close()
    pairs = {
        (method, re.sub(r"\{[^}]*\}", "x", route.path))
        for route in found
        for method in (route.methods or {"GET"})
        if method != "HEAD"
    } | {("POST", "/logout")}
    return tuple(
        sorted(each for each in pairs if each[1] not in OPEN_PATHS and not each[1].startswith(OPEN_PREFIX))
    )


FORMS = [path for method, path in routes() if method == "POST"]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesConsole]:
    """A console with its pages."""
    made = PagesConsole(tmp_path_factory.mktemp("console"), {}, is_empty=True)
    yield made
    made.access.close()


def logged_in(console: Console, client: TestClient, role: str) -> dict[str, str]:
    """Begin a session, and return the hidden fields of its forms."""
    principal = console.access.tokens.principal(console.token(role))
    assert principal
    client.cookies.set("gateway-session-8081", console.access.sessions.begin(principal))
    return {"csrf": hidden_fields(client.get("/settings").text)["csrf"]}


def test_there_are_pages_and_forms() -> None:
    """Otherwise the tests below would prove nothing."""
    assert len(routes()) > 25
    assert set(FORMS) >= FOR_ADMINS | FOR_EVERYBODY | {"/redrive", "/release", "/redeliver"}


@pytest.mark.parametrize(("method", "path"), routes())
def test_nobody_sees_a_page_without_a_login(console: PagesConsole, method: str, path: str) -> None:
    """Nor under a foreign name."""
    with console.browser() as client:
        response = client.request(method, path, headers=SAME)
        assert response.status_code == (401 if method == "POST" else 303)
        assert client.request(method, path, headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("path", FORMS)
def test_a_form_wants_its_page_and_a_role(console: PagesConsole, path: str) -> None:
    """Another site's form is refused whoever is logged in; a role below, though the page is right."""
    for role in Role:
        with console.browser() as client:
            form: dict[str, Any] = logged_in(console, client, role)
            assert client.post(path, data=form, headers={"sec-fetch-site": "cross-site"}).status_code == 403
            assert client.post(path, headers=SAME).status_code == 403
            if path in FOR_EVERYBODY:
                assert client.post(path, data=form, headers=SAME).status_code == 303
                continue
            needed = Role.ADMIN if path in FOR_ADMINS else Role.OPERATOR
            if not role.includes(needed):
                assert client.post(path, data=form, headers=SAME).status_code == 403
