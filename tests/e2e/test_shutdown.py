"""The end of the program: soon, in order, and whatever its senders do."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox, ids
from support.rabbitmq_server import RabbitMQServer
from support.senders import post
from support.waiting import PATIENCE, wait_until

BRIEF = {"server": {"deadline": "2s"}}
PATIENT: dict[str, dict[str, Any]] = {"server": {"deadline": "10m"}, "dedupe": {"lease": "20m"}}
"""Where something is not to be waited for: whoever waits for it is seen to."""


def test_it_ends_at_once_though_connections_are_idle(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """Those on which nothing was asked yet, and those that wait for the next request."""
    with GatewayProcess(tmp_path, fresh_secrets, overrides=PATIENT) as gateway:
        unused, used = (socket.create_connection(gateway.address, timeout=PATIENCE) for _ in range(2))
        with unused, used:
            delivery = senders.stripe(fresh_secrets.stripe, senders.stripe_event())
            used.sendall(delivery.on_the_wire())
            assert used.recv(65_536).startswith(b"HTTP/1.1 202 ")

            assert gateway.stop() == 0
            assert used.recv(65_536) == b""


def test_a_body_that_never_comes_does_not_hold_it_up(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """By the deadline its sender is told so, and the program ends."""
    with GatewayProcess(tmp_path, fresh_secrets, overrides=BRIEF) as gateway:
        with socket.create_connection(gateway.address, timeout=PATIENCE) as connection:
            request = senders.stripe(fresh_secrets.stripe, senders.stripe_event()).on_the_wire()
            connection.sendall(request[:-1])
            gateway.get("/livez")  # by then what was sent before has been read

            assert gateway.stop() == 0
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
        assert [line["outcome"] for line in gateway.request_lines()] == ["request_timeout"]


@pytest.mark.parametrize("processes", [1, 3])
def test_new_connections_are_refused_while_requests_are_finished(
    tmp_path: Path, fresh_secrets: Secrets, processes: int
) -> None:
    """And not taken by a process that serves none, to be reset with what was sent on them."""

    def refuses() -> bool:
        try:
            socket.create_connection(gateway.address, timeout=1).close()
        except ConnectionRefusedError:  # and not a time that ran out: then one was taken that nobody serves
            return True
        return False

    overrides = {**PATIENT, "server": {**PATIENT["server"], "processes": processes}}
    with GatewayProcess(tmp_path, fresh_secrets, overrides=overrides) as gateway:
        with socket.create_connection(gateway.address, timeout=PATIENCE) as connection:
            request = senders.stripe(fresh_secrets.stripe, senders.stripe_event()).on_the_wire()
            head, _, body = request.partition(b"\r\n\r\n")
            connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")

            gateway.child.signal(signal.SIGTERM)
            wait_until(refuses, message="new connections are refused")
            assert gateway.child.is_running
            connection.sendall(body)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 202 ")
        assert gateway.wait_for_end() == 0


def test_an_event_that_is_being_published_is_finished(
    tmp_path: Path,
    fresh_secrets: Secrets,
    redis_url: str,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
) -> None:
    """Its sender is told that it is accepted, and it is."""
    delivery = senders.stripe(fresh_secrets.stripe, senders.stripe_event())
    statuses: list[int] = []
    with GatewayProcess(
        tmp_path,
        fresh_secrets,
        redis_url=redis_url,
        rabbitmq_url=rabbitmq_url,
        overrides={
            "server": {"deadline": "60s"},
            "dedupe": {"lease": "2m"},
            "rabbitmq": {"confirm_timeout": "50s"},
        },
    ) as gateway:
        inbox = Inbox(rabbitmq_url)
        rabbitmq_server.suspend()
        sender = threading.Thread(target=lambda: statuses.append(post(gateway.url, delivery).status_code))
        sender.start()
        unconfirmed = "webhook_publishes_unconfirmed 1.0"
        wait_until(
            lambda: unconfirmed in gateway.get("/metrics", admin=True).text, message="it is on its way"
        )
        gateway.child.signal(signal.SIGTERM)
        gateway.wait_for_refusal()
        assert gateway.child.is_running
        rabbitmq_server.resume()

        assert gateway.wait_for_end() == 0
        sender.join(PATIENCE)
        assert statuses == [202]
        assert ids(inbox.take(1)) == {delivery.event_id: 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, fresh_secrets: Secrets, number: signal.Signals
) -> None:
    """Whatever it is waiting for."""
    with GatewayProcess(tmp_path, fresh_secrets, overrides=PATIENT) as gateway:
        with socket.create_connection(gateway.address, timeout=PATIENCE) as connection:
            delivery = senders.stripe(fresh_secrets.stripe, senders.stripe_event())
            connection.sendall(delivery.on_the_wire()[:-1])
            gateway.get("/livez")
            gateway.child.signal(signal.SIGTERM)
            gateway.wait_for_refusal()
            assert gateway.child.is_running
            gateway.child.signal(number)

            assert gateway.wait_for_end() == 128 + number
        assert gateway.request_lines() == []


def test_a_load_balancer_has_time_to_notice(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """/readyz says no while webhooks are still accepted; then the listener closes."""
    with GatewayProcess(tmp_path, fresh_secrets, overrides={"server": {"shutdown_delay": "8s"}}) as gateway:
        gateway.child.signal(signal.SIGTERM)
        wait_until(lambda: gateway.get("/readyz").status_code == 503, message="it is not ready any more")

        wait_until(
            lambda: gateway.get("/readyz", admin=True).json()["checks"].get("process") == "is ending",
            message="the console says so",
        )
        assert gateway.get("/livez").status_code == 200
        delivery = senders.stripe(fresh_secrets.stripe, senders.stripe_event())
        assert post(gateway.url, delivery).json()["status"] == "accepted"
        gateway.wait_for_refusal()
        assert gateway.wait_for_end() == 0
