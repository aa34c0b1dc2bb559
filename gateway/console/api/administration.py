"""Tokens, the audit, and who one is."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gateway.console.api.cursors import make_cursor, open_cursor
from gateway.console.api.lists import Cursor, Limit
from gateway.console.api.operation import Call, Operation
from gateway.console.problems import Problem
from gateway.console.security.audit import AuditEntry
from gateway.console.security.roles import Role
from gateway.console.security.tokens import Token
from gateway.signatures.units import parse_duration


class PageParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a list.

    Attributes:
        cursor: The `next` of the page before.
        limit: The most entries to return.
    """

    cursor: Cursor = ""
    limit: Limit = 50


class AuditPage(msgspec.Struct):
    """A page of the audit, newest first.

    Attributes:
        entries: The entries.
        next: The cursor of the next page; null if there is none.
    """

    entries: list[AuditEntry]
    next: str | None


class TokenList(msgspec.Struct):
    """All tokens.

    Attributes:
        tokens: The tokens, by name, without their text.
    """

    tokens: list[Token]


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """The token to create.

    Attributes:
        name: Who will use it: 1 to 64 letters, digits, blanks or `._@-`.
        role: What it allows.
        lifetime: When it ends, such as `90d`; it does not end if this is absent.
    """

    name: str
    role: Role
    lifetime: Annotated[str, Meta(max_length=20)] | None = None


class CreatedToken(msgspec.Struct):
    """A new token.

    Attributes:
        token: The token as it is listed.
        text: Its text, which cannot be had again.
    """

    token: Token
    text: str


class Session(msgspec.Struct):
    """Who one is.

    Attributes:
        name: The name in the audit.
        role: What one may do.
        way: How one is known: a token, a session, a proxy's word, or not at all.
    """

    name: str
    role: Role
    way: str


async def _session(call: Call) -> Session:
    return Session(call.principal.name, call.principal.role, call.principal.way)


async def _audit(call: Call) -> AuditPage:
    access, parameters = call.services.access, call.parameters
    before = open_cursor(access.signer, "/audit", parameters.cursor) if parameters.cursor else None
    entries = await asyncio.to_thread(access.audit.entries, before, parameters.limit + 1)
    page = entries[: parameters.limit]
    is_more = len(entries) > len(page)
    return AuditPage(page, make_cursor(access.signer, "/audit", page[-1].id) if is_more else None)


async def _tokens(call: Call) -> TokenList:
    return TokenList(await asyncio.to_thread(call.services.access.tokens.list))


async def _create(call: Call) -> CreatedToken:
    body: NewToken = call.body
    lifetime = None
    if body.lifetime is not None:
        try:
            lifetime = parse_duration(body.lifetime)
        except ValueError as error:
            raise Problem("invalid_body", f"lifetime {error}") from None

    def create() -> CreatedToken:
        created = call.services.access.tokens.create(body.name, body.role, call.principal.name, lifetime)
        call.audit("token.create", f"{body.name} ({body.role})")
        return CreatedToken(*created)

    return await asyncio.to_thread(create)


async def _revoke(call: Call) -> Response:
    def revoke() -> Token | None:
        revoked = call.services.access.tokens.revoke(call.path["id"])
        if revoked:
            call.audit("token.revoke", revoked.name)
        return revoked

    if await asyncio.to_thread(revoke) is None:
        raise Problem("not_found", "there is no such token")
    return Response(status_code=204)


OPERATIONS = (
    Operation(
        method="GET",
        path="/session",
        role=Role.VIEWER,
        summary="Return who one is, and what one may do.",
        handler=_session,
        result=Session,
    ),
    Operation(
        method="GET",
        path="/audit",
        role=Role.ADMIN,
        summary="List who did what, newest first.",
        handler=_audit,
        parameters=PageParameters,
        result=AuditPage,
        problems=("invalid_cursor",),
    ),
    Operation(
        method="GET",
        path="/tokens",
        role=Role.ADMIN,
        summary="List all tokens, without their text.",
        handler=_tokens,
        result=TokenList,
    ),
    Operation(
        method="POST",
        path="/tokens",
        role=Role.ADMIN,
        summary="Create a token; its text is in this answer alone.",
        handler=_create,
        body=NewToken,
        result=CreatedToken,
        status=201,
        keeps_answer=False,
        problems=("operation_failed",),
    ),
    Operation(
        method="DELETE",
        path="/tokens/{id}",
        role=Role.ADMIN,
        summary="Revoke a token, by its id or name; its sessions end with it.",
        handler=_revoke,
        status=204,
        problems=("not_found",),
    ),
)
