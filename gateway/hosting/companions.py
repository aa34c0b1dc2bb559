"""The programs beside a gateway: its console, and its way out."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from dataclasses import dataclass

from gateway.config import Config
from gateway.console.launch import ConsoleLauncher
from gateway.hosting.child import Child, ChildKeeper
from gateway.hosting.outbound.launch import END_TIMEOUT, OutboundLauncher


@dataclass(frozen=True)
class _ServingConsole:
    launcher: ConsoleLauncher
    admin: list[socket.socket]

    def start(self, predecessor: str, starts: int) -> subprocess.Popen[bytes]:
        return self.launcher.start(self.admin, predecessor, starts)


class Companions:
    """What runs beside the processes that receive, and is replaced when it ends.

    Args:
        config: The configuration.
        console: Starts the console; None if the gateway has none.
        outbound: Starts the way out, while the configuration wants it; never if `gateway outbound run` does instead.
    """

    def __init__(self, config: Config, console: ConsoleLauncher | None, outbound: OutboundLauncher) -> None:
        self._console = console
        self._outbound = outbound
        self._is_separate = config.outbound.separate and not outbound.is_dev
        self._has_way_out = config.has_way_out
        self._keepers: list[ChildKeeper] = []

    @property
    def has_console(self) -> bool:
        """Whether the admin listener is the console's."""
        return self._console is not None

    def children(self, admin: list[socket.socket]) -> list[Child]:
        """Return the programs, for a supervisor; the console serves ``admin``."""
        found = [
            Child(self._outbound, END_TIMEOUT, is_wanted=self._wants_way_out, is_last=False),
        ]
        if self._console:
            found.append(Child(_ServingConsole(self._console, admin)))
        return found

    def note(self, config: Config) -> None:
        """Go on with another configuration, which may want a way out, or none any more."""
        self._has_way_out = config.has_way_out

    def _wants_way_out(self) -> bool:
        return self._has_way_out and not self._is_separate

    def disown(self) -> None:
        """Let go of the programs in a process that was forked from the one that starts them."""
        self._outbound.lifeline.disown()
        if self._console:
            self._console.lifeline.disown()

    def start(self, admin: list[socket.socket]) -> None:
        """Start them from an event loop, that of the main thread; the console serves ``admin``."""
        self._keepers = [ChildKeeper(each) for each in self.children(admin)]
        for keeper in self._keepers:
            keeper.start()

    def reload(self) -> None:
        """Have them read the configuration again, and start what it wants by now."""
        for keeper in self._keepers:
            keeper.reload()

    def begin_end(self) -> None:
        """Ask the way out to end, which may take as long as its attempts."""
        for keeper in self._keepers:
            if not keeper.is_last:
                keeper.begin_end()

    async def stop(self) -> None:
        """End them, and return when all have ended."""
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers))
