"""Handshakes with the installed program: over a raw socket, and by the simulator."""

from __future__ import annotations

import hashlib
import hmac
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway_process import GatewayProcess, Secrets, Section
from support.waiting import PATIENCE

SECRET = "f4c2a9d8e1b7f4c2a9d8e1b7f4c2a9d8"
TOKEN = "what it was told to show"
OVERRIDES: dict[str, Section] = {
    "providers": {
        "greeter": {
            "adapter": "hmac",
            "secrets": [SECRET],
            "handshake_token": TOKEN,
            "signature": {"header": "X-Signature"},
            "handshakes": [
                {
                    "method": "GET",
                    "when": {"query:hub.mode": "subscribe"},
                    "token": "query:hub.verify_token",
                    "challenge": "query:hub.challenge",
                    "refuse": 403,
                    "respond": {"body": "{challenge}"},
                },
                {"method": "HEAD", "respond": {"body": "here"}},
                {
                    "method": "OPTIONS",
                    "when": {"header:WebHook-Request-Origin": "*"},
                    "challenge": "header:WebHook-Request-Origin",
                    "respond": {"headers": {"WebHook-Allowed-Origin": "{challenge}", "Allow": "POST"}},
                },
                {
                    "method": "POST",
                    "when": {"body:/event": "validation"},
                    "is_signed": True,
                    "challenge": "body:/token",
                    "sign": {},
                    "respond": {"json": {"token": "{challenge}", "signature": "{signature}"}},
                },
            ],
        },
        "teller": {
            "adapter": "hmac",
            "secrets": [],
            "enrol": True,
            "signature": {"header": "X-Signature"},
            "handshakes": [
                {
                    "method": "POST",
                    "when": {"header:X-Hook-Secret": "*"},
                    "challenge": "header:X-Hook-Secret",
                    "enrol": "header:X-Hook-Secret",
                    "respond": {"headers": {"X-Hook-Secret": "{challenge}"}},
                }
            ],
        },
    }
}


@pytest.fixture(scope="module")
def gateway(module_folder: Path, module_secrets: Secrets) -> Iterator[GatewayProcess]:
    """A gateway with two senders that greet."""
    with GatewayProcess(module_folder, module_secrets, overrides=OVERRIDES) as process:
        yield process


def exchange(gateway: GatewayProcess, line: str, *fields: str, body: bytes = b"") -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to one request."""
    head = "\r\n".join([line, "Host: gateway.test", "Connection: close", *fields, "", ""])
    with socket.create_connection(gateway.address, timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    answered, _, rest = answer.partition(b"\r\n\r\n")
    return int(answered.split(b" ")[1]), answered.lower(), rest


def test_greetings_by_all_methods(gateway: GatewayProcess) -> None:
    """GET, HEAD, OPTIONS and a signed POST, as bytes on the wire."""
    path = "/webhooks/greeter"
    body = b'{"event":"validation","token":"abc-1"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    query = f"?hub.mode=subscribe&hub.verify_token={TOKEN.replace(' ', '+')}&hub.challenge=1158"

    got = exchange(gateway, f"GET {path}{query} HTTP/1.1")
    wrong = exchange(gateway, f"GET {path}{query.replace('what', 'that')} HTTP/1.1")
    touched = exchange(gateway, f"HEAD {path} HTTP/1.1")
    allowed = exchange(gateway, f"OPTIONS {path} HTTP/1.1", "WebHook-Request-Origin: a.example")
    signed = exchange(
        gateway,
        f"POST {path} HTTP/1.1",
        f"X-Signature: {signature}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        body=body,
    )
    deleted = exchange(gateway, f"DELETE {path} HTTP/1.1")

    assert (got[0], got[2]) == (200, b"1158")
    assert b"x-content-type-options: nosniff" in got[1]
    assert wrong[0] == 403
    assert (touched[0], touched[2]) == (200, b"")
    assert b"content-length: 4" in touched[1]
    assert allowed[0] == 200
    assert b"webhook-allowed-origin: a.example" in allowed[1]
    token = hmac.new(SECRET.encode(), b"abc-1", hashlib.sha256).hexdigest()
    assert (signed[0], signed[2]) == (200, b'{"token":"abc-1","signature":"%b"}' % token.encode())
    assert deleted[0] == 405
    assert b"allow: post, get, head, options" in deleted[1]


def test_the_simulator_greets(gateway: GatewayProcess) -> None:
    """By each of the sender's handshakes, showing the answers."""
    done = gateway.run("send", "greeter", "--handshake")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n200 ") == 4
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        assert f"{method} {gateway.url}/webhooks/greeter" in done.stdout
    assert SECRET not in done.stdout


def test_a_secret_is_told_once(gateway: GatewayProcess) -> None:
    """It is on disk, for its owner alone; a second sender is refused, and nothing of it is logged."""
    assert gateway.run("send", "teller").stderr.startswith("teller has no secret yet")

    first, second = (gateway.run("send", "teller", "--handshake") for _ in range(2))

    file = gateway.directory / "var" / "enrolled" / "teller"
    told = file.read_text()
    assert (first.returncode, second.returncode) == (0, 1)
    assert f"X-Hook-Secret: {told}" in first.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert told not in gateway.stdout + gateway.stderr
    assert "secret enrolled" in gateway.stdout


def test_check_warns_of_an_open_window(gateway: GatewayProcess) -> None:
    """As long as it is open."""
    assert "warning: providers.teller.enrol: is true" in gateway.run("check").stdout


def test_a_sender_that_does_not_greet_cannot_be_made_to(gateway: GatewayProcess) -> None:
    """Stripe has no handshake; and a greeting is no event to be spoiled."""
    assert (
        gateway.run("send", "stripe", "--handshake").stderr
        == "stripe has no endpoint verification handshake\n"
    )
    assert gateway.run("send", "greeter", "--handshake", "--tamper", "body").returncode == 2
