"""The cookies of the console. Their names have the port: browsers send a cookie to all ports of a host."""

from __future__ import annotations

from starlette.responses import Response

from gateway.console.security.caller import Caller

SESSION = "session"
"""The kind of cookie with the session."""

LOGIN = "login"
"""The kind of cookie that the login form's token belongs to."""

_MAX_COOKIE = 200
"""Characters of a cookie's value; ours have 43."""


def read_cookie(caller: Caller, kind: str = SESSION) -> str:
    """Return the value of a cookie; empty if it is absent, repeated or not readable."""
    name, values = _name(caller, kind), []
    for part in caller.header(b"cookie").split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            values.append(value.strip())
    return values[0] if len(values) == 1 and len(values[0]) <= _MAX_COOKIE else ""


def set_cookie(response: Response, caller: Caller, value: str, max_age: float, kind: str = SESSION) -> None:
    """Set a cookie that no script reads, and that no other site's request has; an age of 0 deletes it."""
    response.set_cookie(
        _name(caller, kind),
        value,
        max_age=int(max_age),
        path="/",
        secure=caller.is_encrypted,
        httponly=True,
        samesite="strict",
    )


def _name(caller: Caller, kind: str) -> str:
    port = caller.host.rpartition(":")[2] if ":" in caller.host.rpartition("]")[2] else ""
    number = port if port.isdigit() else ("443" if caller.is_encrypted else "80")
    # The prefix lets no other host of the same domain set it; browsers want TLS for it.
    return f"{'__Host-' if caller.is_encrypted else ''}gateway-{kind}-{number}"
