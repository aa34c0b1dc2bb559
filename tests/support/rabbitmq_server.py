"""A private RabbitMQ node that a test may kill, suspend and start again with its data."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from support import amqp_probe, rabbitmq_node
from support.ports import is_free
from support.process import Child
from support.programs import locate
from support.waiting import wait_until

_BOOT_TIMEOUT = 120.0


class RabbitMQServer:
    """One node with its own name, ports, cookie, data and port mapper.

    The port mapper (epmd) is started here rather than by Erlang, which would leave a shared daemon
    behind: as a child it has a pid that can be ended.

    With a `peer`, a node that runs, it joins the cluster of that node and uses its port mapper. `plugins` are
    those of RabbitMQ's that it has besides.
    """

    def __init__(
        self, configuration: str = "", peer: RabbitMQServer | None = None, plugins: Sequence[str] = ()
    ) -> None:
        self._server_program = locate("rabbitmq-server")
        self._ctl_program = locate("rabbitmqctl")
        self._epmd_program = locate("epmd")
        self._directory = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        self._node = rabbitmq_node.prepare(
            self._directory, configuration, peer.node if peer else None, plugins
        )
        self._peer = peer
        self.port = self._node.port
        self.url = self.vhost_url("/")
        self._epmd: Child | None = None
        self._child: Child | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def vhost_url(self, vhost: str) -> str:
        """Return the address of a virtual host; `/` is the default one."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{'' if vhost == '/' else vhost}"

    @property
    def management_url(self) -> str:
        """The address of the management API, of a node that has its plugin."""
        return f"http://127.0.0.1:{self._node.management_port}"

    @property
    def node(self) -> rabbitmq_node.Node:
        """The fixed properties of the node."""
        return self._node

    @property
    def pid(self) -> int:
        """The process id of the Erlang machine."""
        if self._child is None:
            raise RuntimeError("this RabbitMQ was not started")
        return self._child.pid

    @property
    def epmd_pid(self) -> int:
        """The process id of the port mapper."""
        if self._epmd is None:
            raise RuntimeError("this RabbitMQ was not started")
        return self._epmd.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the Erlang machine exists, suspended or not."""
        return self._child is not None and self._child.is_running

    def start(self) -> None:
        """Boot on the same port, with the old data, and return when a queue can be declared."""
        if self.is_running:
            return
        self._start_epmd()
        child = Child(
            [self._server_program],
            env=self._node.environment,
            cwd=self._directory,
            log=self._directory / "output.log",
        )
        self._child = child

        def is_ready() -> bool:
            child.expect_running()
            return self.answers()

        try:
            wait_until(
                is_ready,
                _BOOT_TIMEOUT,
                "RabbitMQ declares a queue",
                forgive=(OSError, amqp_probe.NotReadyError),
            )
        except BaseException:
            self.kill()
            raise

    def _start_epmd(self) -> None:
        if self._peer is not None or (self._epmd is not None and self._epmd.is_running):
            return
        port = self._node.epmd_port
        epmd = Child(
            [self._epmd_program, "-address", "127.0.0.1", "-port", str(port)],
            env=self._node.environment,
            log=self._directory / "epmd.log",
        )
        self._epmd = epmd

        def listens() -> bool:
            epmd.expect_running()
            return not is_free(port)

        wait_until(listens, message="epmd listens")

    def answers(self, timeout: float = 5.0) -> bool:
        """Tell whether a queue can be declared now; raises TimeoutError when it says nothing."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            amqp_probe.declare_a_queue(connection)
        return True

    def ctl(self, *arguments: str, timeout: float = 60.0) -> str:
        """Run `rabbitmqctl` against this node and return what it printed."""
        done = subprocess.run(
            [self._ctl_program, "--quiet", *arguments],
            env=self._node.environment,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    @contextmanager
    def message_limit(self, size: int) -> Iterator[None]:
        """Let it take messages of ``size`` bytes at most, on channels that are opened from now on."""
        before = self.ctl("eval", "application:get_env(rabbit, max_message_size, 16777216).")
        self._set_message_limit(str(size))
        try:
            yield
        finally:
            self._set_message_limit(before.strip())

    def _set_message_limit(self, size: str) -> None:
        # The one is read by RabbitMQ 3.10 when a channel is opened; the other by later versions.
        places = (
            "application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0})."
        )
        self.ctl("eval", places.format(size))

    def stop(self) -> None:
        """Let it end in order; the data stay."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End the Erlang machine as a power cut would; the data stay as they are."""
        if self._child is not None:
            self._child.kill()

    def suspend(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `suspend`."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)

    def ensure_running(self) -> None:
        """Repair what an earlier test left behind."""
        self.resume()
        self.start()

    def close(self) -> None:
        """End it together with its port mapper, and remove its directory."""
        # The data are about to be removed: an orderly end would save nothing and take a second.
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
