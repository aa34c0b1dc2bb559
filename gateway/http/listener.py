"""A listener: makes a connection for each client, as uvicorn's server asks for it."""

from __future__ import annotations

from typing import Any

from gateway.http.connection import Connection
from gateway.http.state import ListenerState


class Listener(ListenerState):
    """The state that connections share, and the factory of connections for uvicorn's ``http`` setting."""

    def __call__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
        """Make a connection, which uvicorn's server counts as one of its own."""
        self.connections, self.tasks = server_state.connections, server_state.tasks
        return Connection(self)
