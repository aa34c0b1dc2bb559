"""The pages of the command line, one for each command, made from the program that parses it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import typer
from typer import Context
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from gateway.cli.main import app

Command = TyperCommand | TyperGroup

_KINDS = {"<path>": "FILE", "<int>": "NUMBER", "<int range>": "NUMBER", "<float>": "NUMBER"}
"""The placeholder of an option's value, by its type, where the option names none."""


def command_pages() -> dict[str, str]:
    """Return the pages by their names, such as ``dead``; a group's page has all of its commands."""
    return {name: _page(name, command) for name, command in _commands(_program()).items()}


def command_panels() -> dict[str, list[str]]:
    """Return the names of the commands by the panel of the help that lists them, in the order of the help."""
    panels: dict[str, list[str]] = {}
    for name, command in _commands(_program()).items():
        panels.setdefault(str(command.rich_help_panel or "Commands"), []).append(name)
    return panels


def command_index() -> str:
    """Return the page that lists all commands."""
    return "\n".join(_index(_commands(_program()))) + "\n"


def _program() -> TyperGroup:
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)  # noqa: S101 -- a program with commands is one
    return program


def _commands(group: TyperGroup) -> dict[str, Command]:
    """Return the visible commands of a group by their names."""
    return {
        name: command
        for name, command in group.commands.items()
        if isinstance(command, TyperCommand | TyperGroup) and not command.hidden
    }


def _index(commands: dict[str, Command]) -> Iterator[str]:
    yield "# Command line"
    yield ""
    yield (
        "Every command of `gateway`. `gateway COMMAND --help` prints the same text in a terminal. These pages are generated "
        "from the program."
    )
    for panel, names in command_panels().items():
        yield from ("", f"## {panel}", "", "| command | what it does |", "| --- | --- |")
        for name in names:
            yield f"| [`gateway {name}`]({name}.md) | {_first_line(commands[name])} |"
    yield from (
        "",
        (
            "Commands that read the configuration take `--config FILE` (default: `config.yaml`). "
            "The [exit codes](../exit-codes.md) are the same for all commands."
        ),
    )


def _page(name: str, command: Command) -> str:
    return "\n".join(_section(f"gateway {name}", command, level=1)) + "\n"


def _section(path: str, command: Command, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {path}", "", inspect.cleandoc(command.help or ""))
    if isinstance(command, TyperGroup):
        for name, each in _commands(command).items():
            yield ""
            yield from _section(f"{path} {name}", each, level + 1)
        return
    context = Context(command, info_name=path)
    yield from ("", "```text", " ".join([path, *command.collect_usage_pieces(context)]), "```")
    rows = [_row(each, context) for each in command.params if isinstance(each, TyperArgument | TyperOption)]
    if rows:
        yield from ("", "| argument or option | default | meaning |", "| --- | --- | --- |", *rows)


def _row(parameter: TyperArgument | TyperOption, context: Context) -> str:
    """Return the row of an argument or an option."""
    if isinstance(parameter, TyperArgument):
        name = f"`{(parameter.metavar or parameter.name or '').strip('[]').upper()}`"
    else:
        kind = _KINDS.get(parameter.display_type(context), "TEXT")
        value = "" if parameter.is_flag else f" {parameter.metavar or kind}"
        name = ", ".join(f"`{flag}{value}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    return f"| {name} | {_default(parameter)} | {_cell(parameter.help or '')} |"


def _default(parameter: TyperArgument | TyperOption) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        return f"`{parameter.opts[0]}`" if default and parameter.secondary_opts else ""
    return "" if default is None or default == [] or callable(default) else f"`{default}`"


def _first_line(command: Command) -> str:
    return _cell(inspect.cleandoc(command.help or "").partition("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
