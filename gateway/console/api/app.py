"""The API's application: from a request to an operation, and from what it returns to an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.console.api.encoding import encode
from gateway.console.api.idempotency import HEADER, IdempotentWrites
from gateway.console.api.operation import Call, Operation
from gateway.console.api.paths import PREFIX, Paths, segments_of
from gateway.console.problems import Problem
from gateway.console.security.bodies import body_of
from gateway.console.security.database import ConsoleStorageError
from gateway.console.security.gate import require_role
from gateway.console.security.roles import Principal
from gateway.console.services import Services
from gateway.errors import EventNotFound, OperatorError, QueueNotFound
from gateway.journal.query_language import QueryError
from gateway.operations.jobs import TooManyJobs
from gateway.operations.outbound import Refused
from gateway.operations.readings import QueueBusy
from gateway.outbound.store import StoreUnavailable

_MAX_FIELDS = 100
"""Fields of a query string."""

_JSON = "application/json"

log = structlog.get_logger()


class Api:
    """Answers everything below `/api/v1`.

    Args:
        services: What the console works with.
        operations: All operations.
    """

    def __init__(self, services: Services, operations: Sequence[Operation]) -> None:
        self._services = services
        self._paths = Paths(operations)
        self._writes = IdempotentWrites(services.access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            Problem: It is not answered as it was asked.
        """
        methods, values = self._paths.find(segments_of(scope))
        allowed = _allowed(methods)
        if scope["method"] == "OPTIONS":
            response = Response(status_code=204, headers={"allow": allowed})
        else:
            # The server sends no body to HEAD.
            operation = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
            if operation is None:
                raise Problem("method_not_allowed", f"there is {allowed}", {"allow": allowed})
            response = await self._run(operation, Request(scope, receive), values)
        await response(scope, receive, send)

    async def _run(self, operation: Operation, request: Request, values: dict[str, str]) -> Response:
        principal: Principal = request.state.principal
        if principal.tenant and not operation.is_for_tenants:
            raise Problem("not_found", f"{PREFIX}/openapi.json lists all paths")
        if not principal.tenant:
            require_role(request, operation.role)
        call = Call(
            self._services,
            operation,
            request,
            principal,
            values,
            _parameters_of(operation, request),
            _body(operation, request),
        )
        key = request.headers.get(HEADER)
        if key is None or not operation.is_write:
            return await _answer(call)
        content = b"\0".join(
            (
                operation.method.encode(),
                request.url.path.encode(),
                request.url.query.encode(),
                body_of(request),
            )
        )
        return await self._writes.run(
            principal, key, content, lambda: _answer(call), keeps_answer=operation.keeps_answer
        )


async def _answer(call: Call) -> Response:
    try:
        result = await call.operation.handler(call)
    except QueryError as error:
        raise Problem("invalid_query", str(error)) from None
    except (EventNotFound, QueueNotFound) as error:
        raise Problem("not_found", str(error)) from None
    except (QueueBusy, TooManyJobs) as error:
        raise Problem("conflict", str(error)) from None
    except Refused as error:
        raise Problem(error.reason, str(error), _pause(error)) from None
    except StoreUnavailable as error:
        raise Problem(
            "deliveries_unavailable", f"{error}; nothing was changed", {"retry-after": "5"}
        ) from None
    except OperatorError as error:
        raise Problem("operation_failed", str(error)) from None
    except ConsoleStorageError:
        raise
    except OSError as error:
        log.warning("journal cannot be read", error=str(error))
        raise Problem("journal_unavailable", f"{error}; events flow all the same") from None
    if isinstance(result, Response):
        return result
    if call.operation.status == 204:
        return Response(status_code=204)
    return Response(encode(result), call.operation.status, media_type=_JSON)


def _pause(error: Refused) -> dict[str, str]:
    return {} if error.retry_after is None else {"retry-after": str(error.retry_after)}


def _allowed(methods: Any) -> str:
    names = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    return ", ".join(sorted(names))


def _parameters_of(operation: Operation, request: Request) -> Any:
    try:
        pairs = parse_qsl(
            request.url.query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise Problem("malformed_request", "the query string is not UTF-8, or has too many fields") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem("malformed_request", "a field of the query string is repeated")
    if "\0" in "".join(fields.values()):
        raise Problem("malformed_request", "the query string has a NUL")
    try:
        return msgspec.convert(fields, operation.parameters, strict=False)
    except msgspec.ValidationError as error:
        raise Problem("malformed_request", f"query string: {error}") from None


def _body(operation: Operation, request: Request) -> Any:
    body = body_of(request)
    if operation.body is None:
        if body:
            raise Problem("malformed_request", "this operation has no body")
        return None
    if operation.is_body_optional and not body:
        return operation.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in operation.media_types:
        raise Problem("unsupported_media_type", f"send the body as {' or '.join(operation.media_types)}")
    if operation.body is msgspec.Raw:
        return msgspec.Raw(body)
    try:
        return msgspec.json.decode(body, type=operation.body)
    except msgspec.ValidationError as error:
        raise Problem("invalid_body", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("malformed_json", str(error)) from None
