"""`gateway console`: what it prints, and that it leads into the console."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import typer

from gateway.cli.console import run_create, run_link, run_list, run_revoke
from gateway.console.security.access import Access
from gateway.console.security.roles import Role
from gateway.errors import OperatorError

CONFIG = """
data_dir: {folder}
server: {{admin_bind: "0.0.0.0:18081"}}
console: {{{console}}}
providers:
  stripe: {{adapter: stripe, secrets: ["${{UNSET}}"]}}
"""


def configured(folder: Path, console: str = "") -> Path:
    """Write a configuration whose secrets are not set: none of the commands needs them."""
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(folder=folder / "var", console=console))
    return path


def test_a_link_leads_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It alone is on standard output; its code is good for the role."""
    run_link(configured(tmp_path), "operator")

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("http://127.0.0.1:18081/login#once=")
    access = Access(tmp_path / "var")
    principal = access.sessions.use_link(line.partition("=")[2])
    assert principal
    assert principal.role is Role.OPERATOR
    assert [(entry.action, entry.actor) for entry in access.audit.entries()] == [
        ("link.create", principal.name)
    ]
    access.close()


def test_a_token_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then it is in lists, without its text, until it is revoked."""
    path = configured(tmp_path)
    run_create(path, "ci", "viewer", "90d")
    text = capsys.readouterr().out.strip()
    access = Access(tmp_path / "var")
    assert access.tokens.principal(text)
    access.close()

    run_list(path, as_json=True)
    listed = capsys.readouterr().out
    assert msgspec.json.decode(listed)["role"] == "viewer"
    run_list(path, as_json=False)
    listed += capsys.readouterr().out
    assert listed.split("\n")[1].split()[:2] == ["ci", "viewer"]
    assert text[-43:] not in listed

    run_revoke(path, "ci")
    assert capsys.readouterr().out == "revoked ci\n"
    with pytest.raises(OperatorError, match="no token 'ci'"):
        run_revoke(path, "ci")


@pytest.mark.parametrize(
    ("console", "expected"),
    [("enabled: false", "console.enabled is false"), ("auth: none", "no link is needed")],
)
def test_a_link_that_leads_nowhere_is_not_made(tmp_path: Path, console: str, expected: str) -> None:
    """With what to do."""
    path = configured(tmp_path, console)
    if console == "auth: none":
        path.write_text(path.read_text().replace("0.0.0.0", "127.0.0.1"))
    with pytest.raises(OperatorError, match=expected):
        run_link(path, "admin")


def test_mistyped_words_are_named(tmp_path: Path) -> None:
    """With those that there are."""
    path = configured(tmp_path)
    with pytest.raises(typer.BadParameter, match="viewer, operator, admin"):
        run_create(path, "ci", "root", None)
    with pytest.raises(typer.BadParameter, match="soon"):
        run_create(path, "ci", "viewer", "soon")
    with pytest.raises(typer.BadParameter, match="0s"):
        run_create(path, "ci", "viewer", "0s")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/console.db").write_bytes(b"nonsense" * 500)
    with pytest.raises(OperatorError, match=r"console\.db"):
        run_list(configured(tmp_path), as_json=False)
