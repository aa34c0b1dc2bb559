"""Ports for servers that are started, killed and started again on the same address."""

from __future__ import annotations

import os
import random
import socket

# Below the kernel's ephemeral range (32768 and up by default): a port from inside it may be taken as the
# source port of some outgoing connection while the server that owned it is down for a moment, and then
# the restart, which is the point of many tests, fails once in a blue moon.
_LOWEST, _HIGHEST = 20_000, 32_000
_ATTEMPTS = 200
_MOST_WORKERS = 12

# A port is free until its server has bound it, so "nobody listens" alone would sometimes give two servers
# the same one. A process never returns a port twice, and the workers of a parallel run share none.
_returned: set[int] = set()

# Not the global generator: plugins that seed it for reproducible tests would make every worker of a
# parallel run try the same ports in the same order.
_dice = random.SystemRandom()


def is_free(port: int) -> bool:
    """Tell whether a server could bind `port` on loopback now."""
    with socket.socket() as probe:
        # As the servers do: connections of a killed predecessor in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return `count` distinct ports that nobody listens on."""
    found: list[int] = []
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MOST_WORKERS
    for _ in range(_ATTEMPTS):
        port = _dice.randrange(_LOWEST + worker, _HIGHEST, _MOST_WORKERS)
        if port not in _returned and is_free(port):
            found.append(port)
            _returned.add(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports between {_LOWEST} and {_HIGHEST}")
