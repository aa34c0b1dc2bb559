"""Servers behind a private authority, which know their clients: one setting, read alike by all that connect to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.backends import open_dead_letters, open_idempotency, open_queue, open_tail
from gateway.claims import ClaimsUnavailable, Standing, claim_key
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.config import load_config
from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.queues.dead_letters.rabbitmq import open_rabbitmq_queue
from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import TlsFiles
from gateway.worker import Worker
from gateway.worker.rabbitmq import RabbitQueue
from support.certificates import Issued, ec_key, issue
from support.ports import free_port
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.requirements import require
from support.waiting import wait_until_async

PATIENCE = 30.0
PASSWORD = "correct-horse"
WORKER = Worker("agent", ["stripe.#"], attempts=2, retry_from=0.2, retry_most=0.2)
GITHUB = 'providers: {github: {adapter: github, secrets: ["a-secret-of-some-length-4711"]}}\n'


@dataclass(frozen=True)
class Files:
    """What servers and clients show, and whom they believe."""

    folder: Path

    def __getattr__(self, name: str) -> str:
        return str(self.folder / name.replace("_", "."))


def write(folder: Path, name: str, issued: Issued) -> None:
    """A certificate with its key, in one file each."""
    (folder / f"{name}.pem").write_bytes(issued.pem)
    (folder / f"{name}.key").write_text(issued.key_pem)
    (folder / f"{name}.both").write_text(issued.pem.decode() + issued.key_pem)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Of one authority, and of another that nobody knows."""
    folder, now = tmp_path_factory.mktemp("tls"), time.time()
    authority = issue("an authority", is_authority=True, at=now, key=ec_key("an authority"))
    other = issue("another authority", is_authority=True, at=now, key=ec_key("another authority"))
    write(folder, "ca", authority)
    write(folder, "other", other)
    write(folder, "server", issue("a server", authority, at=now, hosts=["localhost"], key=ec_key("a server")))
    write(folder, "client", issue("a client", authority, at=now, key=ec_key("a client")))
    write(folder, "stranger", issue("a stranger", other, at=now, key=ec_key("a stranger")))
    (folder / "text.pem").write_text("no certificate\n")
    return Files(folder)


@dataclass(frozen=True)
class Servers:
    """Both, which ask for a certificate of their clients."""

    rabbitmq: str
    redis: str


@pytest.fixture(scope="module")
def servers(files: Files) -> Iterator[Servers]:
    """Addresses without what makes them work; by their name, for which their certificate is."""
    require("redis-server", "rabbitmq-server", "rabbitmqctl", "epmd")
    broker_port, store_port = free_port(), free_port()
    configuration = f"""
listeners.ssl.1 = 127.0.0.1:{broker_port}
ssl_options.cacertfile = {files.ca_pem}
ssl_options.certfile = {files.server_pem}
ssl_options.keyfile = {files.server_key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
    options = (
        *("--tls-port", str(store_port), "--tls-ca-cert-file", files.ca_pem),
        *("--tls-cert-file", files.server_pem, "--tls-key-file", files.server_key),
        *("--tls-auth-clients", "yes"),
    )
    with RabbitMQServer(configuration), RedisServer(*options):
        yield Servers(f"amqps://guest:guest@localhost:{broker_port}/", f"rediss://localhost:{store_port}/0")


def configured(folder: Path, servers: Servers, tls: str, query: tuple[str, str] = ("", "")) -> Any:
    """The configuration of both."""
    path = folder / "config.yaml"
    path.write_text(
        f"redis: {{url: '{servers.redis}{query[1]}', timeout: 5s{tls}}}\n"
        f"rabbitmq: {{url: '{servers.rabbitmq}{query[0]}'{tls}}}\n{GITHUB}"
    )
    return load_config(path)


def event() -> Message:
    """An event that no queue is bound for."""
    return Message("webhooks", "github.push", "id-1", "com.github.push", {}, b"{}")


def ways(files: Files) -> dict[str, tuple[str, tuple[str, str]]]:
    """The ways to say it: what is in the section, and the parameters of the addresses."""
    amqp = f"certfile={files.client_pem}&keyfile={files.client_key}"
    redis = f"?ssl_ca_certs={files.ca_pem}&ssl_certfile={files.client_pem}&ssl_keyfile={files.client_key}"
    section = f", tls: {{ca: '{files.ca_pem}', cert: '{files.client_pem}', key: '{files.client_key}'}}"
    return {
        "in the section": (section, ("", "")),
        "in one file": (f", tls: {{ca: '{files.ca_pem}', cert: '{files.client_both}'}}", ("", "")),
        "as RabbitMQ has it": (
            "",
            (f"?cacertfile={files.ca_pem}&{amqp}&verify=verify_peer", f"{redis}&ssl_cert_reqs=required"),
        ),
        "as aio-pika has it": ("", (f"?cafile={files.ca_pem}&{amqp}", redis)),
    }


@pytest.mark.parametrize("way", ["in the section", "in one file", "as RabbitMQ has it", "as aio-pika has it"])
async def test_gateway_worker_and_commands_read_it_alike(
    tmp_path: Path, servers: Servers, files: Files, way: str
) -> None:
    """Each connects, with the certificate that is asked for."""
    config = configured(tmp_path, servers, *ways(files)[way])
    publisher = RabbitPublisher(config.rabbitmq.nodes, "webhooks", 20.0)
    claims = RedisClaims(OneServer(config.redis.with_tls(config.redis.url)), timeout=5.0)
    guard = open_idempotency(config, WORKER)
    assert guard
    await publisher.start()
    await claims.start()
    await guard.start()
    try:
        await wait_until_async(
            lambda: not (publisher.unavailable_reason or claims.unavailable_reason),
            PATIENCE,
            "both are there",
        )
        await publisher.publish(event())
        key = claim_key("github", f"{way}-{time.time()}")
        assert await claims.claim(key, "a") is Standing.CLAIMED
        await open_queue(config, WORKER).check()
        async with open_tail(config, "#"), open_dead_letters(config, "webhooks.unrouted") as holding:
            assert holding.size > 0
        assert await guard.claim_key(key, "b") is Standing.IN_FLIGHT
    finally:
        await guard.stop()
        await claims.stop()
        await publisher.stop()


async def causes_of(servers: Servers, amqp: str, redis: str) -> list[str]:
    """What the gateway, a worker, a command and the claim store say that cannot connect."""
    url = servers.rabbitmq + amqp
    publisher = RabbitPublisher(BrokerNodes(url), "webhooks", 20.0)
    claims = RedisClaims(OneServer(servers.redis + redis), timeout=5.0)
    await publisher.start()
    await claims.start()
    try:
        await wait_until_async(
            lambda: "not connected yet" not in (publisher.unavailable_reason, claims.unavailable_reason),
            PATIENCE,
            "both are told",
        )
        with pytest.raises(ClaimsUnavailable):
            await claims.claim(claim_key("github", "1"), "a")
        causes = [publisher.unavailable_reason, claims.unavailable_reason]
    finally:
        await claims.stop()
        await publisher.stop()
    for connect in (open_amqp(BrokerNodes(url)), RabbitQueue(BrokerNodes(url), "webhooks", WORKER).check()):
        with pytest.raises(OSError, match=r"\w") as caught:
            await connect
        causes.append(str(caught.value))
    return causes


async def test_another_authority_is_told_in_one_line(servers: Servers, files: Files) -> None:
    """With the cause and the file."""
    causes = await causes_of(servers, f"?cafile={files.other_pem}", f"?ssl_ca_certs={files.other_pem}")

    for cause in causes:
        assert cause.startswith("the certificate of localhost:")
        assert files.other_pem in cause
        assert "\n" not in cause


async def test_without_an_authority_that_of_the_system_is_believed(servers: Servers) -> None:
    """Which has not signed this."""
    for cause in await causes_of(servers, "", ""):
        assert "the authorities of the system" in cause


async def test_the_name_of_the_server_is_verified(servers: Servers, files: Files) -> None:
    """A certificate of the same authority for another host is not enough."""
    elsewhere = Servers(*(url.replace("localhost", "127.0.0.1") for url in (servers.rabbitmq, servers.redis)))
    for cause in await causes_of(elsewhere, f"?cafile={files.ca_pem}", f"?ssl_ca_certs={files.ca_pem}"):
        assert "127.0.0.1" in cause
        assert "not valid" in cause


async def test_a_server_that_wants_a_certificate_is_told(servers: Servers, files: Files) -> None:
    """Which setting is missing; and that one of another authority is refused."""
    without = await causes_of(servers, f"?cafile={files.ca_pem}", f"?ssl_ca_certs={files.ca_pem}")
    other = f"{files.stranger_pem}", f"{files.stranger_key}"
    wrong = await causes_of(
        servers,
        f"?cafile={files.ca_pem}&certfile={other[0]}&keyfile={other[1]}",
        f"?ssl_ca_certs={files.ca_pem}&ssl_certfile={other[0]}&ssl_keyfile={other[1]}",
    )

    assert all("require" in cause and "client certificate" in cause for cause in without), without
    assert all("refuse" in cause and files.stranger_pem in cause for cause in wrong), wrong


async def test_a_server_that_speaks_no_tls_is_told(rabbitmq_url: str, redis_url: str, files: Files) -> None:
    """The usual mistake is the port."""
    plain = Servers(
        rabbitmq_url.replace("amqp://", "amqps://").replace("127.0.0.1", "localhost"),
        redis_url.replace("redis://", "rediss://").replace("127.0.0.1", "localhost"),
    )
    for cause in await causes_of(plain, f"?cafile={files.ca_pem}", f"?ssl_ca_certs={files.ca_pem}"):
        assert "TLS" in cause or "closed" in cause, cause
        assert "\n" not in cause


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("/no/ca.pem", "", ""), ("ca", "/no/ca.pem cannot be read: No such file or directory")),
        (("text_pem", "", ""), ("ca", "holds no certificate in PEM")),
        (("", "text_pem", ""), ("cert", "holds no certificate in PEM")),
        (("", "client_pem", "/no/key.pem"), ("key", "/no/key.pem cannot be read")),
        (("", "client_pem", ""), ("cert", "holds no private key in PEM")),
        (("", "client_pem", "stranger_key"), ("cert", "does not belong to it")),
        (("", "", "client_key"), ("key", "is a key without its certificate")),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_used_is_told_with_its_setting(
    files: Files, given: tuple[str, str, str], told: tuple[str, str]
) -> None:
    """At the start, and by `gateway check`."""
    paths = (each if each.startswith("/") or not each else getattr(files, each) for each in given)
    ((field, problem),) = TlsFiles(*paths).problems()

    assert field == told[0]
    assert told[1] in problem


async def test_a_server_that_speaks_tls_alone_is_told(servers: Servers) -> None:
    """The usual mistake is the scheme."""
    plain = Servers(
        servers.rabbitmq.replace("amqps://", "amqp://"), servers.redis.replace("rediss://", "redis://")
    )
    scheme = ("amqps", "rediss", "amqps", "amqps")
    for cause, wanted in zip(await causes_of(plain, "", ""), scheme, strict=True):
        assert f"write {wanted}://" in cause or "AMQP" in cause, cause
        assert "Errno" not in cause


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", "nothing listens at"), ("no-such-host.invalid", "cannot be looked up")]
)
async def test_a_server_that_is_not_there_is_told_with_what_to_look_at(host: str, told: str) -> None:
    """In the same words by all that connect, and with the place."""
    place = f"{host}:{free_port()}"
    there = Servers(f"amqp://user:{PASSWORD}@{place}/", f"redis://:{PASSWORD}@{place}/0")
    for cause in await causes_of(there, "", ""):
        assert told in cause
        assert place in cause
        assert PASSWORD not in cause


@pytest.mark.parametrize("host", ["a..b", f"{64 * 'a'}.example"])
def test_a_host_that_is_no_name_is_found_with_the_configuration(host: str) -> None:
    """And not at each attempt to connect, with a traceback."""
    for parse, url in (
        (BrokerUrl.parse, f"amqp://user:{PASSWORD}@{host}:5672/"),
        (RedisUrl.parse, f"rediss://{host}"),
    ):
        with pytest.raises(ValueError, match="has a host that is no name") as caught:
            parse(url)
        assert host not in str(caught.value)


async def test_what_the_broker_refuses_is_told_with_what_to_do(rabbitmq_url: str, redis_url: str) -> None:
    """A wrong password, and a virtual host that is not there, which aio-pika does not tell of."""
    wrong = rabbitmq_url.replace("guest:guest", f"guest:{PASSWORD}")
    nowhere = f"{rabbitmq_url.rpartition('/')[0]}/no-such-host"
    for url, told in ((wrong, "user or password is wrong"), (nowhere, "virtual host")):
        causes = await causes_of(Servers(url, f"{redis_url.rpartition('/')[0]}/99"), "", "")
        assert "the server has no database of that number" in causes.pop(1)
        for cause in causes:
            assert told in cause
            assert "object at" not in cause
            assert PASSWORD not in cause


async def test_the_password_of_an_address_is_in_no_cause(files: Files) -> None:
    """Whatever keeps the connection from opening: nobody there, or something else."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for scheme, host in (
        ("", f"127.0.0.1:{free_port()}"),
        ("s", f"127.0.0.1:{port}"),
        ("", f"127.0.0.1:{port}"),
    ):
        there = Servers(f"amqp{scheme}://user:{PASSWORD}@{host}/", f"redis{scheme}://:{PASSWORD}@{host}/0")
        for cause in await causes_of(there, "", ""):
            assert PASSWORD not in cause
            assert "\n" not in cause
    with pytest.raises(OperatorError) as caught:
        async with open_rabbitmq_queue(
            BrokerNodes(f"amqp://user:{PASSWORD}@127.0.0.1:{free_port()}/"), "q", None
        ):
            pass
    server.close()
    await server.wait_closed()

    assert PASSWORD not in str(caught.value)
