"""An operation of the API, and a call of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

from gateway.console.security.caller import Caller
from gateway.console.security.roles import Principal, Role
from gateway.console.services import Services

LINES = "application/x-ndjson"
"""The media type of one JSON object a line."""


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of an operation that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes:
        method: The HTTP method.
        path: The path behind `/api/v1`; a name in braces stands for one segment, whatever it contains.
        role: The role that it needs.
        summary: What it does, in a sentence that begins with a verb.
        handler: Does it, and returns the answer: a value that becomes JSON, or a response.
        parameters: The query string's fields.
        body: The type of the body; None for no body, :class:`msgspec.Raw` for one that the handler reads itself.
        result: The type of the answer; None for one that is not JSON, a tuple where it may be one of several.
        status: The HTTP status of success.
        keeps_answer: Whether the answer is kept for a repetition with the same Idempotency-Key. An answer with a secret
            must not be.
        problems: The reasons that it may answer, beside those that every operation has.
        is_for_tenants: Whether the token of a tenant may call it; then it shows and changes only what is the tenant's.
        is_body_optional: Whether the body may be absent; then it is the type's own value.
        media_types: The media types of the body; the first is the usual one.
        others: Further statuses of success, each with the type of its answer.
        lines: Whether it answers `Accept: application/x-ndjson` with one JSON object a line.
    """

    method: str
    path: str
    role: Role
    summary: str
    handler: Callable[[Call], Awaitable[Any]]
    parameters: type[msgspec.Struct] = NoParameters
    body: Any = None
    result: Any = None
    status: int = 200
    keeps_answer: bool = True
    problems: tuple[str, ...] = ()
    is_for_tenants: bool = False
    is_body_optional: bool = False
    media_types: tuple[str, ...] = ("application/json",)
    others: tuple[tuple[int, Any], ...] = ()
    lines: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments of the path."""
        return tuple(self.path.strip("/").split("/"))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation.

    Attributes:
        services: What the console works with.
        operation: The operation.
        request: The request.
        principal: Who calls.
        path: The values of the path's names.
        parameters: The query string, as the operation's type.
        body: The body, as the operation's type.
    """

    services: Services
    operation: Operation
    request: Request
    principal: Principal
    path: Mapping[str, str]
    parameters: Any
    body: Any

    @property
    def now(self) -> float:
        """The time, in Unix seconds."""
        return self.services.access.clock()

    @property
    def caller(self) -> Caller:
        """The connection."""
        caller: Caller = self.request.state.caller
        return caller

    def audit(self, action: str, target: str = "", outcome: str = "done") -> None:
        """Note in the audit what is about to be done. Waits for the disk."""
        self.services.access.audit.add(
            action,
            actor=self.principal.name,
            role=self.principal.role,
            target=target,
            outcome=outcome,
            client=self.caller.client,
        )
