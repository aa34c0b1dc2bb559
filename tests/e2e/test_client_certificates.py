"""A broker that knows its clients by their certificates, and is known by another name than its address."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backends import open_queue, open_tail
from gateway.config import Config
from gateway.worker import Worker
from support import senders
from support.certificates import ec_key, issue
from support.gateway_process import GatewayProcess, Secrets, Section
from support.inbox import Inbox
from support.ports import free_port
from support.rabbitmq_server import RabbitMQServer
from support.requirements import require
from support.senders import post
from support.waiting import PATIENCE, wait_until, wait_until_async

SERVER_NAME = "broker.test"
CLIENTS = ("first", "second")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an authority, of the broker and of two clients."""
    folder, now = tmp_path_factory.mktemp("certificates"), time.time()
    authority = issue("an authority", is_authority=True, at=now, key=ec_key("an authority"))
    (folder / "ca.pem").write_bytes(authority.pem)
    for name, hosts in (("server", [SERVER_NAME]), ("first", []), ("second", [])):
        issued = issue(name, authority, at=now, hosts=hosts, key=ec_key(name))
        (folder / f"{name}.pem").write_text(issued.pem.decode() + issued.key_pem)
    return folder


class Broker:
    """A broker, and the address at which it takes certificates."""

    def __init__(self, server: RabbitMQServer, port: int) -> None:
        self.server = server
        self.address = f"amqps://127.0.0.1:{port}/"

    def clients(self) -> set[tuple[str, str]]:
        """Return who is connected, and how each has logged in."""
        rows = json.loads(
            self.server.ctl("list_connections", "user", "auth_mechanism", "--formatter", "json")
        )
        return {(row["user"], row["auth_mechanism"]) for row in rows}


@pytest.fixture(scope="module")
def broker(files: Path) -> Iterator[Broker]:
    """One that has no password for either client."""
    require("rabbitmq-server", "rabbitmqctl", "epmd")
    port = free_port()
    configuration = f"""
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {files}/ca.pem
ssl_options.certfile = {files}/server.pem
ssl_options.keyfile = {files}/server.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
"""
    with RabbitMQServer(configuration, plugins=["rabbitmq_auth_mechanism_ssl"]) as server:
        for name in CLIENTS:
            server.ctl("add_user", name, "not-told-to-anybody")
            server.ctl("clear_password", name)
            server.ctl("set_permissions", name, ".*", ".*", ".*")
        yield Broker(server, port)


@pytest.fixture
def settings(broker: Broker, files: Path, tmp_path: Path) -> dict[str, Section]:
    """The section of the broker, with the certificate of the first client in a file that may be replaced."""
    shutil.copy(files / "first.pem", tmp_path / "client.pem")
    tls = {"ca": str(files / "ca.pem"), "cert": str(tmp_path / "client.pem"), "server_name": SERVER_NAME}
    return {"rabbitmq": {"url": broker.address, "tls": tls}}


def test_new_certificates_are_used_from_a_signal_on(
    broker: Broker, files: Path, tmp_path: Path, settings: dict[str, Section], redis_url: str
) -> None:
    """The connection that the old one opened ends; events go on. One that is broken is refused, and changes nothing."""
    secrets = Secrets()
    with GatewayProcess(tmp_path, secrets, redis_url=redis_url, overrides=settings) as gateway:
        inbox = Inbox(broker.server.url)
        wait_until(lambda: ("first", "EXTERNAL") in broker.clients(), message="the first client is there")

        shutil.copy(files / "second.pem", tmp_path / "client.pem")
        gateway.child.signal(signal.SIGHUP)

        gateway.wait_for("certificates changed")
        # Beside it is the console, which connects anew when its connection is lost.
        wait_until(lambda: ("second", "EXTERNAL") in broker.clients(), message="the second client is there")
        assert post(gateway.url, senders.acme(secrets.acme, senders.order())).status_code == 202
        assert len(inbox.take(1)) == 1

        (tmp_path / "client.pem").write_text("no certificate\n")
        gateway.child.signal(signal.SIGHUP)

        gateway.wait_for("configuration rejected")
        assert "holds no certificate in PEM" in gateway.stdout
        assert post(gateway.url, senders.acme(secrets.acme, senders.order())).status_code == 202
        assert len(inbox.take(1)) == 1
        assert ("second", "EXTERNAL") in broker.clients()


async def test_workers_and_commands_log_in_by_certificate_too(
    broker: Broker, tmp_path: Path, settings: dict[str, Section]
) -> None:
    """With the same section."""
    secrets = {"github": {"adapter": "github", "secrets": ["a-secret-of-some-length-4711"]}}
    config = Config.model_validate({"providers": secrets, "data_dir": str(tmp_path), **settings})
    queue = open_queue(config, Worker(queue="agent", events=["github.#"]))
    await queue.check()
    async with open_tail(config, "#"):
        assert ("first", "EXTERNAL") in broker.clients()


async def test_workers_read_the_certificates_for_each_connection(
    broker: Broker, files: Path, tmp_path: Path, settings: dict[str, Section]
) -> None:
    """Without a signal: RabbitMQ looks at a certificate at the beginning of a connection alone."""
    secrets = {"github": {"adapter": "github", "secrets": ["a-secret-of-some-length-4711"]}}
    config = Config.model_validate({"providers": secrets, "data_dir": str(tmp_path), **settings})
    queue = open_queue(config, Worker(queue="agent", events=["github.#"]))
    await queue.start()
    try:
        await wait_until_async(lambda: ("first", "EXTERNAL") in broker.clients(), PATIENCE, "it is connected")
        shutil.copy(files / "second.pem", tmp_path / "client.pem")
        await asyncio.to_thread(broker.server.ctl, "close_all_connections", "as in a restart")
        await wait_until_async(
            lambda: ("second", "EXTERNAL") in broker.clients(), PATIENCE, "it is connected anew"
        )
    finally:
        await queue.stop()


def test_a_user_that_the_broker_does_not_know_is_told(
    broker: Broker, files: Path, tmp_path: Path, settings: dict[str, Section], redis_url: str
) -> None:
    """With what to do about it."""
    shutil.copy(files / "server.pem", tmp_path / "client.pem")
    gateway = GatewayProcess(tmp_path, Secrets(), redis_url=redis_url, overrides=settings)
    done = gateway.run("check", "--connect")

    assert done.returncode == 1
    assert "the broker knows no user of the name in the certificate" in done.stderr


def test_a_certificate_of_another_name_is_refused(
    broker: Broker, tmp_path: Path, settings: dict[str, Section], redis_url: str
) -> None:
    """The name of the setting is looked for, not the host of the address."""
    settings["rabbitmq"]["tls"]["server_name"] = "other.test"
    gateway = GatewayProcess(tmp_path, Secrets(), redis_url=redis_url, overrides=settings)
    done = gateway.run("check", "--connect")

    assert done.returncode == 1
    assert "the certificate of 127.0.0.1:" in done.stderr
    assert "other.test" in done.stderr
