"""Keys that senders publish, fetched from a stand-in of their endpoints: a server on the loopback interface."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import BoundAdapter
from gateway.app import Gateway
from gateway.config import Config
from gateway.errors import KeyUnavailable
from gateway.receive.key_budget import MAX_ADDRESSES, RETRY_PAUSE, KeyBudget
from gateway.receive.provider_keys import ABSENT_FOR, MAX_WAITING
from gateway.receive.public_keys import PublicKeyFetcher
from gateway.signatures.rejections import Rejection, SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.fetched_keys import KeyNeeded, KeyRequest
from gateway.signatures.schemes.key_cache import FRESHNESS, LONGEST_TRUST, REFETCH_INTERVAL
from gateway.transport import https as fetching
from support.certificates import ec_key, issue, private_pem, rsa_key
from support.door import Door
from support.spies import SpyClaims, SpyPublisher
from support.tls import Endpoint, certify, listening
from support.waiting import wait_until_async

NOW = 1_736_942_400.0
CLIENT = "192.0.2.1"
PARAMETERS = {"audience": "us", "email": "pusher@example.com"}
CERTS = KeyRequest("https://www.googleapis.com/oauth2/v3/certs", is_known=True)


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
    """A store of keys, the endpoint that it asks, and clocks that go on when they are told to.

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
        self.store = PublicKeyFetcher(
            None,
            lambda: httpx.AsyncClient(transport=network, trust_env=False),
            lambda: NOW + self.now,
            lambda: self.now,
        )

    def answers(self, status: int, content: bytes | dict[str, Any] = b"", *headers: str) -> None:
        """Have the endpoint answer so from now on."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""])
        self.endpoint.answer = head.encode() + body

    async def refusal(self, adapter: BoundAdapter, request: KeyRequest) -> Rejection | None:
        """Why a key is not to be had."""
        try:
            await self.store.fetch(adapter, request, CLIENT)
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

    await bench.store.fetch(adapter, needed.value.request, CLIENT)

    assert adapter.verify(push(), NOW).secret_slot == 0
    (head,) = bench.endpoint.heads
    assert head.startswith(b"GET /oauth2/v3/certs HTTP/1.1\r\n")
    assert b"Host: www.googleapis.com" in head


async def test_a_question_may_be_posted_with_headers(bench: Bench) -> None:
    """As the scheme writes it."""
    adapter, request = plaid()
    bench.answers(200, {"key": jwk(ec_key(), "key-1")})
    await bench.store.fetch(adapter, request, CLIENT)
    other = request._replace(headers=(("content-type", "text/x"), ("x-y", "z")))
    await bench.store.fetch(adapter, other, CLIENT)

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
        (403, b"", (), "answers 403"),
        (404, b"", (), "answers 404"),
        (410, b"", (), "answers 410"),
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
        await bench.store.fetch(adapter, CERTS, CLIENT)
    assert (caught.value.status, caught.value.reason, caught.value.retryable) == (
        503,
        "key_unavailable",
        True,
    )
    assert len(bench.endpoint.heads) == 1

    bench.answers(200, KEY_SET)
    bench.now += RETRY_PAUSE
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
    """Two questions at once from an address, five from all, and one a second, for each provider."""
    adapter, _ = plaid()
    bench.answers(404)

    async def ask(number: int, client: str) -> type[Rejection] | None:
        try:
            await bench.store.fetch(adapter, plaid(f"key-{number}")[1], client)
        except Rejection as refusal:
            return type(refusal)
        return None

    refusals = [await ask(number, f"192.0.2.{number // 3}") for number in range(12)]
    asked, not_asked = SignatureRejected, KeyUnavailable
    assert refusals == [asked, asked, not_asked] * 2 + [asked] + [not_asked] * 5
    assert len(bench.endpoint.heads) == 5

    bench.now = 1.0
    assert await ask(13, "192.0.2.0") is not_asked  # it has to wait longer than others
    assert await ask(14, "192.0.2.9") is asked
    assert await ask(15, "192.0.2.10") is not_asked
    assert await ask(0, "192.0.2.10") is asked  # and it is known that there is none
    assert len(bench.endpoint.heads) == 6


def test_a_network_is_as_many_addresses_as_its_owner_likes() -> None:
    """Of IPv6 it counts as one; those that are counted are bounded, and never more than all are good for."""
    now = 0.0
    budget = KeyBudget(lambda: now)
    request = KeyRequest("https://keys.test/1")
    assert [budget.take(request, f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    assert budget.take(request, "2001:db8:0:1::1")
    taken = 0
    for number in range(10 * MAX_ADDRESSES):
        now = number / MAX_ADDRESSES
        taken += budget.take(request, f"10.0.{number // 250}.{number % 250}")
    assert taken <= 12
    assert budget.addresses == MAX_ADDRESSES


def test_each_key_that_was_good_before_has_a_budget_of_its_own() -> None:
    """Whatever else is asked, and for whom: one question a second."""
    now = 0.0
    budget = KeyBudget(lambda: now)
    for number in range(20):
        budget.take(KeyRequest(f"https://keys.test/{number}"), CLIENT)
    first = KeyRequest("https://keys.test/a", is_known=True)
    second = KeyRequest("https://keys.test/a", "b", is_known=True)
    assert [budget.take(each, CLIENT) for each in (first, second, first, second)] == [
        True,
        True,
        False,
        False,
    ]
    now = RETRY_PAUSE
    assert budget.take(first, CLIENT)


async def test_requests_that_wait_for_keys_that_nobody_has_seen_are_bounded(bench: Bench) -> None:
    """They are among those under way, of which there must be room for genuine events."""
    adapter, request = plaid()
    bench.network.gate.clear()
    tasks = [asyncio.create_task(bench.refusal(adapter, request)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    assert isinstance(await bench.refusal(adapter, request), KeyUnavailable)

    known = asyncio.create_task(bench.refusal(adapter, plaid("key-2")[1]._replace(is_known=True)))
    await asyncio.sleep(0)
    assert not known.done()  # it waits beside them
    bench.answers(200, {"key": jwk(ec_key(), "key-1")})
    bench.network.gate.set()
    assert await asyncio.gather(*tasks) == [None] * MAX_WAITING
    await known
    assert await bench.refusal(adapter, request) is None


async def test_a_key_that_was_good_before_is_no_forgery_when_its_address_has_none(bench: Bench) -> None:
    """What was good for events may be away for a moment."""
    adapter, request = plaid()
    bench.answers(404)
    assert isinstance(await bench.refusal(adapter, request._replace(is_known=True)), KeyUnavailable)
    bench.now += RETRY_PAUSE
    bench.answers(200, {"key": jwk(ec_key(), "key-1")})
    assert await bench.refusal(adapter, request._replace(is_known=True)) is None


async def test_keys_are_renewed_while_events_come_in(bench: Bench) -> None:
    """In the background, before they end; a failure is made up for, and refuses nobody."""
    adapter = google()
    bench.store.attach({"google": adapter})
    await bench.store.fetch(adapter, CERTS, CLIENT)

    bench.answers(500)
    bench.now = FRESHNESS
    for _ in range(3):
        await bench.store.renew()
    assert len(bench.endpoint.heads) == 2
    assert adapter.verify(push(), NOW + bench.now).secret_slot == 0

    bench.answers(200, KEY_SET)
    bench.now += REFETCH_INTERVAL
    await bench.store.renew()
    assert len(bench.endpoint.heads) == 3
    assert adapter.verify(push(), NOW + LONGEST_TRUST + FRESHNESS).secret_slot == 0


async def test_renewing_goes_on_by_itself(bench: Bench) -> None:
    """From the start to the end of the gateway."""
    adapter = google()
    bench.store.attach({"google": adapter})
    await bench.store.fetch(adapter, CERTS, CLIENT)
    bench.now = FRESHNESS
    await bench.store.start()
    await wait_until_async(lambda: len(bench.endpoint.heads) == 2, 60)
    await bench.store.aclose()


async def test_a_provider_that_is_gone_leaves_nothing(bench: Bench) -> None:
    """The configuration is read again, and its adapters are new."""
    adapter = google()
    bench.store.attach({"google": adapter})
    await bench.store.fetch(adapter, CERTS, CLIENT)
    left = weakref.ref(adapter)
    del adapter
    gc.collect()
    assert left() is not None
    bench.store.attach({})
    gc.collect()
    assert left() is None


async def test_an_adapter_that_takes_the_place_of_another_has_its_keys(bench: Bench) -> None:
    """The configuration is read again; not one of something else."""
    adapter, other, plaids = google(), google(), plaid()[0]
    bench.store.attach({"google": adapter, "plaid": plaids})
    await bench.store.fetch(adapter, CERTS, CLIENT)
    bench.store.attach({"google": other, "plaid": google()})
    assert other.verify(push(), NOW).secret_slot == 0
    bench.store.attach({"google": plaids, "plaid": other})


# A crowd of strangers

TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
SNS = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-"
CERTIFICATE = f"{SNS}{'0' * 32}.pem"
SIGNING = issue("sns.amazonaws.com", issue("Amazon", is_authority=True, key=rsa_key("ca")), key=rsa_key())


@cache
def message(url: str, key: str, message_id: str = "1") -> bytes:
    """A message of SNS, which carries no time that is looked at."""
    content = {"MessageId": message_id, "Message": "x", "Type": "Notification"}
    unsigned = RawRequest(body=json.dumps(content).encode(), headers=Headers([]))
    signed = registry.load("aws_sns").scheme.sign(
        unsigned, private_pem(rsa_key(key) if key else rsa_key()), NOW, {"topic_arn": TOPIC}
    )
    return json.dumps(json.loads(signed.body) | {"SigningCertURL": url}).encode()


class Crowd:
    """A gateway's keys of SNS, its endpoint, and strangers who name certificates that do not exist.

    Attributes:
        asked: the addresses that were asked for.
        now: seconds on all clocks.
        is_up: whether the endpoint answers.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self.asked: list[str] = []
        self.now = 0.0
        self.is_up = True
        self._names = 0
        self._data_dir = data_dir
        self.begin()

    def begin(self) -> None:
        """Start again, with nothing but what is on disk."""
        self.adapter = registry.load("aws_sns").bind([], {"topic_arn": TOPIC})
        self.store = PublicKeyFetcher(
            self._data_dir,
            lambda: httpx.AsyncClient(transport=httpx.MockTransport(self._answer), trust_env=False),
            lambda: NOW + self.now,
            lambda: self.now,
        )
        self.store.attach({"orders": self.adapter})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        is_there = str(request.url) == CERTIFICATE
        status = (200 if is_there else 404) if self.is_up else 503
        return httpx.Response(status, stream=httpx.ByteStream(SIGNING.pem))

    async def send(self, url: str, client: str = CLIENT, key: str = "") -> str:
        """Send a message that is signed with the key of that name; return how it is answered."""
        request = RawRequest(body=message(url, key), headers=Headers([]))
        try:
            try:
                self.adapter.verify(request, NOW + self.now)
            except KeyNeeded as needed:
                await self.store.fetch(self.adapter, needed.request, client)
                self.adapter.verify(request, NOW + self.now)
        except Rejection as refusal:
            return refusal.reason
        return "accepted"

    async def press(self, number: int, address: str = "") -> None:
        """Have strangers name so many certificates, from as many addresses unless from the given one."""
        for _ in range(number):
            self._names += 1
            url = f"{SNS}{self._names:032x}.pem"
            client = address or f"198.51.{self._names // 250 % 250}.{self._names % 250}"
            with suppress(Rejection):
                await self.store.fetch(self.adapter, KeyRequest(url), client)


async def test_a_crowd_of_strangers_keeps_no_genuine_event_out(tmp_path: Path) -> None:
    """For days, over restarts, and though the endpoint is away for most of one; no event waits for a fetch."""
    crowd = Crowd(tmp_path)
    assert await crowd.send(CERTIFICATE) == "accepted"
    for minute in range(60 * 60):
        crowd.now += 60.0
        crowd.is_up = not 600 < minute < 1800
        await crowd.press(8)
        await crowd.store.renew()
        before = len(crowd.asked)
        if minute % 10 == 0:
            assert await crowd.send(CERTIFICATE) == "accepted"
        assert len(crowd.asked) == before
        if minute % 500 == 499:
            await crowd.store.aclose()
            crowd.begin()
    of_strangers = [url for url in crowd.asked if url != CERTIFICATE]
    assert len(of_strangers) <= 5 * 60 * 60


async def test_a_key_that_was_good_before_is_had_again_beside_a_crowd(tmp_path: Path) -> None:
    """Though it has ended while the gateway was away, and strangers have used up what is theirs."""
    crowd = Crowd(tmp_path)
    assert await crowd.send(CERTIFICATE) == "accepted"
    await crowd.store.aclose()
    crowd.now += 3 * LONGEST_TRUST
    crowd.begin()
    await crowd.press(50)
    assert await crowd.send(CERTIFICATE) == "accepted"


async def test_one_stranger_leaves_room_for_a_key_that_is_new() -> None:
    """As long as the sender has another address."""
    crowd = Crowd(None)
    for _ in range(4000):
        crowd.now += 1 / 400
        await crowd.press(1, "198.51.100.1")
    assert len(crowd.asked) <= 4
    assert await crowd.send(CERTIFICATE, "192.0.2.7") == "accepted"


async def test_a_forgery_under_the_name_of_a_good_key_does_not_make_it_known() -> None:
    """Only what it has signed does."""
    crowd = Crowd(None)
    assert await crowd.send(CERTIFICATE, key="forger") == "invalid_signature"
    assert crowd.adapter.fetched is not None
    assert crowd.adapter.fetched.kept() == []


async def test_a_start_needs_no_fetch(tmp_path: Path) -> None:
    """What was good is on disk; another provider does not have it."""
    crowd = Crowd(tmp_path)
    assert await crowd.send(CERTIFICATE) == "accepted"
    await crowd.store.aclose()
    crowd.begin()
    crowd.is_up = False
    assert await crowd.send(CERTIFICATE) == "accepted"
    assert len(crowd.asked) == 1

    stranger = Crowd(tmp_path)
    stranger.store.attach({"other": stranger.adapter})
    assert stranger.adapter.fetched is not None


async def test_a_gateway_keeps_its_keys_over_a_restart_and_a_reload(tmp_path: Path) -> None:
    """Without a network from then on."""
    crowd = Crowd(tmp_path)
    assert await crowd.send(CERTIFICATE) == "accepted"
    await crowd.store.aclose()

    provider = {"adapter": "aws_sns", "secrets": [], "parameters": {"topic_arn": TOPIC}}
    config = Config.model_validate({"data_dir": str(tmp_path), "providers": {"orders": provider}})
    publisher = SpyPublisher([])
    gateway = Gateway(config, tmp_path, claims=SpyClaims([]), publisher=publisher, clock=lambda: NOW)
    transport = Door(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        for number in range(2):
            body = message(CERTIFICATE, "", f"id-{number}")
            answer = await client.post(
                "/webhooks/orders", content=body, headers={"content-type": "application/json"}
            )
            assert answer.json()["status"] == "accepted", answer.text
            for path in (tmp_path / "keys").iterdir():
                path.unlink()
            gateway.reload(config)
    await gateway.stop()
    assert [each.message_id for each in publisher.messages] == ["id-0", "id-1"]
    assert (tmp_path / "keys").is_dir()


async def test_processes_share_what_they_have_fetched(tmp_path: Path) -> None:
    """What one has written the others read before they ask, and what one has renewed is due in none."""
    first, second = Crowd(tmp_path), Crowd(tmp_path)
    assert await first.send(CERTIFICATE) == "accepted"
    await first.store.renew()
    assert await second.send(CERTIFICATE) == "accepted"
    assert second.asked == []

    first.now = second.now = FRESHNESS
    await first.store.renew()
    await second.store.renew()
    assert (len(first.asked), len(second.asked)) == (2, 0)


async def test_a_disk_that_takes_nothing_refuses_nobody(tmp_path: Path) -> None:
    """Keys are fetched then."""
    (tmp_path / "file").write_bytes(b"")
    crowd = Crowd(tmp_path / "file")
    assert await crowd.send(CERTIFICATE) == "accepted"
    await crowd.store.renew()
    await crowd.store.aclose()


async def test_a_store_that_was_asked_nothing_opens_nothing() -> None:
    """Most gateways need no key."""

    def fail() -> httpx.AsyncClient:
        raise AssertionError

    await PublicKeyFetcher(open_client=fail).aclose()


async def test_closing_closes_the_connections(bench: Bench) -> None:
    """Those that were opened."""
    await bench.store.fetch(google(), CERTS, CLIENT)
    await bench.store.aclose()
    assert bench.network.is_closed
