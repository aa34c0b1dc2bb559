"""All that `<data_dir>/console.db` holds, opened together."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gateway.console.security.audit import Audit
from gateway.console.security.database import ConsoleDatabase
from gateway.console.security.roles import Role
from gateway.console.security.sessions import Sessions
from gateway.console.security.signer import Signer
from gateway.console.security.tokens import Tokens


class Access:
    """Tokens, sessions, audit and signatures of one data directory.

    All methods wait for the disk: a program with an event loop calls them on a thread.

    Args:
        folder: The data directory.
        clock: Unix seconds.

    Attributes:
        database: The open database.
        tokens: The tokens.
        sessions: The sessions and login links.
        audit: The audit.
        signer: Signs cursors and the tokens of forms.

    Raises:
        OSError: The database cannot be opened.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.database = ConsoleDatabase(folder)
        self.tokens = Tokens(self.database, clock)
        self.sessions = Sessions(self.database, clock)
        self.audit = Audit(self.database, clock)
        self.signer = Signer(self.database.key("signer"))

    def login_link(self, console: str, name: str, role: Role = Role.ADMIN) -> str:
        """Return an address that logs a browser in, once, within a minute.

        The code is in the fragment, which browsers do not send: it gets into no log.

        Args:
            console: The address of the console, such as `http://127.0.0.1:8081`.
            name: Whom the session belongs to.
            role: What it allows.
        """
        self.audit.add("link.create", actor=name, role=role)
        return f"{console}/login#once={self.sessions.make_link(name, role)}"

    def close(self) -> None:
        """Close the database."""
        self.database.close()
