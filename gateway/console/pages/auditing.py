"""What somebody does on a page is written to the audit before it is done."""

from __future__ import annotations

from starlette.requests import Request

from gateway.console.pages.site import Site
from gateway.console.security.roles import Principal


async def audit(site: Site, request: Request, action: str, target: str) -> None:
    """Write down who does something, before it is done.

    Raises:
        OSError: It cannot be written; then it must not be done.
    """
    principal: Principal = request.state.principal
    await site.ask(
        request,
        "audit",
        site.services.access.audit.add,
        action,
        actor=principal.name,
        role=principal.role,
        target=target,
        client=request.state.caller.client,
    )
