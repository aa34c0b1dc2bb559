"""The servers that the other tests lean on: they start, die on demand, come back, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support.fault_proxy import Direction, FaultProxy
from support.ports import free_ports, is_free
from support.postgresql_server import PASSWORD, PostgreSQLServer
from support.process import Child, descendants, is_alive
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.requirements import require, require_package
from support.waiting import PATIENCE, wait_until, wait_until_async


def test_ports_are_distinct_and_free() -> None:
    """A server can bind each of them."""
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(map(is_free, ports))


def test_a_listening_port_is_not_free() -> None:
    """SO_REUSEADDR, which the check needs, does not make it blind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_free(listener.getsockname()[1])


def test_waiting_returns_what_became_true() -> None:
    """So that a test can go on with the value that it waited for."""
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers)) == 7


def test_waiting_tells_what_it_waited_for() -> None:
    """With the last forgiven exception as the cause."""

    def fails() -> bool:
        raise OSError("refused")

    with pytest.raises(TimeoutError, match="the moon rose") as caught:
        wait_until(fails, 0.0, "the moon rose", forgive=(OSError,))
    assert isinstance(caught.value.__cause__, OSError)


def test_waiting_forgives_only_what_it_is_told_to() -> None:
    """A bug in the condition must not look like a slow server."""

    def fails() -> bool:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        wait_until(fails, 1.0, forgive=(OSError,))


def test_waiting_in_a_loop_takes_both_kinds_of_conditions() -> None:
    """Functions and coroutine functions."""

    async def scenario() -> tuple[int, str]:
        answers = iter([0, 5])

        async def greets() -> str:
            return "hello"

        return await wait_until_async(lambda: next(answers)), await wait_until_async(greets)

    assert asyncio.run(scenario()) == (5, "hello")


def test_a_child_dies_with_its_owner(tmp_path: Path) -> None:
    """Also when the owner gets no chance to clean up."""
    script = (
        "import os, sys, pathlib; from support.process import Child;"
        "child = Child(['sleep', '600'], log=pathlib.Path(sys.argv[1]));"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    owner = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    pid = int(owner.stdout)
    wait_until(lambda: not is_alive(pid), message="the child ended")


def test_a_child_that_ended_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    """Instead of a deadline that passes for no visible reason."""
    child = Child(["/bin/sh", "-c", "echo no such option; exit 2"], log=tmp_path / "log")
    wait_until(lambda: not child.is_running)
    with pytest.raises(RuntimeError, match="no such option"):
        child.expect_running()
    child.kill()
    assert child.exit_code == 2


def test_redis_dies_comes_back_empty_on_the_same_port_and_leaves_nothing() -> None:
    """The life of a Redis under test."""
    require("redis-server")
    with RedisServer() as server:
        first = server.pid
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"SET key value\r\n")
            assert connection.recv(16) == b"+OK\r\n"

        server.kill()
        assert not server.is_running
        assert not is_alive(first)
        server.start()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"DBSIZE\r\n")
            assert connection.recv(16) == b":0\r\n"

        server.suspend()
        with pytest.raises(TimeoutError):
            server.answers(timeout=0.2)
        server.resume()
        assert server.answers()

        server.stop()
        server.start()
        last = server.pid
    assert not is_alive(last)
    assert is_free(server.port)


def test_rabbitmq_keeps_its_data_through_a_kill_and_leaves_nothing() -> None:
    """The life of a RabbitMQ under test."""
    require("rabbitmq-server", "rabbitmqctl", "epmd")
    with RabbitMQServer() as server:
        assert Path(f"/proc/{server.pid}/comm").read_text().strip() == "beam.smp"
        server.ctl("add_vhost", "kept")
        first = [server.pid, *descendants(server.pid)]

        server.kill()
        assert not any(map(is_alive, first))
        server.start()
        assert "kept" in server.ctl("list_vhosts").split()

        server.suspend()
        with pytest.raises(TimeoutError):
            server.answers(timeout=0.2)
        server.resume()
        assert server.answers()

        everything = [server.pid, server.epmd_pid, *descendants(server.pid)]
    assert not any(map(is_alive, everything))
    assert is_free(server.port)


def test_each_test_gets_a_virtual_host_of_its_own(rabbitmq_server: RabbitMQServer, rabbitmq_url: str) -> None:
    """With the rights to use it."""
    vhost = rabbitmq_url.rpartition("/")[2]
    assert vhost in rabbitmq_server.ctl("list_vhosts").split()
    assert "guest\t.*\t.*\t.*" in rabbitmq_server.ctl("list_permissions", "--vhost", vhost)


class _Echo(socketserver.BaseRequestHandler):
    """Answers what it gets, and keeps it."""

    heard = bytearray()

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65_536):
                self.heard += data
                self.request.sendall(data)


@pytest.fixture
def echo_proxy() -> Iterator[FaultProxy]:
    """A proxy in front of a server that answers with what it gets."""
    _Echo.heard.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with FaultProxy(server.server_address[1]) as proxy:
                yield proxy
        finally:
            server.shutdown()
            thread.join()


def call(proxy: FaultProxy) -> socket.socket:
    """A connection through the proxy that is known to work."""
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
    client.sendall(b"hello")
    assert receive(client, 5) == b"hello"
    return client


def receive(client: socket.socket, count: int) -> bytes:
    """``count`` bytes, or what came before the end."""
    data = b""
    while len(data) < count and (piece := client.recv(count - len(data))):
        data += piece
    return data


def test_a_healed_proxy_passes_what_it_is_given_and_the_end_of_it(echo_proxy: FaultProxy) -> None:
    """Each direction ends by itself."""
    with call(echo_proxy) as client:
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert len(receive(client, 100_001)) == 100_000


def test_a_proxy_refuses_and_is_back_on_the_same_port(echo_proxy: FaultProxy) -> None:
    """As a server that dies and is started again."""
    with call(echo_proxy) as client:
        echo_proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        call(echo_proxy)
    echo_proxy.heal()
    call(echo_proxy).close()


def test_a_proxy_resets_its_connections_and_takes_new_ones(echo_proxy: FaultProxy) -> None:
    """As a network that forgets."""
    with call(echo_proxy) as client:
        echo_proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    call(echo_proxy).close()


def test_a_stalled_proxy_holds_both_ways_until_it_is_healed(echo_proxy: FaultProxy) -> None:
    """Connections are taken meanwhile, and nothing is lost."""
    with call(echo_proxy) as client:
        echo_proxy.stall()
        client.sendall(b"later")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        with socket.create_connection(("127.0.0.1", echo_proxy.port), timeout=0.1) as other:
            other.sendall(b"other")
            with pytest.raises(TimeoutError):
                other.recv(1)
        assert bytes(_Echo.heard) == b"hello"
        echo_proxy.heal()
        client.settimeout(PATIENCE)
        assert receive(client, 5) == b"later"


@pytest.mark.parametrize("direction", Direction)
def test_a_proxy_delays_one_way(echo_proxy: FaultProxy, direction: Direction) -> None:
    """What comes late comes all the same."""
    with call(echo_proxy) as client:
        echo_proxy.delay(0.3, direction)
        client.settimeout(0.05)
        client.sendall(b"later")
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(PATIENCE)
        assert receive(client, 5) == b"later"


@pytest.mark.parametrize(
    ("direction", "heard"), [(Direction.TO_SERVER, b"hello"), (Direction.TO_CLIENT, b"hellogone")]
)
def test_a_proxy_discards_one_way(echo_proxy: FaultProxy, direction: Direction, heard: bytes) -> None:
    """The other side has heard it, or has not."""
    with call(echo_proxy) as client:
        echo_proxy.discard(direction)
        client.sendall(b"gone")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert bytes(_Echo.heard) == heard
        echo_proxy.heal()
        client.settimeout(PATIENCE)
        client.sendall(b"behind the hole")
        with pytest.raises(ConnectionResetError):
            receive(client, 100)
    call(echo_proxy).close()


@pytest.mark.parametrize(
    ("direction", "heard"), [(Direction.TO_SERVER, b"helloabc"), (Direction.TO_CLIENT, b"helloabcdef")]
)
def test_a_proxy_cuts_after_so_many_bytes(echo_proxy: FaultProxy, direction: Direction, heard: bytes) -> None:
    """In the middle of a message; the next connection is sound."""
    with call(echo_proxy) as client:
        echo_proxy.cut_after(3, direction)
        client.sendall(b"abcdef")
        echo_proxy.wait_tripped()
        wait_until(lambda: bytes(_Echo.heard) == heard)
        with pytest.raises(ConnectionResetError):
            receive(client, 100)
    call(echo_proxy).close()


def test_a_proxy_cuts_at_a_marker_and_loses_the_reply_to_one(echo_proxy: FaultProxy) -> None:
    """The server has not heard the first, and has heard the second; the client knows of neither."""
    echo_proxy.cut_at(b"one")
    with call(echo_proxy) as client:
        client.sendall(b"one")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert bytes(_Echo.heard) == b"hello"
    echo_proxy.lose_reply(b"two")
    with call(echo_proxy) as client:
        client.sendall(b"two")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert bytes(_Echo.heard) == b"hellohellotwo"
    echo_proxy.wait_tripped(0)


def test_the_collections_are_found(corpus: Path, facts: Path, conformance: Path) -> None:
    """Next to the repository, or where the environment says."""
    assert (corpus / "FORMAT.txt").is_file()
    assert (facts / "providers.yaml").is_file()
    assert (conformance / "cloudevents").is_dir()


def test_postgresql_keeps_its_data_through_a_kill_and_leaves_nothing() -> None:
    """The life of a PostgreSQL under test."""
    require("postgres", "initdb")
    require_package("psycopg")
    with PostgreSQLServer() as server:
        url = server.database_url(server.create_database())
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

        first = [server.pid, *descendants(server.pid)]
        server.kill()
        assert not any(map(is_alive, first))
        server.start()
        with contextlib.closing(psycopg.connect(url)) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
            server.suspend()
            with pytest.raises(psycopg.OperationalError):
                server.answers(timeout=1)
            server.resume()
            assert server.answers()
            # One that is still connected does not hold up an orderly end.
            server.stop()
            assert not server.is_running

        server.start()
        last = [server.pid, *descendants(server.pid)]
    assert not any(map(is_alive, last))
    assert is_free(server.port)


def test_each_test_gets_an_empty_database_behind_a_password(postgres_url: str) -> None:
    """Which the address has."""
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_url.replace(PASSWORD, "wrong"))
