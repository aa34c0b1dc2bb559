"""A Redis Cluster: each command goes to the node that has its key.

Every claim is one command on one key, so that a cluster needs no more than a table of slots
(https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/). A node that moves a slot says where it went,
without having carried out the command: the command is sent there once more, within the same timeout.

redis-py's cluster client is not used: it repeats commands whose reply was lost, as its other clients do, see
:mod:`gateway.claims.redis_connection`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import hiredis
import structlog
from typing_extensions import override

from gateway.claims.redis_connect import connect
from gateway.claims.redis_connection import RedisConnection
from gateway.claims.redis_errors import CLUSTER_IS_DOWN
from gateway.claims.redis_servers import Connection, RedisServers
from gateway.claims.redis_slots import SLOTS, Address, find_owners, slot_of
from gateway.claims.resp import Value
from gateway.transport.reconnect import ReconnectingConnection
from gateway.transport.redis_url import RedisUrl

_MAX_REDIRECTS = 3
"""How often one command follows a key that has moved."""

_TRY_AGAIN_DELAY = 0.02
"""Seconds until a command is sent again whose keys are on two nodes at the moment."""

_REFRESH_DELAY = 1.0
"""Seconds between two looks at the slots while some node cannot be reached, or a key has moved."""

_KEYLESS = frozenset(("TIME", "INFO", "PING"))
"""Commands that any node answers."""

log = structlog.get_logger()


class ClusterServers(RedisServers):
    """A Redis Cluster.

    Args:
        nodes: The addresses of some of its nodes, all with the same user and password; they name the others.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = [RedisUrl.parse(url) for url in nodes]

    @override
    def certificates(self) -> list[bytes]:
        return [node.tls.fingerprint() for node in self._nodes]

    @override
    async def connect(
        self, timeout: float, *, needs_scripts: bool = False, is_quiet: bool = False
    ) -> Connection:
        connection = ClusterConnection(self._nodes, timeout, needs_scripts=needs_scripts, is_quiet=is_quiet)
        await connection.open()
        return connection


class ClusterConnection(Connection):
    """One connection to each primary of a cluster, each of which reconnects by itself.

    Args:
        seeds: Nodes that are asked for the others.
        timeout: Seconds that a command may take, with its redirects.
        needs_scripts: Whether EVAL and TIME have to work too.
        is_quiet: Whether the connections are not logged.
    """

    def __init__(
        self, seeds: Sequence[RedisUrl], timeout: float, *, needs_scripts: bool, is_quiet: bool
    ) -> None:
        self.script_refusal = ""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seeds = random.sample(seeds, len(seeds))
        self._timeout = timeout
        self._needs_scripts = needs_scripts
        self._is_quiet = is_quiet
        self._owners: list[Address | None] = [None] * SLOTS
        self._links: dict[Address, ReconnectingConnection[RedisConnection]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._earlier: list[asyncio.Task[Any]] = []
        self._refreshing: asyncio.Task[None] | None = None
        self._turn = 0
        self._cause = ""
        self._refused_key: Value | None = None

    @property
    def unavailable_reason(self) -> str:
        """Return why some keys cannot be reached at the moment; empty if all can."""
        if None in self._owners:
            return "some slots of the Redis Cluster belong to no node; repair it with redis-cli --cluster fix"
        if self._refused_key is not None:
            return CLUSTER_IS_DOWN
        return next((link.unavailable_reason for link in self._links.values() if link.current is None), "")

    async def open(self) -> None:
        """Find all primaries, and connect to them.

        Raises:
            OSError: No node answers, or none of the primaries can keep claims.
        """
        try:
            await self._open()
        except BaseException:  # also when cancelled: nothing else refers to the connections
            await self.close()
            raise

    async def _open(self) -> None:
        await self._find_primaries()
        tries = [link.reconnected() for link in self._links.values()]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        failures = [each for each in outcomes if isinstance(each, OSError)]
        if len(failures) == len(outcomes):
            raise failures[0]
        if failures:
            self._refresh()
        self.script_refusal = next(
            (
                each.script_refusal
                for each in outcomes
                if isinstance(each, RedisConnection) and each.script_refusal
            ),
            "",
        )

    @override
    def execute(self, *command: Value) -> asyncio.Future[Any]:
        earlier, self._earlier = self._earlier, []
        return self._start(self._run_after(earlier, command) if earlier else self._run(command))

    @override
    def tell(self, on_failure: Callable[[], None], *command: Value) -> None:
        def check(task: asyncio.Task[Any]) -> None:
            if task.cancelled() or task.exception():
                on_failure()

        self._start(self._run(command)).add_done_callback(check)

    @override
    def execute_then(self, on_reply: Callable[[Any], None], *command: Value) -> None:
        async def run() -> None:
            on_reply(await self._run(command))

        self._earlier.append(self._start(run()))

    @override
    def abort(self) -> None:
        for link in self._links.values():
            if link.current:
                link.current.abort()
        self._end()
        for link in self._links.values():
            self._start(link.stop())

    @override
    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout)
        self._end()
        unfinished = [*self._tasks, *([self._refreshing] if self._refreshing else [])]
        for task in unfinished:
            task.cancel()
        if unfinished:  # a look at the slots has a connection of its own, which it closes
            await asyncio.wait(unfinished)
        for link in self._links.values():
            await link.stop()

    def _end(self) -> None:
        if self._refreshing:
            self._refreshing.cancel()
        if not self.lost.done():
            self.lost.set_exception(ConnectionError("connection closed"))
            self.lost.exception()  # retrieved: nobody may be waiting for it

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: nobody may be waiting for it

    async def _run_after(self, earlier: list[asyncio.Task[Any]], command: tuple[Value, ...]) -> Any:
        """Run a command on its node, and wait for the replies to those that belong to it, on other nodes."""
        reply = await self._run(command)
        await asyncio.wait(earlier, timeout=self._timeout)
        return reply

    async def _run(self, command: tuple[Value, ...]) -> Any:
        """Send a command to the node that has its key, and follow the key where it has moved.

        Raises:
            OSError: The node cannot be reached, or did not answer in time.
            hiredis.ReplyError: The node refused the command.
        """
        try:
            return await self._run_once(command)
        except OSError:
            self._refresh()  # another node may have the key by now
            raise

    async def _run_once(self, command: tuple[Value, ...]) -> Any:
        link, redirects, is_asking = self._link_of(command), 0, False
        async with asyncio.timeout(self._timeout):
            while redirects <= _MAX_REDIRECTS:
                connection = link.current
                if connection is None:
                    raise ConnectionError(link.unavailable_reason)
                if is_asking:
                    connection.tell(_ignore, "ASKING")
                try:
                    return await connection.execute(*command)
                except hiredis.ReplyError as error:
                    kind, _, place = str(error).partition(" ")
                    if kind == "CLUSTERDOWN":
                        self._refused_key = _key_of(command)
                        raise ConnectionError(CLUSTER_IS_DOWN) from None
                    if kind == "TRYAGAIN":  # a script's keys are on two nodes until their slot has moved
                        await asyncio.sleep(_TRY_AGAIN_DELAY)
                        link, is_asking = self._link_of(command), False
                        continue
                    if kind not in ("MOVED", "ASK"):
                        raise
                    is_asking = kind == "ASK"
                    link = await self._follow(place, link, has_moved=not is_asking)
                    redirects += 1
            raise ConnectionError("the key has moved again and again")

    async def _follow(
        self, place: str, link: ReconnectingConnection[RedisConnection], *, has_moved: bool
    ) -> ReconnectingConnection[RedisConnection]:
        """Return the connection to the node that ``<slot> <host>:<port>`` names.

        Until a slot has moved as a whole, its old node decides key by key, and stays the one that is asked first.
        """
        slot, _, node = place.partition(" ")
        host, _, port = node.rpartition(":")
        # An empty host stands for the one that was asked.
        address = Address(host or self._address_of(link).host, int(port))
        if has_moved:
            self._refresh()
            if slot.isdecimal() and int(slot) < SLOTS:
                self._owners[int(slot)] = address
        target = await self._link_to(address)
        if target.current is None:
            await target.reconnected()
        return target

    def _link_of(self, command: tuple[Value, ...]) -> ReconnectingConnection[RedisConnection]:
        if command[0] in _KEYLESS:
            links = [link for link in self._links.values() if link.current] or list(self._links.values())
            self._turn += 1
            return links[self._turn % len(links)]
        key = _key_of(command)
        address = self._owners[slot_of(key if isinstance(key, bytes) else str(key).encode())]
        if address is None:
            raise ConnectionError(self.unavailable_reason)
        return self._links[address]

    def _address_of(self, link: ReconnectingConnection[RedisConnection]) -> Address:
        return next(address for address, each in self._links.items() if each is link)

    async def _link_to(self, address: Address) -> ReconnectingConnection[RedisConnection]:
        if address not in self._links:
            node = replace(self._seeds[0], host=address.host, port=address.port)
            self._links[address] = ReconnectingConnection(
                f"redis {node.server}", partial(self._connect, node), is_quiet=self._is_quiet
            )
            await self._links[address].start()
        return self._links[address]

    async def _connect(self, node: RedisUrl) -> RedisConnection:
        """Connect to a node, and look at the slots whenever that fails or ends: a replica may have taken over."""
        try:
            connection = await connect(
                node, self._timeout, needs_scripts=self._needs_scripts, in_cluster=True
            )
        except OSError:
            self._refresh()
            raise
        connection.lost.add_done_callback(lambda _: self._refresh())
        return connection

    async def _find_primaries(self) -> None:
        """Ask a node which primary has which slots, and connect to those that are new.

        Raises:
            OSError: No node answers.
        """
        known = [replace(self._seeds[0], host=each.host, port=each.port) for each in self._links]
        owners = await find_owners([*known, *self._seeds], self._timeout)
        primaries = set(filter(None, owners))
        for address in primaries:
            await self._link_to(address)
        self._owners = owners
        for gone in self._links.keys() - primaries:
            self._start(self._links.pop(gone).stop())

    def _refresh(self) -> None:
        """Look at the slots again in a moment, and until every node can be reached."""
        if not self.lost.done() and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.get_running_loop().create_task(self._keep_refreshing())

    async def _keep_refreshing(self) -> None:
        while not self.lost.done():
            await asyncio.sleep(_REFRESH_DELAY)
            try:
                await self._find_primaries()
                if self._refused_key is not None:
                    # Any reply shows that commands are taken, also the error of a key that holds a hash.
                    with suppress(hiredis.ReplyError):
                        await self._run_once(("GET", self._refused_key))
                    self._refused_key = None
            except OSError as error:
                if str(error) != self._cause and not self._is_quiet:  # logged once, not at every look
                    log.warning("slots unknown", server="redis", cause=str(error))
                self._cause = str(error)
            if not self.unavailable_reason:
                self._cause = ""
                return


def _key_of(command: tuple[Value, ...]) -> Value:
    return command[3] if command[0] == "EVAL" else command[1]


def _ignore() -> None:
    """Ignore that a command failed: the one that follows it fails too."""
