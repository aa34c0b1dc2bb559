"""The ways to run a worker inside a program of one's own.

What opens the queue and the store lies above this package, and is imported when a worker runs: so a module with handlers
loads none of it.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from gateway.config import Config

_HOST = "gateway.hosting.session"
"""The module that runs workers. It is named and not imported, because imports only go down."""


class Runnable:
    """What a worker inherits: ``run``, ``running`` and ``run_sync``.

    ``config`` is the path of the gateway's configuration, or the loaded configuration; by default the path in the
    environment variable ``GATEWAY_CONFIG``, or else ``config.yaml``. The providers' secrets are not needed.
    """

    _session: AbstractAsyncContextManager[None] | None = None

    async def run(self, config: str | PathLike[str] | Config | None = None) -> None:
        """Handle events until the task is cancelled.

        When it is cancelled, the worker stops receiving, and handlers have the worker's grace to finish. Events that
        are not done by then return to the queue. A second cancellation ends the grace at once. Signals are left to
        the program.

        Raises:
            OperatorError: The configuration is invalid, or the queue cannot be opened; the text is one line a problem.
        """
        await _host().run(self, config)

    def running(
        self, config: str | PathLike[str] | Config | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Return an asynchronous context manager that handles events while its block runs.

            async with worker.running("gateway.yaml"):
                ...

        The end of the block ends the worker as a cancellation ends :meth:`run`. If the worker fails, the block is
        cancelled, and the error is raised at its end. ``async with worker:`` is short for ``async with worker.running():``.

        Raises:
            OperatorError: As for :meth:`run`.
        """
        session: AbstractAsyncContextManager[None] = _host().running(self, config)
        return session

    def run_sync(self, config: str | PathLike[str] | Config | None = None) -> None:
        """Run the worker as the whole of a program, as ``gateway worker`` does.

        SIGTERM and SIGINT end it gracefully, and a second one at once. A mistake of the operator is printed in one line,
        and ends the program with the exit code of ``gateway worker``.

        Raises:
            RuntimeError: An event loop runs in this thread: there, await :meth:`run`.
            SystemExit: The configuration is invalid, or the queue cannot be opened.
        """
        _host().run_sync(self, config)

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("the worker is running already; give each `async with` a worker of its own")
        session = self.running()
        self._session = session
        try:
            await session.__aenter__()
        except BaseException:
            self._session = None
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.__aexit__(kind, error, trace)


def _host() -> Any:
    return importlib.import_module(_HOST)
