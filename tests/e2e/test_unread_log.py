"""Nobody reads standard output: events are accepted all the same, and lost lines counted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from support import senders
from support.gateway_process import PROGRAM, GatewayProcess, Secrets, environment
from support.process import descendants, receivers
from support.senders import post
from support.waiting import PATIENCE, wait_until

AT_ONCE = 100
MOST = 100_000
_UNSIGNED = b"POST /webhooks/stripe HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 2\r\n\r\n{}"


class Unread:
    """A gateway whose output nobody reads until :meth:`read` is called."""

    def __init__(self, folder: Path, secrets: Secrets, processes: int) -> None:
        self.gateway = GatewayProcess(folder, secrets, overrides={"server": {"processes": processes}})
        self.process = subprocess.Popen(
            [str(PROGRAM), "serve", "--config", str(self.gateway.config)],
            cwd=folder,
            env=environment(self.gateway.variables),
            stdout=subprocess.PIPE,
        )
        self.lines: list[dict[str, Any]] = []
        self.sent = 0
        self._reader: threading.Thread | None = None
        try:
            wait_until(
                lambda: self.gateway.get("/readyz").is_success,
                timeout=30,
                message="it is ready",
                forgive=(httpx.TransportError,),
            )
        except TimeoutError:
            self.process.kill()
            self.process.communicate()
            raise

    @property
    def output(self) -> IO[bytes]:
        """Our end of its standard output."""
        assert self.process.stdout
        return self.process.stdout

    def refuse(self, count: int) -> None:
        """Have the gateway refuse ``count`` requests, and wait for the answers."""
        host, port = self.gateway.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            for _ in range(count // AT_ONCE):
                connection.sendall(_UNSIGNED * AT_ONCE)
                answers = b""
                while answers.count(b"invalid_signature") < AT_ONCE:
                    part = connection.recv(65_536)
                    assert part, "the connection was closed"
                    answers += part
        self.sent += count

    def accept(self) -> None:
        """Have it accept one event."""
        delivery = senders.acme(self.gateway.secrets.acme, senders.order())
        assert post(self.gateway.url, delivery).status_code == 202
        self.sent += 1

    def dropped(self) -> int:
        """How many lines were lost by its own count."""
        text = self.gateway.get("/metrics", admin=True).text
        (line,) = (line for line in text.splitlines() if line.startswith("webhook_log_lines_dropped_total "))
        return int(float(line.split()[1]))

    def read(self) -> None:
        """Begin to read."""
        self._reader = threading.Thread(
            target=lambda: self.lines.extend(json.loads(line) for line in self.output)
        )
        self._reader.start()

    def close(self) -> None:
        """Kill it with its child processes if it still runs."""
        for pid in descendants(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE)
        if self._reader:
            self._reader.join()
        self.output.close()


@pytest.fixture
def start(tmp_path: Path, fresh_secrets: Secrets) -> Iterator[Callable[[int], Unread]]:
    """Return a function that starts a gateway with a number of processes."""
    started: list[Unread] = []

    def begin(processes: int) -> Unread:
        started.append(Unread(tmp_path, fresh_secrets, processes))
        return started[-1]

    yield begin
    for unread in started:
        unread.close()


def test_requests_are_answered_while_nobody_reads_the_log(start: Callable[[int], Unread]) -> None:
    """Far beyond what is kept of it; once it is read, it tells how many lines are missing, and no other is."""
    unread = start(1)
    while not unread.dropped():
        unread.refuse(2000)
        assert unread.sent < MOST
    unread.accept()
    lost = unread.dropped()
    unread.read()

    def told() -> int:
        return sum(line["lines"] for line in unread.lines if line["event"] == "log lines lost")

    wait_until(lambda: told() >= lost, message="it told how many were lost")
    unread.accept()
    # The console, which answers for the metrics, sees numbers that are up to a second old.
    wait_until(lambda: told() == unread.dropped(), message="the metric has the same number")
    lost = unread.dropped()
    unread.process.send_signal(signal.SIGTERM)
    assert unread.process.wait(PATIENCE) == 0
    wait_until(lambda: unread.lines[-1]["event"] == "stopped", message="the last line came")
    requests = [line for line in unread.lines if line["event"] == "request"]
    assert told() == lost
    assert len(requests) + lost == unread.sent
    assert [line["outcome"] for line in requests].count("accepted") in {1, 2}  # one fell into the gap, or not


def test_it_ends_though_nobody_reads_the_log(start: Callable[[int], Unread]) -> None:
    """And a process that dies meanwhile is replaced."""
    unread = start(2)
    for _ in range(4):
        unread.refuse(2000)
    first = receivers(unread.process.pid)
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: len({*receivers(unread.process.pid)} - {*first}) == 1, message="it was replaced")
    for _ in range(4):
        unread.refuse(2000)
        unread.accept()
    unread.process.send_signal(signal.SIGTERM)

    assert unread.process.wait(PATIENCE) == 0
