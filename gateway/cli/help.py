"""Help texts in plain lines that fit any terminal, and the groups in which the program lists its commands.

Typer's own help draws boxes and a column of types, which leaves half of 80 columns for the text, and loads rich.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from gateway.observability.lean_structlog import load_structlog

Section = tuple[str, list[tuple[str, str]]]
"""A heading, and rows of a name and a text."""

Handler = TypeVar("Handler", bound=Callable[..., Any])

RUN = "Run"
TRY = "Try"
LOOK = "Look"
RECOVER = "Recover"
CONNECT = "Connect"

GROUPS = (RUN, TRY, LOOK, RECOVER, CONNECT)
"""The groups of commands, in the order of the help."""

_MAX_WIDTH = 100
"""Columns of the widest help: longer lines are hard to read."""

_MAX_NAME = 26
"""Columns for the names of options; the text for a longer name begins on the next line."""

_CODE = re.compile(r"`([^`\n]+)`")


class PlainCommand(TyperCommand):
    """A command with plain help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the usage line, the description, the arguments and the options."""
        formatter.write("\n".join(_page(self, ctx)) + "\n")

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words after the command in the usage line."""
        return _usage(self, ctx)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with what it loads made lean."""
        load_structlog()
        return super().invoke(ctx)


class PlainGroup(TyperGroup):
    """A command with subcommands and plain help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the usage line, the description, the subcommands and the options."""
        formatter.write("\n".join(_page(self, ctx)) + "\n")

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words after the command in the usage line."""
        return [*_usage(self, ctx), "COMMAND ..."]


class Commands(typer.Typer):
    """A Typer application whose commands have plain help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": PlainGroup, "rich_markup_mode": None, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[Handler], Handler]:
        """Register a command, as :meth:`typer.Typer.command` does."""
        return super().command(name, **{"cls": PlainCommand, **options})


def _usage(command: Any, ctx: Any) -> list[str]:
    arguments = [each for each in command.get_params(ctx) if isinstance(each, TyperArgument)]
    names = (_name_of(each) if each.required else f"[{_name_of(each)}]" for each in arguments)
    return ["[OPTIONS]", *names]


def _page(command: Any, ctx: Any) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, _MAX_WIDTH) - 1
    yield from _wrap(command.get_usage(ctx), width, "  ")
    if command.help:
        yield ""
        yield from _prose(command.help, width)
    params = [each for each in command.get_params(ctx) if not getattr(each, "hidden", False)]
    arguments = [(_name_of(each), each.help or "") for each in params if isinstance(each, TyperArgument)]
    options = [
        (_option_name(each), _option_help(each, ctx)) for each in params if isinstance(each, TyperOption)
    ]
    yield from _sections(_commands(command, ctx), width)
    yield from _sections([("Arguments", arguments), ("Options", options)], width)
    if command.epilog:
        yield ""
        yield from _prose(command.epilog, width)


def _sections(sections: Iterable[Section], width: int) -> Iterator[str]:
    """Yield sections of rows whose texts begin in one column."""
    filled = [(heading, rows) for heading, rows in sections if rows]
    names = [name for _, rows in filled for name, _ in rows]
    indent = min(max(map(len, names), default=0), _MAX_NAME) + 4
    for heading, rows in filled:
        yield from ("", _bold(f"{heading}:"))
        for name, text in rows:
            yield from _row(name, text, indent, width)


def _commands(command: Any, ctx: Any) -> Iterator[Section]:
    """Yield the groups of subcommands with their names and first sentences."""
    if not isinstance(command, TyperGroup):
        return
    found = [command.commands[name] for name in command.list_commands(ctx)]
    grouped: dict[str, list[tuple[str, str]]] = {name: [] for name in (*GROUPS, "Commands")}
    for each in found:
        if not each.hidden:
            text = (each.short_help or each.help or "").split("\n\n")[0]
            grouped.setdefault(getattr(each, "rich_help_panel", None) or "Commands", []).append(
                (each.name or "", text)
            )
    yield from grouped.items()


def _row(name: str, text: str, indent: int, width: int) -> Iterator[str]:
    lines = _wrap(_plain(" ".join(text.split())), width - indent, "") or [""]
    head = f"  {name}"
    if len(head) + 2 > indent:
        yield head
    else:
        lines[0] = f"{head:<{indent}}{lines[0]}"
        yield lines.pop(0).rstrip()
    yield from (" " * indent + line for line in lines)


def _prose(text: str, width: int) -> Iterator[str]:
    """Wrap paragraphs; the items of a list become indented lines, which are never broken: they are to be copied."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith("- "):
            yield from (f"  {_plain(item.removeprefix('- '))}" for item in paragraph.splitlines())
        else:
            yield from _wrap(_plain(" ".join(paragraph.split())), width, "")


def _wrap(text: str, width: int, hanging: str) -> list[str]:
    return textwrap.wrap(
        text, max(width, 20), subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _plain(text: str) -> str:
    """Remove the marks of code where the code is all of the line; elsewhere they set it off from the text."""
    return text[1:-1] if re.fullmatch(_CODE, text) else text


def _name_of(param: TyperArgument) -> str:
    name = str(param.metavar or (param.name or "").upper()).strip("[]")
    return name if param.nargs == 1 else f"{name} ..."


def _option_name(param: TyperOption) -> str:
    names = sorted(param.opts, key=len)
    text = (
        ", ".join(names) if names[0].startswith("-") and not names[0].startswith("--") else f"    {names[0]}"
    )
    if param.secondary_opts:
        return f"{text}/{param.secondary_opts[0]}"
    return text if param.is_flag else f"{text} {param.metavar or (param.name or '').upper()}"


def _option_help(param: TyperOption, ctx: Any) -> str:
    notes = []
    if param.envvar and param.show_envvar:
        notes.append(f"env: {param.envvar}")
    default = None if param.is_flag or param.show_default is False else param.get_default(ctx, call=False)
    if default is not None:
        notes.append(f"default: {default}")
    if param.required:
        notes.append("required")
    return f"{param.help or ''} [{', '.join(notes)}]".strip() if notes else param.help or ""


def _bold(text: str) -> str:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty():
        return text
    return f"\x1b[1m{text}\x1b[0m"
