"""Requests that another site causes a browser to make, and the tokens in forms that such a site cannot know.

A request with a bearer token was not made so: no browser adds that by itself. For all others a write needs two
things: the browser says that a page of the console made it (`Sec-Fetch-Site`, or `Origin` where the connection is
not encrypted and browsers leave that out), and it has the token of the form in the field `csrf` or in `X-CSRF-Token`.
"""

from __future__ import annotations

from markupsafe import Markup
from starlette.requests import Request
from starlette.types import Scope

from gateway.console.problems import Problem
from gateway.console.security.bodies import parse_form
from gateway.console.security.caller import Caller
from gateway.console.security.roles import Principal
from gateway.console.security.signer import Signer

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, here as everywhere."""

FIELD = "csrf"
"""The field of a form with its token."""

_PURPOSE = "form"
_JSON = "application/json"


def csrf_token(request: Request) -> str:
    """Return the token that forms and scripts on a page of this request send with a write."""
    signer: Signer = request.scope["state"]["signer"]
    return signer.sign(_PURPOSE, _holder(request.state.principal))


def csrf_field(request: Request) -> Markup:
    """Return the token as a hidden field of a form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token(request))


def check_reading(caller: Caller, scope: Scope, principal: Principal, *, is_api: bool) -> None:
    """Check a request that changes nothing: other sites may link to pages, and do nothing else.

    Raises:
        Problem: Another site embeds the answer, or asks the API.
    """
    site = caller.header(b"sec-fetch-site")
    if not principal.is_ambient or site in {"", "same-origin", "none"}:
        return
    if is_api or scope["method"] != "GET" or caller.header(b"sec-fetch-mode") != "navigate":
        raise Problem("cross_site", f"the browser says {site!r}")


def check_origin(caller: Caller) -> None:
    """Check that a page of the console made the request, as far as the browser says.

    A form sends `Origin: null` under our referrer policy, which says nothing: then the token alone decides.

    Raises:
        Problem: Another site made it.
    """
    site, origin = caller.header(b"sec-fetch-site"), caller.header(b"origin").lower()
    is_repeated = caller.headers.is_repeated(b"sec-fetch-site") or caller.headers.is_repeated(b"origin")
    is_from_here = site == "same-origin" if site else origin in {"", "null", caller.origin}
    if is_repeated or not is_from_here:
        raise Problem("cross_site", "the request was not made by a page of the console at this address")


def check_writing(caller: Caller, principal: Principal, signer: Signer, body: bytes) -> None:
    """Check a write.

    Raises:
        Problem: It was not made by a page of the console, or lacks the token.
    """
    if not principal.is_ambient or _is_program(caller, principal):
        return
    check_origin(caller)
    token = caller.header(b"x-csrf-token") or _token_in(caller.header(b"content-type"), body)
    if signer.open(_PURPOSE, token) != _holder(principal):
        raise Problem("cross_site", "the token of the form is missing or old; load the page again")


def _is_program(caller: Caller, principal: Principal) -> bool:
    """Return whether no browser made it: those say where it comes from, and ask before they send JSON to another site."""
    has_traces = any(name in caller.headers for name in (b"sec-fetch-site", b"origin", b"cookie", b"referer"))
    media_type = caller.header(b"content-type").partition(";")[0].strip().lower()
    return principal.way != "session" and not has_traces and media_type == _JSON


def _token_in(content_type: str, body: bytes) -> str:
    try:
        values = parse_form(content_type, body).get(FIELD, [])
    except Problem:
        return ""
    return values[0] if len(values) == 1 else ""


def _holder(principal: Principal) -> bytes:
    return f"{principal.way}\0{principal.key}".encode()
