"""The help of every command: plain, within 80 columns, and with examples that can be copied."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.help import GROUPS
from gateway.cli.main import app


def commands(group: object, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of all commands, groups among them."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


ALL = list(commands(typer.main.get_command(app)))


def help_of(words: tuple[str, ...], columns: int = 80) -> str:
    """Return the help of a command."""
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="gateway", env={"COLUMNS": str(columns)})
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_80_columns_and_has_no_noise(words: tuple[str, ...]) -> None:
    """No boxes, no types of flags, no marks of Markdown lists; every argument and option says something."""
    text = help_of(words)

    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(" ".join(("Usage: gateway", *words)))
    assert not re.search(r"<(bool|int|str|path)|[│╭]|^ *- `", text, re.MULTILINE)
    for option in re.findall(r"^  (?:-\w, |    )(--[\w-]+)", text, re.MULTILINE):
        assert re.search(rf"{option}( [A-Z:]+|/--[\w-]+)?\s+\S", text), option


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_narrow_terminals_as_well(words: tuple[str, ...]) -> None:
    """But for what is never broken: examples and long names."""
    lines = [line for line in help_of(words, 50).splitlines() if " gateway " not in line]

    assert all(len(line) <= 50 or not line.strip().count(" ") for line in lines)


def test_commands_stand_in_groups() -> None:
    """In the order of a first hour; only those that exist."""
    headings = re.findall(r"^(\w+):$", help_of(()), re.MULTILINE)

    assert [heading for heading in headings if heading in GROUPS] == [
        "Run",
        "Try",
        "Look",
        "Recover",
        "Connect",
    ]


def test_a_mistyped_command_or_option_is_guessed() -> None:
    """With exit code 2."""
    runner = CliRunner()
    command, option = runner.invoke(app, ["sned"]), runner.invoke(app, ["send", "stripe", "--tampr", "body"])

    assert (command.exit_code, option.exit_code) == (2, 2)
    assert "Did you mean 'send'?" in command.output
    assert "--tamper" in option.output
