"""The address that a signature covers comes from the operator or from one form of a proxy's word, never from the caller."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import registry
from gateway.devtools.provider_reference import config_block
from gateway.devtools.samples import sample_names
from gateway.testing import MemoryGateway
from support.served import Reply, Serve, Served
from support.spies import SECRET

SIGNED = {"header": "X-Signature", "signed": "{url}\n{query}\n{body}"}
HOOK = "https://hooks.example.com/webhooks/github"
PROXIED = (b"X-Forwarded-Proto: https", b"X-Forwarded-Host: hooks.example.com")


async def gateway(serve: Serve, *, server: dict[str, Any] | None = None, **provider: Any) -> Served:
    """A gateway with a sender that signs the address, and its query once more."""
    return await serve(server=server or {}, provider={"adapter": "hmac", "signature": SIGNED, **provider})


async def ask(served: Served, signed: str, *fields: bytes, target: str = "/webhooks/github") -> Reply:
    """The answer to a delivery that was signed for an address, and arrives at ``target``."""
    body = b'{"id":"1"}'
    text = f"{signed}\n{signed.partition('?')[2]}\n".encode() + body
    head = [
        f"POST {target} HTTP/1.1".encode(),
        b"Host: hooks.example.com",
        b"Content-Type: application/json",
        b"X-Signature: " + hmac.new(SECRET.encode(), text, "sha256").hexdigest().encode(),
        b"Content-Length: %d" % len(body),
        *fields,
    ]
    return await (await served.call()).ask(b"\r\n".join([*head, b"", body]))


@pytest.mark.parametrize("server", [{}, {"trusted_proxies": ["192.0.2.0/24"]}], ids=["no proxy", "another"])
@pytest.mark.parametrize(
    "fields", [(), PROXIED, (b"Forwarded: proto=https;host=hooks.example.com",)], ids=len
)
async def test_who_calls_does_not_say_which_address_it_called(
    serve: Serve, server: dict[str, Any], fields: tuple[bytes, ...]
) -> None:
    """Neither in Host nor in what proxies write."""
    served = await gateway(serve, server=server)
    for address in (HOOK, HOOK.replace("https", "http")):
        assert (await ask(served, address, *fields)).word == (401, "invalid_signature")

    assert {line["cause"] for line in served.logs if line["event"] == "request"} == {"address_unknown"}
    assert served.published == []


@pytest.mark.parametrize(
    ("form", "fields", "status"),
    [
        ("x-forwarded", PROXIED, 202),
        ("x-forwarded", (*PROXIED, b"Forwarded: proto=https;host=staging.example.com"), 202),
        ("x-forwarded", (b"Forwarded: proto=https;host=hooks.example.com",), 401),
        ("x-forwarded", PROXIED[:1], 401),
        ("forwarded", (b"Forwarded: proto=https;host=hooks.example.com",), 202),
        ("forwarded", (b"Forwarded: proto=https;host=hooks.example.com", b"X-Forwarded-Host: staging"), 202),
        ("forwarded", PROXIED, 401),
    ],
)
async def test_of_what_a_proxy_passes_on_only_its_own_word_counts(
    serve: Serve, form: str, fields: tuple[bytes, ...], status: int
) -> None:
    """It writes one form; the other came from the sender."""
    served = await gateway(serve, server={"trusted_proxies": ["127.0.0.0/8"], "forwarded": form})

    assert (await ask(served, HOOK, *fields)).status == status


async def test_a_trailing_slash_is_part_of_the_address_that_was_called(serve: Serve) -> None:
    """As its sender signs it."""
    served = await gateway(serve, server={"trusted_proxies": ["127.0.0.0/8"]})

    assert (await ask(served, HOOK + "/", *PROXIED, target="/webhooks/github/")).status == 202
    assert (await ask(served, HOOK, *PROXIED, target="/webhooks/github/")).status == 401


@pytest.mark.parametrize(
    ("signed", "target", "status"),
    [
        ("?b=2&a=1", "?b=2&a=1", 202),
        ("?b=2&a=1", "?a=1&b=2", 202),
        ("?b=2&a=1", "", 202),
        ("?b=2&a=1&extra=3", "?extra=3&b=2&a=1", 202),
        ("?b=2&a=1&a=1", "?b=2&a=1&a=1", 202),
        ("?b=2&a=1", "?b=2&a=1&extra=3", 401),
        ("?b=2&a=1", "?b=2&a=2", 401),
        ("", "", 401),
    ],
)
async def test_the_address_may_have_a_query(serve: Serve, signed: str, target: str, status: int) -> None:
    """A proxy may sort it or leave it out; what its sender adds is signed too, and what another adds is not."""
    served = await gateway(serve, public_url=HOOK + "?b=2&a=1")

    assert (await ask(served, HOOK + signed, target="/webhooks/github" + target)).status == status


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in registry.names()
        if name != registry.GENERIC and registry.load(name).spec.signature.needs_url
    ],
)
async def test_senders_that_sign_the_address_sign_its_query(tmp_path: Path, name: str) -> None:
    """Each in its own way; some add to it."""
    text = config_block(name).replace(f"/webhooks/{name}", f"/webhooks/{name}?tenant=5")
    (tmp_path / "config.yaml").write_text(
        "providers:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    )
    memory = MemoryGateway(tmp_path / "config.yaml")
    for sample in sample_names(registry.load(name)):
        assert (await memory.send(name, sample)).status < 300
