"""TLS to endpoints: what is wrong with a certificate has its own word, and nothing is sent then."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.outbound.client import Result
from gateway.outbound.connector import Limits, open_trust
from gateway.outbound.outcomes import Outcome
from support import receivers
from support.outbound import Authority, Names, loopback_rules, request_to, sending
from support.receivers import Receiver

HOST = "hooks.acme.dev"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that the client trusts."""
    return Authority(tmp_path, time.time())


async def _send(port: int, authority: Authority, host: str = HOST, limits: Limits | None = None) -> Result:
    names = Names(**{HOST: [["127.0.0.1"]], "other.acme.dev": [["127.0.0.1"]]})
    rules = loopback_rules(port)
    async with sending(rules, names, authority.trust(), limits=limits) as client:
        return await client.send(request_to(f"https://{host}:{port}/hook"))


async def test_a_certified_receiver_gets_the_request(authority: Authority) -> None:
    """By its name, which is told to it in TLS and in `Host`; all phases are measured."""
    asked: list[str | None] = []
    context = authority.server()
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with Receiver(tls=context) as receiver:
        result = await _send(receiver.port, authority)

    assert result.outcome == Outcome.DELIVERED
    assert list(result.phases) == ["dns", "connect", "tls", "head"]
    assert asked == [HOST]
    assert receiver.requests[0].headers["host"] == f"{HOST}:{receiver.port}"


async def test_an_expired_certificate(authority: Authority) -> None:
    """Told apart, since its owner has to renew it."""
    with Receiver(tls=authority.server(days_ago=20)) as receiver:
        result = await _send(receiver.port, authority)

    assert result.outcome == Outcome.TLS_EXPIRED
    assert not receiver.requests


async def test_a_certificate_of_another_name(authority: Authority) -> None:
    """The name of the URL counts, not that of the address."""
    with Receiver(tls=authority.server(HOST)) as receiver:
        result = await _send(receiver.port, authority, "other.acme.dev")

    assert result.outcome == Outcome.TLS_NAME
    assert not receiver.requests


async def test_a_certificate_without_the_address(authority: Authority) -> None:
    """A URL with an address needs a certificate with it."""
    with Receiver(tls=authority.server(HOST)) as receiver:
        result = await _send(receiver.port, authority, "127.0.0.1")

    assert result.outcome == Outcome.TLS_NAME


async def test_a_self_signed_certificate(authority: Authority) -> None:
    """Nobody vouches for it."""
    with Receiver(tls=authority.server(own=True)) as receiver:
        result = await _send(receiver.port, authority)

    assert result.outcome == Outcome.TLS_UNTRUSTED
    assert not receiver.requests


async def test_the_usual_authorities_do_not_know_a_private_one(authority: Authority) -> None:
    """Nor does a variable of the environment add one."""
    with Receiver(tls=authority.server()) as receiver:
        rules, names = loopback_rules(receiver.port), Names(**{HOST: [["127.0.0.1"]]})
        async with sending(rules, names, open_trust()) as client:
            result = await client.send(request_to(f"https://{HOST}:{receiver.port}/"))

    assert result.outcome == Outcome.TLS_UNTRUSTED


async def test_the_environment_adds_no_authority(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` is for other programs."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    before = open_trust().cert_store_stats()
    monkeypatch.delenv("SSL_CERT_FILE")

    assert open_trust().cert_store_stats() == before
    assert authority.trust().cert_store_stats()["x509_ca"] == before["x509_ca"] + 1


async def test_an_old_version(authority: Authority) -> None:
    """TLS 1.1 is refused."""
    context = authority.server()
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with _alerting(context) as port:
        result = await _send(port, authority)

    assert result.outcome == Outcome.TLS
    assert "version" in result.detail


@contextmanager
def _alerting(context: ssl.SSLContext) -> Iterator[int]:
    """A server that says why it refuses a handshake; those of asyncio end the connection without a word."""

    def refuse() -> None:
        with suppress(OSError):
            context.wrap_socket(listener.accept()[0], server_side=True)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join()


async def test_a_receiver_that_does_not_speak_tls(authority: Authority) -> None:
    """It answers a handshake as if that were a request."""
    with Receiver(receivers.say_at_once) as receiver:
        result = await _send(receiver.port, authority)

    assert result.outcome == Outcome.TLS


async def test_a_handshake_that_is_reset(authority: Authority) -> None:
    """In its middle."""
    with Receiver(receivers.reset_on_first_bytes) as receiver:
        result = await _send(receiver.port, authority)

    assert result.outcome == Outcome.RESET


async def test_a_handshake_that_hangs(authority: Authority) -> None:
    """It has a limit of its own."""
    with Receiver(receivers.hang_at_once) as receiver:
        result = await _send(receiver.port, authority, limits=Limits(tls=0.2))

    assert result.outcome == Outcome.TIMEOUT_TLS


async def test_a_file_that_is_no_authority(tmp_path: Path) -> None:
    """An operator's mistake is told at the start."""
    (tmp_path / "none.pem").write_text("nothing")

    with pytest.raises(OSError, match=r".*"):
        open_trust(str(tmp_path / "none.pem"))
