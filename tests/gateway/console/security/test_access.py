"""What console.db keeps: tokens, sessions, links, the audit."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from gateway.console.security.access import Access
from gateway.console.security.audit import AUDIT_MAX_AGE
from gateway.console.security.roles import Principal, Role
from gateway.console.security.sessions import LINK_LIFETIME, SESSION_LIFETIME
from gateway.errors import OperatorError
from support.console import Clock, Console


def test_no_secret_is_in_the_file(console: Console) -> None:
    """Neither tokens nor sessions nor links: only their digests."""
    token = console.token(Role.VIEWER)
    code = console.access.sessions.make_link("ops", Role.ADMIN)
    principal = console.access.tokens.principal(token)
    assert principal
    cookie = console.access.sessions.begin(principal)
    console.access.close()

    content = b"".join(path.read_bytes() for path in console.folder.glob("console.db*"))
    secret = token[-43:]
    assert not [text for text in (token, code, cookie, secret[:20]) if text.encode() in content]
    for path in console.folder.glob("console.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_ends(console: Console) -> None:
    """At its end, and when it is revoked; a session that it began ends with it."""
    token = console.token(Role.VIEWER, lifetime=60)
    kept = console.access.tokens.principal(token)
    assert kept
    cookie = console.access.sessions.begin(kept)
    assert console.access.sessions.principal(cookie)

    console.clock.now += 60
    assert console.access.tokens.principal(token) is None
    assert console.access.sessions.principal(cookie) is None

    other = console.token(Role.VIEWER)
    found = console.access.tokens.principal(other)
    assert found
    cookie = console.access.sessions.begin(found)
    assert console.access.tokens.revoke(found.key)
    assert console.access.tokens.principal(other) is None
    assert console.access.sessions.principal(cookie) is None
    assert console.access.tokens.revoke(found.key) is None


def test_the_last_use_is_noted(console: Console) -> None:
    """To the minute."""
    token = console.token(Role.VIEWER)
    assert console.access.tokens.list()[0].last_used_at is None

    console.access.tokens.principal(token)
    first = console.clock.now
    console.clock.now += 30
    console.access.tokens.principal(token)
    assert console.access.tokens.list()[0].last_used_at == first
    console.clock.now += 30
    console.access.tokens.principal(token)
    assert console.access.tokens.list()[0].last_used_at == console.clock.now


@pytest.mark.parametrize("name", ["", " a", "a" * 65, "a\n", "a\x1b[31m", "<b>", "ä", "a/b", "0123456789ab"])
def test_odd_names_are_refused(console: Console, name: str) -> None:
    """They would be shown on terminals and pages."""
    with pytest.raises(OperatorError, match="name has"):
        console.access.tokens.create(name, Role.VIEWER, "test")


def test_a_name_is_taken_once(console: Console) -> None:
    """The audit names tokens by it."""
    console.access.tokens.create("ci", Role.VIEWER, "test")
    with pytest.raises(OperatorError, match="already"):
        console.access.tokens.create("ci", Role.ADMIN, "test")


@pytest.mark.parametrize(
    "text", ["", "whgw", "whgw_x_y", "a" * 10_000, "whgw_000000000000_" + "A" * 43, "\udcff"]
)
def test_what_is_no_token_is_nobody(console: Console, text: str) -> None:
    """However it looks."""
    assert console.access.tokens.principal(text) is None


def test_a_part_of_a_token_is_nobody(console: Console) -> None:
    """The id alone, or the secret of another token."""
    one, other = console.token(Role.VIEWER), console.token(Role.ADMIN)
    mixed = one[:17] + other[17:]
    assert re.fullmatch(r"whgw_[0-9a-f]{12}_.{43}", mixed)
    assert console.access.tokens.principal(mixed) is None


def test_a_link_is_valid_once_and_for_a_minute(console: Console) -> None:
    """Then it is worthless."""
    address = console.access.login_link("http://127.0.0.1:8081", "root")
    assert address.startswith("http://127.0.0.1:8081/login#once=")
    code = address.partition("=")[2]

    principal = console.access.sessions.use_link(code)
    assert principal
    assert (principal.name, principal.role) == ("root", Role.ADMIN)
    assert console.access.sessions.use_link(code) is None

    late = console.access.sessions.make_link("root", Role.VIEWER)
    console.clock.now += LINK_LIFETIME
    assert console.access.sessions.use_link(late) is None


def test_a_session_lasts_twelve_hours_and_outlives_the_process(console: Console) -> None:
    """The next process opens the same file."""
    cookie = console.access.sessions.begin(Principal("root", Role.OPERATOR, "none", ""))
    console.access.close()
    again = Access(console.folder, console.clock)
    found = again.sessions.principal(cookie)
    assert found
    assert (found.name, found.role, found.way) == ("root", Role.OPERATOR, "session")

    console.clock.now += SESSION_LIFETIME
    assert again.sessions.principal(cookie) is None
    again.close()


def test_sessions_are_bounded(console: Console) -> None:
    """The oldest ends."""
    principal = Principal("root", Role.VIEWER, "none", "")
    first = console.access.sessions.begin(principal)
    console.clock.now += 1
    with console.access.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO sessions VALUES (?, NULL, 'x', 'viewer', ?, ?)",
            [(bytes([n % 256, n // 256]), console.clock.now, console.clock.now + 9) for n in range(998)],
        )
    assert console.access.sessions.begin(principal)
    assert console.access.sessions.principal(first)
    console.clock.now += 1
    last = console.access.sessions.begin(principal)
    assert console.access.sessions.principal(first) is None
    assert console.access.sessions.principal(last)


def test_the_audit_is_bounded_by_age(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old entries go when new ones come."""
    monkeypatch.setattr("gateway.console.security.audit._PRUNE_INTERVAL", 20)
    console.access.audit.add("login", actor="old")
    console.clock.now += AUDIT_MAX_AGE + 1
    for _ in range(20):
        console.access.audit.add("login", actor="new")

    found = console.access.audit.entries(limit=100)
    assert {entry.actor for entry in found} == {"new"}
    assert [entry.id for entry in found] == sorted((entry.id for entry in found), reverse=True)
    assert len(console.access.audit.entries(before=found[10].id, limit=5)) == 5


def test_the_audit_shows_no_control_characters(console: Console) -> None:
    """A target comes from a request."""
    console.access.audit.add("payload.view", target="stripe/\x1b[31m\u202eevt")
    assert console.access.audit.entries()[0].target == "stripe/\\u001b[31m\\u202eevt"


def test_a_file_that_cannot_be_opened_is_an_oserror(tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "console.db").write_bytes(b"no database" * 1000)
    with pytest.raises(OSError, match=r"console\.db"):
        Access(tmp_path, Clock())
