"""The tables of the API, made from its operations, and its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterable

from gateway.console.api.openapi import COMMON_PROBLEMS, openapi_document
from gateway.console.api.operation import Operation
from gateway.console.api.table import OPERATIONS
from gateway.console.problems import REASONS


def api_operations() -> str:
    """Return the table of operations."""
    rows = (f"| `{each.method} {each.path}` | {each.role} | {_told(each)} |" for each in OPERATIONS)
    return _table("| method and path | role | what it does |", rows)


def api_reasons() -> str:
    """Return the table of reasons; each row can be linked to."""
    rows = (
        f'| <span id="{reason}"></span>`{reason}` | {status} | {title}{_where(reason)} |'
        for reason, (status, title) in REASONS.items()
    )
    return _table("| reason | status | meaning |", rows)


def openapi_text() -> str:
    """Return the OpenAPI document as a file."""
    return json.dumps(openapi_document(OPERATIONS), indent=1) + "\n"


def _told(operation: Operation) -> str:
    return operation.summary if operation.status != 202 else f"{operation.summary} A job."


def _where(reason: str) -> str:
    return "; any operation" if reason in COMMON_PROBLEMS else ""


def _table(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, "| --- | --- | --- |", *rows])
