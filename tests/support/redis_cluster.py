"""Real Redis servers that stand in for one another: a Cluster, and a primary with Sentinels."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from gateway.claims import claim_key
from support.claims import hash_of, is_packed
from support.ports import free_port, is_free
from support.process import Child
from support.programs import locate
from support.redis_server import RedisServer, ServerTls, enter_on_free_ports
from support.senders import Delivery
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
    """Three primaries and a replica of each.

    Args:
        tls: The files of nodes that clients reach over TLS, as they reach each other.
    """

    def __init__(self, tls: ServerTls | None = None) -> None:
        self._tls = tls
        self._stack = ExitStack()
        self.primaries: list[RedisServer] = []
        self.replicas: list[RedisServer] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            servers = [enter_on_free_ports(stack, self._node) for _ in range(6)]
            self.primaries, self.replicas = servers[:3], servers[3:]
            self._join(servers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _node(self) -> RedisServer:
        return RedisServer(
            *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
            *("--cluster-node-timeout", _NODE_TIMEOUT, "--cluster-announce-ip", "127.0.0.1"),
            *("--tls-cluster", "yes" if self._tls else "no"),
            *_SYNC_AT_ONCE,
            tls=self._tls,
        )

    def _join(self, servers: list[RedisServer]) -> None:
        bounds = [number * _SLOTS // 3 for number in range(4)]
        for primary, first, last in zip(self.primaries, bounds, bounds[1:], strict=False):
            command(primary, "CLUSTER ADDSLOTSRANGE", first, last - 1)
        for epoch, server in enumerate(servers, 1):
            command(server, "CLUSTER SET-CONFIG-EPOCH", epoch)
        first_port = servers[0].tls_port or servers[0].port
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
        return [_url(server.port, server.tls_port) for server in self.primaries]

    def wait_copied(self, deliveries: Iterable[Delivery]) -> None:
        """Wait until the claims of published events have reached the replicas."""
        for delivery in deliveries:
            key = claim_key(delivery.provider, delivery.event_id)
            wait_until(partial(_is_done, self.owner_of(hash_of(key)), key), PATIENCE, "a claim is committed")
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            wait_caught_up(primary, replica)

    def reshard(self, source: RedisServer, target: RedisServer, slots: int) -> None:
        """Move slots to another primary, as an operator does."""
        identities = (command(source, "CLUSTER MYID"), command(target, "CLUSTER MYID"))
        options = zip(("from", "to", "slots"), (*identities, str(slots)), strict=True)
        subprocess.run(
            [
                *(locate("redis-cli"), "--cluster", "reshard", f"127.0.0.1:{source.port}", "--cluster-yes"),
                *(word for name, value in options for word in (f"--cluster-{name}", value)),
            ],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )

    def owner_of(self, key: str) -> RedisServer:
        """Return the primary that has a key."""
        alive = next(server for server in (*self.primaries, *self.replicas) if server.is_running)
        slot = command(alive, "CLUSTER KEYSLOT", key)
        for first, last, primary, *_ in command(alive, "CLUSTER SLOTS"):
            if first <= slot <= last:
                port = primary[1]
                return next(each for each in (*self.primaries, *self.replicas) if each.port == port)
        raise LookupError(key)

    def find_key(self, pattern: str) -> str:
        """Return a key that matches a pattern, once there is one."""
        found: list[str] = []

        def is_there() -> bool:
            for primary in self.primaries:
                with redis.Redis.from_url(primary.url, decode_responses=True) as client:
                    found.extend(client.scan_iter(pattern, count=1000))
            return bool(found)

        wait_until(is_there, PATIENCE, f"there is a key like {pattern}")
        return found[0]

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


def _is_done(server: RedisServer, key: str) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return is_packed(client, key)


def wait_caught_up(primary: RedisServer, replica: RedisServer) -> None:
    """Wait until a replica has what its primary has now."""
    goal = command(primary, "INFO", "replication")["master_repl_offset"]
    wait_until(
        lambda: command(replica, "INFO", "replication")["slave_repl_offset"] >= goal,
        PATIENCE,
        "the replica has caught up",
    )


def _url(port: int, tls_port: int) -> str:
    return f"rediss://127.0.0.1:{tls_port}" if tls_port else f"redis://127.0.0.1:{port}"


def _cluster_port(server: RedisServer) -> int:
    return int(command(server, "CONFIG", "GET", "cluster-port")["cluster-port"])


def _knows(server: RedisServer, count: int) -> bool:
    return int(command(server, "CLUSTER INFO")["cluster_known_nodes"]) == count


class WatchedRedis:
    """A primary with a replica, watched by three Sentinels.

    Args:
        options: Of the primary and its replica.
        password: That of the default user of both, which the options set.
        tls: The files of all five, which clients then reach over TLS, as they reach each other.
    """

    name = "claims"

    def __init__(self, *options: str, password: str = "", tls: ServerTls | None = None) -> None:
        self._options = (*options, *_SYNC_AT_ONCE)
        self._tls = tls
        self._password = password
        self._stack = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-"))
        self.servers: list[RedisServer] = []
        self.sentinels: list[int] = []
        self._tls_ports: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            primary = enter_on_free_ports(stack, lambda: RedisServer(*self._options, tls=self._tls))
            port = primary.tls_port or primary.port
            following = (*self._options, "--replicaof", f"127.0.0.1 {port}")
            replica = enter_on_free_ports(stack, lambda: RedisServer(*following, tls=self._tls))
            self.servers = [primary, replica]
            wait_until(lambda: _is_linked(replica, self._password), PATIENCE, "the replica follows")
            for number in range(3):
                child = self._sentinel(number, port)
                stack.callback(child.kill)
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
        return [_url(*ports) for ports in zip(self.sentinels, self._tls_ports, strict=True)]

    def wait_copied(self, deliveries: Iterable[Delivery], replica: RedisServer) -> None:
        """Wait until the claims of published events have reached the replica."""
        for delivery in deliveries:
            key = claim_key(delivery.provider, delivery.event_id)
            wait_until(partial(_is_done, replica, key), PATIENCE, "a claim is copied")

    def command_sentinel(self, port: int, *words: str) -> None:
        """Run a command on a Sentinel."""
        with redis.Redis(port=port) as client:
            execute: Any = client.execute_command
            execute(*words)

    def is_primary(self, server: RedisServer) -> bool:
        """Return whether a server takes itself for the primary."""
        return bool(self._replication(server)["role"] == "master")

    def hand_over(self) -> None:
        """Let the replica take over while the primary runs, once the Sentinels know that it is a good one."""

        def is_begun() -> bool:
            self.command_sentinel(self.sentinels[0], "SENTINEL FAILOVER", self.name)
            return True

        wait_until(is_begun, PATIENCE, "a replica is promoted", forgive=(redis.ResponseError,))

    def wait_is_primary(self, server: RedisServer) -> None:
        """Wait until the Sentinels name a server, and it knows. It ends its connections on the way."""

        def is_primary() -> bool:
            with redis.Redis(port=self.sentinels[0]) as client:
                named = client.sentinel_get_master_addr_by_name(self.name)
            role = self._replication(server)["role"]
            return bool(named and named[1] == (server.tls_port or server.port) and role == "master")

        wait_until(is_primary, PATIENCE, "the replica has taken over", forgive=(redis.RedisError,))

    def wait_follows(self, server: RedisServer, primary: RedisServer) -> None:
        """Wait until a server is a replica of another, with all its data. It ends its connections on the way."""

        def follows() -> bool:
            found = self._replication(server)
            return bool(
                found.get("master_port") == (primary.tls_port or primary.port)
                and found.get("master_link_status") == "up"
            )

        wait_until(follows, PATIENCE, "the old primary is a replica", forgive=(redis.RedisError,))

    def _replication(self, server: RedisServer) -> dict[str, Any]:
        with redis.Redis.from_url(server.url, password=self._password or None) as client:
            return dict(client.info("replication"))

    def _sentinel(self, number: int, primary: int) -> Child:
        port, config = free_port(), self._folder / f"{number}.conf"
        tls_port = free_port() if self._tls else 0
        settings = self._tls.settings(tls_port) if self._tls else {}
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
            + "".join(f"{name} {value}\n" for name, value in settings.items())
            + f"sentinel monitor {self.name} 127.0.0.1 {primary} 2\n"
            f"sentinel down-after-milliseconds {self.name} {_NODE_TIMEOUT}\n"
            f"sentinel failover-timeout {self.name} 5000\n"
            + (f"sentinel auth-pass {self.name} {self._password}\n" if self._password else "")
        )
        log = self._folder / f"{number}.log"
        child = Child([locate("redis-server"), str(config), "--sentinel"], log=log)

        def listens() -> bool:
            child.expect_running()
            return not is_free(port)

        wait_until(listens, PATIENCE, "a Sentinel listens")
        self.sentinels.append(port)
        self._tls_ports.append(tls_port)
        return child

    def _is_informed(self, port: int) -> bool:
        with redis.Redis(port=port) as client:
            state = client.sentinel_master(self.name)
            return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


def _is_linked(replica: RedisServer, password: str = "") -> bool:
    with redis.Redis.from_url(replica.url, password=password or None) as client:
        return bool(client.info("replication").get("master_link_status") == "up")
