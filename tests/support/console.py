"""A console in memory: its services over a journal in memory, and clients with each role."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Config
from gateway.config.cross_checks import conflicts
from gateway.console.app import console_app
from gateway.console.security.access import Access
from gateway.console.security.roles import Role
from gateway.console.services import Services
from gateway.http.apps import Health
from gateway.journal.entry import Entry
from gateway.journal.memory import MemoryJournal
from gateway.journal.workers.memory import MemoryWorkers
from gateway.operations.status import ProcessesStatus
from support.api_document import check_answer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, which nothing else needs
    from starlette.testclient import TestClient

HOST = "127.0.0.1:8081"
"""The address of the console in these tests."""

PROVIDERS = {"providers": {"stripe": {"adapter": "stripe", "secrets": ["whsec_for-tests"]}}}
"""A configuration has at least one."""

PROCESSES = ProcessesStatus(
    is_running=True, is_ready=True, alive=1, configured=1, restarts=0, checks={"rabbitmq": "ok"}, error=""
)
"""A gateway that is well."""


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self.now


@dataclass
class Console:
    """A console without a server.

    Attributes:
        folder: Its data directory.
        settings: The configuration, as in the file.
        pages: The routes of its pages.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    pages: Sequence[BaseRoute] = ()

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.reported: list[Entry] = []
        self.workers = MemoryWorkers()
        self.journal = MemoryJournal()
        self.access = Access(self.folder, self.clock)
        self.config = self.configured(self.settings)
        self.services = Services(
            config=lambda: self.config,
            folder=self.folder,
            journal=self.journal,
            access=self.access,
            health=Health(lambda: {"rabbitmq": ""}, lambda: True),
            render_metrics=lambda: b"# metrics\n",
            report=self.reported.append,
            workers=self.workers,
            refusals=None,
            processes=lambda: PROCESSES,
        )
        self.app = self.make_app()

    def make_app(self) -> ASGIApp:
        """Return the application, as a new process would."""
        return console_app(self.services, self.pages)

    def configured(self, settings: dict[str, Any]) -> Config:
        """Return a configuration without conflicts."""
        config = Config.model_validate({"data_dir": str(self.folder), **PROVIDERS, **settings})
        assert not list(conflicts(config))
        return config

    def token(self, role: Role | str, lifetime: float | None = None) -> str:
        """Return a new token."""
        number = len(self.access.tokens.list())
        return self.access.tokens.create(f"{role} {number}", Role(role), "test", lifetime)[1]

    @contextmanager
    def browser(self, base_url: str = f"http://{HOST}", client: str = "127.0.0.1") -> Iterator[TestClient]:
        """Yield a client with cookies that follows no redirects, and says what a browser says.

        Every answer of the API is compared with the OpenAPI document.
        """
        with TestClient(
            _with_lifespan(self.app), base_url, follow_redirects=False, client=(client, 50_000)
        ) as found:
            found.event_hooks["response"].append(check_answer)
            yield found

    @contextmanager
    def program(self, role: Role | str | None) -> Iterator[TestClient]:
        """Yield a client with a bearer token; without one if the role is None."""
        with self.browser() as client:
            if role:
                client.headers["authorization"] = f"Bearer {self.token(role)}"
            yield client


def _with_lifespan(app: ASGIApp) -> ASGIApp:
    """Return the application with answers to the beginning and end that a test client announces, and a server does not."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})

    return answer


def hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's forms."""
    found = re.findall(r'<input type="hidden" name="([^"]*)"(?: value="([^"]*)")?', page)
    return dict(found)


def log_in(client: TestClient, **fields: str) -> Any:
    """Fill in the login form and send it as a browser does."""
    form = hidden_fields(client.get("/login").text)
    return client.post("/login", data={**form, **fields}, headers={"sec-fetch-site": "same-origin"})
