"""Keys that senders publish, fetched from a stand-in of their endpoints: a server on the loopback interface."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from gateway import fetch as fetching
from gateway.errors import KeyUnavailable
from gateway.keys import ABSENT_FOR, KeyStore
from providers import BoundAdapter, Headers, RawRequest, Rejection, SignatureRejected, registry
from providers.schemes.fetched import FRESHNESS
from providers.schemes.scheme import KeyNeeded, KeyRequest
from support.certificates import ec_key, rsa_key
from support.tls import Endpoint, certify, listening
from support.waiting import wait_until_async

NOW = 1_736_942_400.0
PARAMETERS = {"audience": "us", "email": "pusher@example.com"}
CERTS = KeyRequest("https://www.googleapis.com/oauth2/v3/certs")


class Redirected(httpx.AsyncBaseTransport):
    """The network of a test: every host is the endpoint, which is reached while the gate is open."""

    def __init__(self, endpoint: Endpoint, trust: ssl.SSLContext) -> None:
        self._port = httpx.URL(endpoint.url).port
        self._wire = httpx.AsyncHTTPTransport(verify=trust)
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Have the endpoint answer."""
        await self.gate.wait()
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return await self._wire.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        self.is_closed = True
        await self._wire.aclose()


class Bench:
    """A store of keys, the endpoint that it asks, and clocks that stand still.

    Attributes:
        endpoint: what stands in for the senders' endpoints.
        network: the way to it.
        store: what is tested.
        now: seconds of the steady clock.
    """

    def __init__(self, endpoint: Endpoint, network: Redirected) -> None:
        self.endpoint = endpoint
        self.network = network
        self.now = 0.0
        self.store = KeyStore(
            lambda: httpx.AsyncClient(transport=network, trust_env=False), lambda: NOW, lambda: self.now
        )

    def answers(self, status: int, content: bytes | dict[str, Any] = b"", *headers: str) -> None:
        """Have the endpoint answer so from now on."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""])
        self.endpoint.answer = head.encode() + body

    async def refusal(self, adapter: BoundAdapter, request: KeyRequest) -> Rejection | None:
        """Why a key is not to be had."""
        try:
            await self.store.fetch(adapter, request)
        except Rejection as rejection:
            return rejection
        return None


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """One whose endpoint is trusted and answers with a set of keys."""
    server, trust = certify(tmp_path)
    async with listening(server) as endpoint:
        bench = Bench(endpoint, Redirected(endpoint, trust))
        bench.answers(200, KEY_SET)
        yield bench
        await bench.store.aclose()


def jwk(key: Any, kid: str) -> dict[str, Any]:
    """A public key as senders publish it."""
    kind = jwt.algorithms.ECAlgorithm if hasattr(key, "curve") else jwt.algorithms.RSAAlgorithm
    published: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return published | {"kid": kid}


KEY_SET = {"keys": [jwk(rsa_key(), "key-1")]}


def google() -> BoundAdapter:
    """An adapter whose keys are a set at one address."""
    return registry.load("google_pubsub").bind([], PARAMETERS)


def plaid(key_id: str = "key-1") -> tuple[BoundAdapter, KeyRequest]:
    """An adapter whose keys are asked for one by one, and the question for one."""
    url = "https://production.plaid.com/webhook_verification_key/get"
    adapter = registry.load("plaid").bind(["client-1:the-secret"])
    return adapter, KeyRequest(url, key_id, b'{"key_id": "%b"}' % key_id.encode())


def push() -> RawRequest:
    """A delivery of Google Cloud Pub/Sub."""
    claims = {
        "iss": "https://accounts.google.com",
        "aud": "us",
        "email": "pusher@example.com",
        "email_verified": True,
        "iat": int(NOW),
        "exp": int(NOW) + 10**6,
    }
    token = jwt.encode(claims, rsa_key(), "RS256", {"kid": "key-1"})
    return RawRequest(body=b"{}", headers=Headers([(b"authorization", b"Bearer " + token.encode())]))


async def test_a_key_is_fetched_and_the_request_that_needed_it_is_verified(bench: Bench) -> None:
    """From the address that the adapter has, and once."""
    adapter = google()
    with pytest.raises(KeyNeeded) as needed:
        adapter.verify(push(), NOW)
    assert needed.value.request == CERTS

    await bench.store.fetch(adapter, needed.value.request)

    assert adapter.verify(push(), NOW).secret_slot == 0
    (head,) = bench.endpoint.heads
    assert head.startswith(b"GET /oauth2/v3/certs HTTP/1.1\r\n")
    assert b"Host: www.googleapis.com" in head


async def test_a_question_may_be_posted_with_headers(bench: Bench) -> None:
    """As the scheme writes it."""
    adapter, request = plaid()
    bench.answers(200, {"key": jwk(ec_key(), "key-1")})
    await bench.store.fetch(adapter, request)
    await bench.store.fetch(adapter, request._replace(headers=(("content-type", "text/x"), ("x-y", "z"))))

    first, second = [head.lower() for head in bench.endpoint.heads]
    assert first.startswith(b"post /webhook_verification_key/get http/1.1\r\n")
    assert b"content-type: application/json\r\n" in first
    assert b"content-type: text/x\r\n" in second
    assert b"x-y: z\r\n" in second


async def test_who_waits_for_the_same_key_shares_the_answer(bench: Bench) -> None:
    """Also when the one who came first gives up."""
    adapter = google()
    bench.network.gate.clear()
    tasks = [asyncio.create_task(bench.refusal(adapter, CERTS)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    bench.network.gate.set()

    assert await asyncio.gather(*tasks[1:]) == [None] * 19
    assert len(bench.endpoint.heads) == 1
    assert adapter.verify(push(), NOW).secret_slot == 0


async def test_a_key_is_learned_though_nobody_waits_any_more(bench: Bench) -> None:
    """The next delivery finds it; nothing of it is left behind."""
    adapter = google()
    bench.network.gate.clear()
    task = asyncio.create_task(bench.refusal(adapter, CERTS))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench.network.gate.set()

    def is_known() -> bool:
        try:
            return adapter.verify(push(), NOW).secret_slot == 0
        except KeyNeeded:
            return False

    assert await wait_until_async(is_known)


@pytest.mark.parametrize("status", [400, 403, 404, 410])
async def test_a_key_that_does_not_exist_is_remembered(bench: Bench, status: int) -> None:
    """For a minute; only that key, and only of that provider."""
    adapter, request = plaid()
    bench.answers(status)
    for now in (0.0, 1.0, ABSENT_FOR - 1):
        bench.now = now
        refusal = await bench.refusal(adapter, request)
        assert isinstance(refusal, SignatureRejected)
        assert refusal.fault == "unknown_key"
    assert len(bench.endpoint.heads) == 1

    await bench.refusal(adapter, plaid("key-2")[1])
    await bench.refusal(plaid()[0], request)
    assert len(bench.endpoint.heads) == 3

    bench.now = ABSENT_FOR
    bench.answers(200, {"key": jwk(ec_key(), "key-1")})
    assert await bench.refusal(adapter, request) is None


@pytest.mark.parametrize(
    ("status", "content", "headers", "cause"),
    [
        (500, b"", (), "answers 500"),
        (503, KEY_SET, (), "answers 503"),
        (401, b"", (), "answers 401"),
        (408, b"", (), "answers 408"),
        (429, b"", (), "answers 429"),
        (302, b"", ("location: https://www.googleapis.com/oauth2/v3/certs",), "answers 302"),
        (204, b"", (), "answers 204"),
        (200, b"", (), "."),
        (200, b"<html>", (), "."),
        (200, {"keys": []}, (), "no key"),
        (200, b"x" * 70_000, (), "more than"),
        (200, b"x", ("content-encoding: gzip",), "compressed"),
    ],
)
async def test_an_answer_without_the_key_is_no_verdict(
    bench: Bench, status: int, content: bytes | dict[str, Any], headers: tuple[str, ...], cause: str
) -> None:
    """The sender shall repeat the delivery; and when the key is to be had again, it is."""
    adapter = google()
    bench.answers(status, content, *headers)
    with pytest.raises(KeyUnavailable, match=cause) as caught:
        await bench.store.fetch(adapter, CERTS)
    assert (caught.value.status, caught.value.reason, caught.value.retryable) == (
        503,
        "key_unavailable",
        True,
    )
    assert len(bench.endpoint.heads) == 1

    bench.answers(200, KEY_SET)
    assert await bench.refusal(adapter, CERTS) is None


async def test_an_endpoint_that_does_not_answer_is_no_verdict(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not waited for beyond its time."""
    monkeypatch.setattr(fetching, "TIMEOUT", 0.05)
    bench.endpoint.answer = None
    assert isinstance(await bench.refusal(google(), CERTS), KeyUnavailable)


async def test_an_endpoint_that_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    """Its certificate is of an authority that the client does not know."""
    server, _ = certify(tmp_path)
    async with listening(server) as endpoint:
        bench = Bench(endpoint, Redirected(endpoint, ssl.create_default_context()))
        bench.answers(200, KEY_SET)
        adapter = google()
        assert isinstance(await bench.refusal(adapter, CERTS), KeyUnavailable)
        assert endpoint.heads == []
        with pytest.raises(KeyNeeded):
            adapter.verify(push(), NOW)
        await bench.store.aclose()


async def test_strangers_cannot_have_an_endpoint_asked_without_end(bench: Bench) -> None:
    """Five questions at once and one a second, for each provider."""
    adapter, _ = plaid()
    bench.answers(404)
    refusals = [await bench.refusal(adapter, plaid(f"key-{number}")[1]) for number in range(8)]
    assert [type(refusal) for refusal in refusals] == [SignatureRejected] * 5 + [KeyUnavailable] * 3
    assert len(bench.endpoint.heads) == 5

    assert isinstance(await bench.refusal(plaid()[0], plaid("key-9")[1]), SignatureRejected)
    bench.now = 1.0
    assert isinstance(await bench.refusal(adapter, plaid("key-10")[1]), SignatureRejected)
    assert isinstance(await bench.refusal(adapter, plaid("key-11")[1]), KeyUnavailable)
    assert isinstance(await bench.refusal(adapter, plaid("key-1")[1]), SignatureRejected)  # known to be none
    assert len(bench.endpoint.heads) == 7


async def test_the_old_keys_will_do_while_the_endpoint_is_down(bench: Bench) -> None:
    """A refresh that fails refuses nobody, and is not tried with every delivery."""
    adapter = google()
    await bench.store.fetch(adapter, CERTS)
    bench.answers(500)
    later = NOW + FRESHNESS + 1
    with pytest.raises(KeyNeeded) as needed:
        adapter.verify(push(), later)
    assert needed.value.request.is_refresh

    await bench.store.fetch(adapter, needed.value.request)

    assert len(bench.endpoint.heads) == 2
    assert adapter.verify(push(), later).secret_slot == 0
    assert adapter.verify(push(), later + 1).secret_slot == 0


async def test_a_provider_that_is_gone_leaves_nothing(bench: Bench) -> None:
    """The configuration is read again, and its adapters are new."""
    adapter = google()
    await bench.store.fetch(adapter, CERTS)
    assert len(bench.store._desks) == 1
    del adapter
    gc.collect()
    assert len(bench.store._desks) == 0


async def test_a_store_that_was_asked_nothing_opens_nothing() -> None:
    """Most gateways need no key."""

    def fail() -> httpx.AsyncClient:
        raise AssertionError

    await KeyStore(fail).aclose()


async def test_closing_closes_the_connections(bench: Bench) -> None:
    """Those that were opened."""
    await bench.store.fetch(google(), CERTS)
    await bench.store.aclose()
    assert bench.network.is_closed
