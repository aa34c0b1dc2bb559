"""The tables of pages that are made from the program.

A page has ``<!-- generated: NAME -->`` and ``<!-- /generated: NAME -->`` around each. ``make pages`` writes what is between,
and a test compares it. The module has more than 200 lines because it holds one short function per table, with its texts.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from gateway.errors import REJECTIONS, Outcome
from gateway.events import message
from gateway.receive.responses import _STATUS
from gateway.worker import Event
from pages.api import api_operations, api_reasons
from pages.commands import command_pages
from pages.failures import FAULTS
from pages.metrics import console_metrics, gateway_metrics, outbound_metrics, worker_metrics
from pages.repository import DOCS, ROOT

_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- /generated: \2 -->)", re.DOTALL)
_EXIT_CODES = re.compile(r"^Exit codes?: (.*?)(?:\n\n|\n```|\Z)", re.MULTILINE | re.DOTALL)
_LEVELS = ("info", "warning", "error", "exception")
_TEXTS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))
"""What the program does not say about its own constants, by table: sentences for people."""


def with_blocks(markdown: str) -> str:
    """Return a page with its generated tables made anew. A constant without a text gets an empty cell."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_TABLES[found[2]]()}\n{found[4]}", markdown)


def pages_with_blocks() -> list[Path]:
    """Return the pages that have generated tables."""
    return [path for path in sorted(DOCS.rglob("*.md")) if _BLOCK.search(path.read_text("utf-8"))]


def _table(*rows: tuple[str, ...]) -> str:
    head, *rest = rows
    return "\n".join(_row(cells) for cells in (head, ("---",) * len(head), *rest))


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(' '.join(cell.split()) for cell in cells)} |"


def _responses() -> str:
    texts = _TEXTS["responses"]
    rows = [(str(_STATUS[outcome]), str(outcome)) for outcome in Outcome]
    rows += [(str(rejection.status), rejection.reason) for rejection in REJECTIONS]
    ordered = sorted(rows, key=lambda row: (row[0] >= "3", row[0] if row[0] >= "3" else ""))
    return _table(("status", "reason", "when"), *((*row, texts.get(row[1], "")) for row in ordered))


def _faults() -> str:
    return _table(
        ("cause", "meaning", "what to do"),
        *((f"`{name}`", fault.meaning, fault.remedy) for name, fault in FAULTS.items()),
    )


def _attributes() -> str:
    """Return the attributes of the envelope: those of handlers' events, and those that only consumers of AMQP see."""
    documented = dict(_documented_attributes())
    texts = {**documented, **_TEXTS["attributes"]}
    names = [
        *_TEXTS["attributes"],
        *(name for name in Event.model_fields if name not in _TEXTS["attributes"]),
    ]
    return _table(
        ("attribute", "meaning"),
        *((f"`{name}`", texts.get(name, "")) for name in names if name != "attempts"),
    )


def _documented_attributes() -> Iterator[tuple[str, str]]:
    section = inspect.cleandoc(Event.__doc__ or "").partition("Attributes:\n")[2]
    for name, text in re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE):
        yield name, re.sub(r"``(.*?)``", r"`\1`", text)


def _headers() -> str:
    """Return the headers of messages: those of each event, and those that commands and workers add."""
    names = {value for name, value in vars(message).items() if name.isupper() and str(value).startswith("x-")}
    texts = _TEXTS["headers"]
    return _table(
        ("header", "meaning"),
        *((f"`{name}`", text) for name, text in texts.items()),
        *((f"`{name}`", "") for name in sorted(names - texts.keys())),
    )


def _request_fields() -> str:
    source = (ROOT / "gateway/receive/receiver.py").read_text("utf-8")
    fields = next(fields for level, text, fields in _log_calls(source) if text == "request")
    texts = _TEXTS["request-fields"]
    return _table(("field", "meaning"), *((f"`{name}`", texts.get(name, "")) for name in fields))


def _log_lines() -> str:
    texts = _TEXTS["log-lines"]
    found: dict[str, tuple[set[str], list[str]]] = {"log lines lost": ({"warning"}, ["lines"])}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for level, text, fields in _log_calls(path.read_text("utf-8")):
            levels, names = found.setdefault(text, (set(), []))
            levels.add("error" if level == "exception" else level)
            names += [name for name in fields if name not in names]
    rows = (
        (
            f"`{text}`",
            ", ".join(sorted(levels)),
            ", ".join(f"`{name}`" for name in names),
            texts.get(text, ""),
        )
        for text, (levels, names) in sorted(found.items())
    )
    return _table(("event", "level", "fields", "meaning"), *rows)


def _log_calls(source: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the level, the text and the fields of each call that writes a line of the log."""
    tree = ast.parse(source)
    bound = _bound_fields(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function, first = node.func, node.args[0]
        if isinstance(function, ast.Attribute) and function.attr in _LEVELS:
            level = function.attr
            owner = ast.unparse(function.value)
        elif isinstance(function, ast.Name) and function.id == "write":
            level, owner = "info", "log"
        else:
            continue
        if owner in bound and isinstance(first, ast.Constant):
            yield level, str(first.value), [*bound[owner], *_named(node)]


def _bound_fields(tree: ast.AST) -> dict[str, list[str]]:
    """Return the names of loggers in a module, with the fields of those that are made by `log.bind(…)`."""
    found: dict[str, list[str]] = {"log": [], "self._log": [], "logger": []}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func) == "log.bind"
            and isinstance(node.targets[0], ast.Name)
        ):
            found[node.targets[0].id] = _named(node.value)
    return found


def _named(call: ast.Call) -> list[str]:
    return [keyword.arg for keyword in call.keywords if keyword.arg]


def _exit_codes() -> str:
    """Return what the pages of the commands say about exit codes."""
    rows = (
        (f"[`gateway {name}`](cli/{name}.md)", codes)
        for name, page in command_pages().items()
        for codes in _EXIT_CODES.findall(page)
    )
    return _table(("command", "exit codes"), *rows)


_TABLES: dict[str, Callable[[], str]] = {
    "api-operations": api_operations,
    "api-reasons": api_reasons,
    "attributes": _attributes,
    "exit-codes": _exit_codes,
    "faults": _faults,
    "console-metrics": console_metrics,
    "gateway-metrics": gateway_metrics,
    "headers": _headers,
    "log-lines": _log_lines,
    "outbound-metrics": outbound_metrics,
    "request-fields": _request_fields,
    "responses": _responses,
    "worker-metrics": worker_metrics,
}
