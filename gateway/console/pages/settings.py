"""Settings: tokens, the audit, what the journal holds, and the configuration in force."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.config import Config
from gateway.console.pages.auditing import audit
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Role
from gateway.errors import OperatorError
from gateway.journal import JOURNAL_FOLDER
from gateway.journal.fingerprints import Fingerprints

_TABS = ("tokens", "audit", "journal", "configuration")
_FOR_ADMINS = ("tokens", "audit")
"""Tabs that others do not see."""

_PAGE_SIZE = 50
"""Entries of the audit on a page."""

_DAY = 86_400.0
_PASSWORD = re.compile(r"(?<=//)[^/@\s]*@")
_HIDDEN = "•••@"


class Made(NamedTuple):
    """A token that was just created.

    Attributes:
        name: Its name.
        text: The token itself, which is shown this once.
    """

    name: str
    text: str


def routes(site: Site) -> list[Route]:
    """Return the routes of the page and its forms."""
    access = site.services.access

    async def show(request: Request) -> Response:
        return await _show(site, request)

    @require(Role.ADMIN)
    async def create_token(request: Request) -> Response:
        form, principal = first_values(form_of(request)), request.state.principal
        days = form.get("days", "")
        try:
            role = Role(form.get("role", ""))
            lifetime = float(days) * _DAY if days.isdigit() else None
            token, text = await site.ask(
                request,
                "tokens",
                access.tokens.create,
                form.get("name", "").strip(),
                role,
                principal.name,
                lifetime,
            )
        except (OperatorError, ValueError) as error:
            return await _show(site, request, problem=str(error))
        await audit(site, request, "token.create", token.name)
        return await _show(site, request, made=Made(token.name, text))

    @require(Role.ADMIN)
    async def revoke_token(request: Request) -> Response:
        token = await site.ask(
            request, "tokens", access.tokens.revoke, first_values(form_of(request)).get("id", "")
        )
        if token is None:
            return redirect("/settings?tab=tokens")
        await audit(site, request, "token.revoke", token.name)
        return redirect("/settings?tab=tokens&done=revoked")

    return [
        Route("/settings", site.page(show), methods=["GET"]),
        Route("/tokens", site.page(create_token), methods=["POST"]),
        Route("/tokens/revoke", site.page(revoke_token), methods=["POST"]),
    ]


async def _show(site: Site, request: Request, made: Made | None = None, problem: str = "") -> Response:
    services = site.services
    config, principal = services.config(), request.state.principal
    is_admin = principal.role.includes(Role.ADMIN)
    tab = request.query_params.get("tab", "") if not (made or problem) else "tokens"
    if tab not in _TABS or (tab in _FOR_ADMINS and not is_admin):
        tab = "tokens" if is_admin else "journal"
    context: dict[str, Any] = {}
    if tab == "tokens":
        context["tokens"] = await site.ask(request, "tokens", services.access.tokens.list)
    elif tab == "audit":
        before = request.query_params.get("before", "")
        number = int(before) if before.isdigit() and len(before) < 19 else None
        found = await site.ask(request, "audit", services.access.audit.entries, number, _PAGE_SIZE)
        context |= {"audit": found, "older": found[-1].id if len(found) == _PAGE_SIZE else None}
    elif tab == "journal":
        context["state"] = await site.ask(request, "journal", services.journal.state)
    else:
        context["configuration"] = await site.ask(request, "configuration", shown_configuration, config)
    return site.render(
        request,
        "settings.html",
        tab=tab,
        config=config,
        made=made,
        problem=problem,
        reload_problems=services.reload_problems(),
        is_secret=made is not None,
        **context,
    )


def shown_configuration(config: Config) -> str:
    """Return the configuration as YAML: secrets as fingerprints, and addresses without passwords."""
    fingerprints = Fingerprints(config.data_dir / JOURNAL_FOLDER)
    shown = _shown(config.model_dump(mode="python"), fingerprints)
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def _shown(value: Any, fingerprints: Fingerprints) -> Any:
    if isinstance(value, SecretStr):
        return f"fingerprint {fingerprints.of(value.get_secret_value())}"
    if isinstance(value, dict):
        return {str(name): _shown(inner, fingerprints) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_shown(inner, fingerprints) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _PASSWORD.sub(_HIDDEN, str(value))
