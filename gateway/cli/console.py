"""``gateway console``: links and tokens, made on the machine of the gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import typer

from gateway.cli.tables import print_table
from gateway.config import Config
from gateway.config.bind_addresses import local_url
from gateway.config.dev_session import DevSession
from gateway.config.discovery import find_config, load_without_secrets
from gateway.console.security.access import Access
from gateway.console.security.roles import Role
from gateway.console.security.tokens import Token
from gateway.devtools.formatting import format_age
from gateway.errors import OperatorError
from gateway.observability.terminal import one_line
from gateway.operations.actions import system_user
from gateway.signatures.units import parse_duration


def run_link(path: Path, role: str) -> None:
    """Print a login link."""
    kind = _role(role)
    config = load_without_secrets(path)
    if not config.console.enabled:
        raise OperatorError("console.enabled is false; switch the console on, and start the gateway again")
    if config.console.auth != "token":
        raise OperatorError(f"console.auth is {config.console.auth}, so that no link is needed")
    with _open(config) as access:
        typer.echo(access.login_link(local_url(_bind(path, config)), system_user(), kind))
    typer.echo(
        "It is valid once, for a minute. From another machine, put that machine's address of the console in place of the host.",
        err=True,
    )


def run_list(path: Path, *, as_json: bool) -> None:
    """List all tokens."""
    with _open(load_without_secrets(path)) as access:
        tokens = access.tokens.list()
    now = time.time()
    if as_json:
        for token in tokens:
            typer.echo(msgspec.json.encode(token).decode())
        return
    if not tokens:
        typer.echo(
            "there are no tokens; `gateway console tokens create NAME --role ROLE` makes one", err=True
        )
        return
    print_table(("NAME", "ROLE", "ID", "LAST USED", "ENDS"), [_row(token, now) for token in tokens])


def run_create(path: Path, name: str, role: str, lifetime: str | None) -> None:
    """Create a token and print it."""
    kind, seconds = _role(role), None
    if lifetime is not None:
        try:
            seconds = parse_duration(lifetime)
        except ValueError as error:
            raise typer.BadParameter(f"{lifetime!r} {error}", param_hint="--lifetime") from None
    with _open(load_without_secrets(path)) as access:
        _, text = access.tokens.create(name, kind, system_user(), seconds)
        access.audit.add("token.create", actor=system_user(), target=f"{name} ({kind})")
    typer.echo(text)
    typer.echo("Keep it: it is not shown again.", err=True)


def run_revoke(path: Path, name: str) -> None:
    """Revoke a token."""
    with _open(load_without_secrets(path)) as access:
        token = access.tokens.revoke(name)
        if token is None:
            raise OperatorError(f"there is no token {name!r}; `gateway console tokens list` shows all")
        access.audit.add("token.revoke", actor=system_user(), target=token.name)
    typer.echo(f"revoked {one_line(token.name)}")


def _row(token: Token, now: float) -> tuple[str, str, str, str, str]:
    used = "never" if token.last_used_at is None else f"{format_age(now - token.last_used_at)} ago"
    if token.ends_at is None:
        ends = "never"
    elif token.ends_at <= now:
        ends = f"ended {format_age(now - token.ends_at)} ago"
    else:
        ends = f"in {format_age(token.ends_at - now)}"
    return one_line(token.name), token.role, token.id, used, ends


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a role; there are {', '.join(Role)}", param_hint="--role"
        ) from None


def _bind(path: Path, config: Config) -> str:
    """Return the address of the console: that of a running `gateway dev`, or the configured one."""
    running = DevSession.find(config.data_dir)
    if running and running.admin_bind and running.config == find_config(path).absolute():
        return running.admin_bind[0]
    return config.server.admin_bind[0]


@contextmanager
def _open(config: Config) -> Iterator[Access]:
    try:
        access = Access(config.data_dir)
    except OSError as error:
        raise OperatorError(f"cannot open the console's database: {error}") from error
    try:
        yield access
    except OSError as error:
        raise OperatorError(str(error)) from error
    finally:
        access.close()
