"""Real Redis servers that stand in for one another: a Cluster, and a primary with Sentinels."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from support.ports import free_port, is_free
from support.process import Child
from support.programs import locate
from support.redis_server import RedisServer
from support.waiting import PATIENCE, wait_until

_NODE_TIMEOUT = "1000"
"""Milliseconds of silence after which a node or a primary counts as dead."""

_SLOTS = 16_384

_SYNC_AT_ONCE = ("--repl-diskless-sync-delay", "0")
"""By default a primary waits 5 s for further replicas before it sends its data to the first."""


def command(server: RedisServer, *words: object) -> Any:
    """Run a command on a server, and return its reply."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        execute: Any = client.execute_command
        return execute(*words)


class RedisCluster:
    """Three primaries and a replica of each."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.primaries: list[RedisServer] = []
        self.replicas: list[RedisServer] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            servers = [stack.enter_context(self._node()) for _ in range(6)]
            self.primaries, self.replicas = servers[:3], servers[3:]
            self._join(servers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @staticmethod
    def _node() -> RedisServer:
        return RedisServer(
            *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
            *("--cluster-node-timeout", _NODE_TIMEOUT, "--cluster-announce-ip", "127.0.0.1"),
            *_SYNC_AT_ONCE,
        )

    def _join(self, servers: list[RedisServer]) -> None:
        bounds = [number * _SLOTS // 3 for number in range(4)]
        for primary, first, last in zip(self.primaries, bounds, bounds[1:], strict=False):
            command(primary, "CLUSTER ADDSLOTSRANGE", first, last - 1)
        for epoch, server in enumerate(servers, 1):
            command(server, "CLUSTER SET-CONFIG-EPOCH", epoch)
        first_port = servers[0].port
        bus = _cluster_port(servers[0])
        for server in servers[1:]:
            command(server, "CLUSTER MEET", "127.0.0.1", first_port, bus)
        wait_until(lambda: all(_knows(each, 6) for each in servers), PATIENCE, "the nodes know each other")
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            identity = command(primary, "CLUSTER MYID")
            follow = partial(command, replica, "CLUSTER REPLICATE", identity)
            wait_until(follow, PATIENCE, "a replica follows", forgive=(redis.ResponseError,))
        wait_until(lambda: all(map(_is_linked, self.replicas)), PATIENCE, "the replicas have all data")
        wait_until(lambda: all(self._is_ok(each) for each in servers), PATIENCE, "the cluster is whole")

    def _is_ok(self, server: RedisServer) -> bool:
        info = command(server, "CLUSTER INFO")
        return bool(info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(_SLOTS))

    @property
    def urls(self) -> list[str]:
        """The addresses of the primaries."""
        return [f"redis://127.0.0.1:{server.port}" for server in self.primaries]

    def owner_of(self, key: str) -> RedisServer:
        """Return the primary that has a key."""
        alive = next(server for server in (*self.primaries, *self.replicas) if server.is_running)
        slot = command(alive, "CLUSTER KEYSLOT", key)
        for first, last, primary, *_ in command(alive, "CLUSTER SLOTS"):
            if first <= slot <= last:
                port = primary[1]
                return next(each for each in (*self.primaries, *self.replicas) if each.port == port)
        raise LookupError(key)

    def begin_move(self, key: str) -> tuple[RedisServer, RedisServer]:
        """Begin to move the slot of a key to another primary, as a resharding does; return both."""
        source = self.owner_of(key)
        target = next(each for each in self.primaries if each is not source)
        slot = command(source, "CLUSTER KEYSLOT", key)
        to, origin = command(target, "CLUSTER MYID"), command(source, "CLUSTER MYID")
        command(target, "CLUSTER SETSLOT", slot, "IMPORTING", origin)
        command(source, "CLUSTER SETSLOT", slot, "MIGRATING", to)
        for found in command(source, "CLUSTER GETKEYSINSLOT", slot, 1000):
            command(source, "MIGRATE", "127.0.0.1", target.port, found, 0, 5000)
        return source, target

    def finish_move(self, key: str, source: RedisServer, target: RedisServer) -> None:
        """Give the slot of a key to its new primary."""
        slot = command(source, "CLUSTER KEYSLOT", key)
        to = command(target, "CLUSTER MYID")
        for server in (target, source, *(each for each in self.primaries if each not in (source, target))):
            command(server, "CLUSTER SETSLOT", slot, "NODE", to)


def _cluster_port(server: RedisServer) -> int:
    return int(command(server, "CONFIG", "GET", "cluster-port")["cluster-port"])


def _knows(server: RedisServer, count: int) -> bool:
    return int(command(server, "CLUSTER INFO")["cluster_known_nodes"]) == count


class WatchedRedis:
    """A primary with a replica, watched by three Sentinels."""

    name = "claims"

    def __init__(self, *options: str, password: str = "") -> None:
        self._options = (*options, *_SYNC_AT_ONCE)
        self._password = password
        self._stack = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-"))
        self.servers: list[RedisServer] = []
        self.sentinels: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            primary = stack.enter_context(RedisServer(*self._options))
            replica = stack.enter_context(
                RedisServer(*self._options, "--replicaof", f"127.0.0.1 {primary.port}")
            )
            self.servers = [primary, replica]
            wait_until(lambda: _is_linked(replica, self._password), PATIENCE, "the replica follows")
            for number in range(3):
                child, port = self._sentinel(number, primary.port)
                stack.callback(child.kill)
                self.sentinels.append(port)
            wait_until(
                lambda: all(self._is_informed(port) for port in self.sentinels),
                PATIENCE,
                "the Sentinels know each other",
                forgive=(redis.RedisError,),
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def urls(self) -> list[str]:
        """The addresses of the Sentinels."""
        return [f"redis://127.0.0.1:{port}" for port in self.sentinels]

    def _sentinel(self, number: int, primary: int) -> tuple[Child, int]:
        port, config = free_port(), self._folder / f"{number}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {self.name} 127.0.0.1 {primary} 2\n"
            f"sentinel down-after-milliseconds {self.name} {_NODE_TIMEOUT}\n"
            f"sentinel failover-timeout {self.name} 5000\n"
            + (f"sentinel auth-pass {self.name} {self._password}\n" if self._password else "")
        )
        log = self._folder / f"{number}.log"
        child = Child([locate("redis-server"), str(config), "--sentinel"], log=log)
        wait_until(lambda: not is_free(port), PATIENCE, "a Sentinel listens")
        return child, port

    def _is_informed(self, port: int) -> bool:
        with redis.Redis(port=port) as client:
            state = client.sentinel_master(self.name)
            return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


def _is_linked(replica: RedisServer, password: str = "") -> bool:
    with redis.Redis.from_url(replica.url, password=password or None) as client:
        return bool(client.info("replication").get("master_link_status") == "up")
