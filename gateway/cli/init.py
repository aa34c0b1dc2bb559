"""``gateway init``: begin a project with a configuration, its variables and a worker."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from gateway.adapters import registry
from gateway.config.error_messages import suggest
from gateway.devtools.provider_reference import adapter_names, matching
from gateway.devtools.starter import PLACEHOLDER_URL, config_yaml, env_example, instructions, worker_py
from gateway.errors import OperatorError

_IGNORED = (".env", "/var/")
"""What version control must not have: secrets, and the data of a gateway that is tried here."""


def run_init(names: Sequence[str], folder: Path, url: str | None, *, force: bool) -> None:
    """Write the files, and print what to enter at each provider."""
    chosen = list(dict.fromkeys(known_adapters(names) if names else _ask()))
    address = (url or PLACEHOLDER_URL).rstrip("/").removesuffix("/webhooks")
    files = {
        "config.yaml": config_yaml(chosen, address),
        ".env.example": env_example(chosen),
        "worker.py": worker_py(chosen),
    }
    present = [name for name in files if (folder / name).exists()]
    if present and not force:
        raise OperatorError(
            f"{', '.join(present)} in {folder.absolute()} would be overwritten; use --force for that, or --dir for another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        _ignore(folder / ".gitignore")
    except OSError as error:
        raise OperatorError(f"{error.filename}: {error.strerror}") from error
    typer.echo(f"Wrote {', '.join(str(folder / name) for name in files)}.\n")
    typer.echo("At each provider:\n")
    for name in chosen:
        typer.echo("\n".join(instructions(name, address)) + "\n")
    if url is None:
        typer.echo(f"Replace {PLACEHOLDER_URL} with your address, here and with --url.\n")
    typer.echo("\n".join(_next_steps(folder, chosen)))


def known_adapters(names: Sequence[str]) -> list[str]:
    """Return the names, all of which are bundled adapters.

    Raises:
        OperatorError: One is not; the message proposes others.
    """
    unknown = [_proposal(name) for name in names if name not in adapter_names()]
    if unknown:
        raise OperatorError("\n".join(unknown))
    return list(names)


def _proposal(name: str) -> str:
    similar = [known for known in adapter_names() if name in known] or matching(name)
    hint = f"; did you mean {', '.join(similar[:5])}?" if similar else suggest(name, adapter_names())
    if name == registry.GENERIC or not hint:
        hint = "; `gateway providers` lists all. Describe any other in config.yaml with adapter hmac"
    return f"there is no adapter {name!r}{hint}"


def _ask() -> list[str]:
    if not sys.stdin.isatty():
        raise OperatorError(
            "name the providers, such as `gateway init stripe github`; `gateway providers` lists them"
        )
    while True:
        answer = typer.prompt("Which providers send webhooks to you? (such as: stripe github; ? lists all)")
        if answer.strip() == "?":
            typer.echo(", ".join(adapter_names()))
            continue
        try:
            return known_adapters(answer.replace(",", " ").split())
        except OperatorError as error:
            typer.echo(error)


def _ignore(path: Path) -> None:
    """Add what must stay out of version control to a .gitignore, where it is missing."""
    text = path.read_text("utf-8") if path.exists() else ""
    present = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in _IGNORED if line.strip("/") not in present]
    if missing:
        separator = "\n" if text and not text.endswith("\n") else ""
        path.write_text(text + separator + "".join(f"{line}\n" for line in missing), "utf-8")


def _next_steps(folder: Path, names: Sequence[str]) -> list[str]:
    steps = [
        ("cp .env.example .env", "fill it in; `gateway dev` does without"),
        ("gateway check", "find mistakes"),
        ("gateway dev", "try it here, with sample events"),
        ("gateway worker worker:worker", "in another terminal: handle events"),
        (f"gateway send {names[0]}", "in a third: send an event as the provider does"),
        ("gateway serve", "run it in production"),
    ]
    if folder != Path():
        steps.insert(0, (f"cd {shlex.quote(str(folder))}", ""))
    return ["Then:", "", *(f"  {command:<29} {f'# {why}' if why else ''}".rstrip() for command, why in steps)]
