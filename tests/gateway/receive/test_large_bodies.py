"""Large bodies are digested by other threads, without being copied, and are otherwise as small ones."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import BoundAdapter
from gateway.adapters.identity import Identity
from gateway.app import Gateway
from gateway.config import Config
from gateway.events.body import Content, Reader
from gateway.receive import aside
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from gateway.signatures.schemes import hmac_rule
from gateway.signatures.schemes.base import LARGE
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.keyed_digest import KeyedDigest, prepare_hmac
from support.deliveries import NAMES, NOW, URL, delivered, parameters_of, secrets_of
from support.door import Door
from support.spies import SpyClaims, SpyPublisher

HMACS = [
    name
    for name in NAMES
    if isinstance(registry.load(name).spec.signature, HmacSpec)
    and registry.load(name).spec.signature.is_body_bound
    and delivered(name).request.headers.get("Content-Type", "").startswith("application/json")
]
"""Senders that sign a body with an HMAC."""


def padded(body: bytes, size: int) -> bytes:
    """A JSON object, or a list of objects, with so many bytes more."""
    more = {"padding": "x" * size}
    document = json.loads(body)
    return json.dumps([*document, more] if isinstance(document, list) else document | more).encode()


def changed(body: bytes) -> bytes:
    """The same with another last byte of what was added."""
    return b"y".join(body.rsplit(b"x", 1))


def signed(name: str, body: bytes) -> RawRequest:
    """A delivery with another body, signed."""
    made = delivered(name)
    proof = made.adapter.scheme.sign(made.raw(body=body), made.secrets.sender, NOW, made.parameters)
    query = proof.query.decode()
    url = f"{URL}?{query}" if query else URL
    return made.raw({**made.request.headers, **proof.headers}, proof.body, url)


@pytest.mark.parametrize("name", HMACS)
def test_a_large_body_is_verified_like_a_small_one(name: str) -> None:
    """To the last byte."""
    made = delivered(name)
    request = signed(name, padded(made.request.body, LARGE))
    assert len(request.body) > LARGE
    assert made.bind().verify(request, NOW).body is request.body

    request.body = changed(request.body)
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        made.bind().verify(request, NOW)


def test_a_large_body_is_not_copied_behind_its_timestamp(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is digested as it is."""
    digested: list[bytes] = []

    def prepared(key: bytes, algorithm: str) -> KeyedDigest:
        digest = prepare_hmac(key, algorithm)

        def recorded(pieces: Iterable[bytes]) -> bytes:
            digested.extend(pieces)
            return digest(pieces)

        return recorded

    request = signed("stripe", padded(delivered("stripe").request.body, LARGE))
    monkeypatch.setattr(hmac_rule, "prepare_hmac", prepared)
    delivered("stripe").bind().verify(request, NOW)
    assert any(piece is request.body for piece in digested)


class House:
    """A gateway in memory, and who verifies in it."""

    def __init__(self, folder: Path, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.publisher = SpyPublisher([])
        self.threads: list[threading.Thread] = []
        providers: dict[str, Any] = {
            name: {
                "adapter": name,
                "secrets": [secrets_of(name).receiver],
                "parameters": parameters_of(registry.load(name)),
            }
            for name in names
        }
        config = Config.model_validate(
            {"data_dir": str(folder), "server": {"max_body": "25MiB"}, "providers": providers}
        )
        gateway = Gateway(config, folder, claims=SpyClaims([]), publisher=self.publisher, clock=lambda: NOW)
        self._transport = Door(gateway)
        original = BoundAdapter.verify

        def recorded(adapter: BoundAdapter, request: RawRequest, now: float) -> VerifiedRequest:
            self.threads.append(threading.current_thread())
            return original(adapter, request, now)

        monkeypatch.setattr(BoundAdapter, "verify", recorded)

    async def post(self, name: str, request: RawRequest) -> httpx.Response:
        """One request."""
        fields = [(field, value) for field, value in request.headers.fields if field != b"content-length"]
        async with httpx.AsyncClient(transport=self._transport, base_url="http://gateway.test") as client:
            query = urlsplit(request.url).query
            return await client.post(f"/webhooks/{name}?{query}", headers=fields, content=request.body)


async def test_large_bodies_are_verified_beside_the_event_loop_and_small_ones_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has a thread of its own is published as it came, once."""
    house = House(tmp_path, ["github"], monkeypatch)
    here = threading.current_thread()
    body = delivered("github").request.body
    small, large = signed("github", padded(body, 10)), signed("github", padded(body, LARGE))
    large.headers = Headers(
        [
            (field, b"another-delivery" if field == b"x-github-delivery" else value)
            for field, value in large.headers.fields
        ]
    )

    answers = [await house.post("github", request) for request in (small, large, large)]

    assert [answer.json()["status"] for answer in answers] == ["accepted", "accepted", "duplicate"]
    assert [thread is here for thread in house.threads] == [True, False, False]
    assert len(house.publisher.messages) == 2
    assert padded(body, LARGE) in house.publisher.messages[1].body


async def test_a_large_forgery_is_refused_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the answer of a small one."""
    house = House(tmp_path, ["stripe"], monkeypatch)
    small, large = signed("stripe", b"{}"), signed("stripe", padded(b"{}", LARGE))
    small.body, large.body = b"[]", changed(large.body)

    answers = [await house.post("stripe", request) for request in (small, large)]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert [thread is threading.current_thread() for thread in house.threads] == [True, False]
    assert house.publisher.messages == []


async def test_a_large_body_is_forgotten_as_soon_as_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the garbage collector, which comes by seldom; be it accepted or refused."""
    size = 8 * 1024**2
    house = House(tmp_path, ["github", "svix"], monkeypatch)
    requests = []
    for name in ("github", "svix"):
        genuine, forged = (signed(name, padded(delivered(name).request.body, size)) for _ in range(2))
        forged.body = changed(forged.body)
        requests += [(name, forged, 401), (name, genuine, 202)]
    statuses, held = [], []
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for name, request, _ in requests:
            answer = await house.post(name, request)
            statuses.append(answer.status_code)
            house.publisher.messages.clear()
            del answer
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.enable()
    assert statuses == [status for _, _, status in requests]
    assert max(held) < size


async def test_few_large_bodies_are_parsed_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their objects take several times their size: threads do not parse while the event loop is behind."""
    threads: list[ThreadPoolExecutor] = []
    parsed: list[Content] = []
    waiting: list[int] = []
    read, identify = Reader.read, BoundAdapter.identify

    def started(*given: Any) -> ThreadPoolExecutor:
        threads.append(ThreadPoolExecutor(*given))
        return threads[-1]

    def recorded(reader: Reader, headers: Headers, body: bytes) -> Content:
        content = read(reader, headers, body)
        parsed.append(content)
        return content

    def late(adapter: BoundAdapter, *given: Any) -> Identity:
        barrier = threading.Barrier(3)  # behind all that is to be parsed by now
        for _ in range(2):
            threads[0].submit(barrier.wait)
        barrier.wait(60)
        waiting.append(len(parsed) - len(waiting))
        return identify(adapter, *given)

    monkeypatch.setattr(aside, "ThreadPoolExecutor", started)
    monkeypatch.setattr(Reader, "read", recorded)
    monkeypatch.setattr(BoundAdapter, "identify", late)
    house = House(tmp_path, ["stripe"], monkeypatch)
    request = signed("stripe", padded(delivered("stripe").request.body, LARGE))

    answers = await asyncio.gather(*(house.post("stripe", request) for _ in range(20)))

    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len(waiting) == 20
    assert max(waiting) <= 2


@pytest.mark.parametrize("name", ["stripe", "svix"])
def test_a_large_body_is_digested_without_a_copy(name: str) -> None:
    """Whether it stands behind a timestamp, or an id as well."""
    size = 4 * 1024**2
    request, bound = signed(name, padded(delivered(name).request.body, size)), delivered(name).bind()
    tracemalloc.start()
    try:
        bound.verify(request, NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size


async def test_a_sender_whose_keys_are_fetched_is_verified_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are remembered there, and nowhere else."""
    house = House(tmp_path, ["aws_sns"], monkeypatch)
    made = delivered("aws_sns")
    answer = await house.post("aws_sns", made.raw(body=padded(made.request.body, LARGE)))

    assert answer.json()["status"] == "accepted"
    assert house.threads == [threading.current_thread()]


def test_only_verifiers_that_remember_nothing_work_beside_the_event_loop() -> None:
    """All others are those that fetch keys, or read tokens."""
    aside = {name for name in NAMES if delivered(name).bind().verifies_aside}
    others = {registry.load(name).spec.signature.scheme for name in NAMES if name not in aside}
    assert others == {"ebay", "jwt", "paypal", "plaid", "sns"}
