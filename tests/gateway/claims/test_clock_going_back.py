"""The machine's clock was ahead, and is set right while the gateway runs: nothing genuine is lost, doubled or stuck."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.adapters import registry
from gateway.app import Gateway
from gateway.claims.sqlite import SqliteClaims
from gateway.config import Config
from gateway.receive.key_files import FOLDER
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.key_cache import MAX_KEY_AGE
from gateway.transport.embedded import Database
from support.certificates import issue, private_pem, rsa_key
from support.door import Door
from support.spies import SpyPublisher

NOW = 1_736_942_400.0
AHEAD = 2 * 3600.0
SECRET = "a secret of sixteen or more"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
CERTIFICATE = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{'0' * 32}.pem"
SIGNING = issue("sns.amazonaws.com", issue("Amazon", is_authority=True, key=rsa_key("ca")), key=rsa_key())
PROVIDERS = {
    "github": {"adapter": "github", "secrets": [SECRET], "rate_limit": "3/h"},
    "stripe": {"adapter": "stripe", "secrets": ["whsec_" + SECRET]},
    "sns": {"adapter": "aws_sns", "secrets": [], "parameters": {"topic_arn": TOPIC}},
}


class Machine:
    """A gateway with embedded claims, by a clock that can be set.

    Attributes:
        now: what the clock shows.
        published: the ids of what was published.
    """

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.folder = folder
        self.published: list[str] = []
        self._publisher = SpyPublisher([])
        self.begin()

    def begin(self) -> None:
        """Start, with what is on disk."""
        config = Config.model_validate({"data_dir": str(self.folder), "providers": PROVIDERS})
        claims = SqliteClaims(Database(self.folder), clock=lambda: self.now)
        self.gateway = Gateway(
            config, self.folder, claims=claims, publisher=self._publisher, clock=lambda: self.now
        )

    async def post(self, provider: str, body: bytes, headers: dict[str, str]) -> str:
        """Deliver; what the answer says."""
        transport = Door(self.gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
            answer = await client.post(
                f"/webhooks/{provider}", content=body, headers={"content-type": "application/json"} | headers
            )
        self.published = [message.message_id for message in self._publisher.messages]
        word = answer.json()
        return str(word.get("reason", word["status"]))

    async def github(self, delivery: str) -> str:
        """A delivery that carries no moment."""
        body = b'{"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {}}'
        return await self.post(
            "github",
            body,
            {
                "x-github-event": "ping",
                "x-github-delivery": delivery,
                "x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest(),
            },
        )

    async def stripe(self, event_id: str) -> str:
        """A delivery that was signed by the right clock."""
        adapter = registry.load("stripe")
        body = json.dumps({"id": event_id, "object": "event", "type": "invoice.paid", "data": {}}).encode()
        unsigned = RawRequest(body=body, headers=Headers([]))
        return await self.post("stripe", body, adapter.scheme.sign(unsigned, "whsec_" + SECRET, NOW).headers)

    async def sns(self, message_id: str) -> str:
        """A delivery whose key has to be known."""
        content = {"Type": "Notification", "MessageId": message_id, "Message": "{}"}
        unsigned = RawRequest(body=json.dumps(content).encode(), headers=Headers([]))
        scheme = registry.load("aws_sns").scheme
        signed = scheme.sign(unsigned, private_pem(rsa_key()), NOW, {"topic_arn": TOPIC})
        return await self.post("sns", signed.body, signed.headers)

    def learn_certificate(self) -> None:
        """Have the certificate of SNS as if it had been fetched just now."""
        endpoint = next(each for each in self.gateway.receiver.routes.values() if each.name == "sns")
        endpoint.adapter.learn(KeyRequest(CERTIFICATE), SIGNING.pem, self.now)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """One whose gateway runs."""
    machine = Machine(tmp_path)
    await machine.gateway.claims.start()
    yield machine
    await machine.gateway.stop()


async def test_what_came_while_the_clock_was_ahead_is_known_when_it_is_right(machine: Machine) -> None:
    """A repetition is a duplicate, another event is none; what was refused for its moment is accepted."""
    machine.now = NOW + AHEAD
    assert await machine.github("1") in {"accepted", "quarantined"}
    assert await machine.stripe("evt_1") == "invalid_signature"

    machine.now = NOW
    assert await machine.github("1") == "duplicate"
    assert await machine.github("2") in {"accepted", "quarantined"}
    assert await machine.stripe("evt_1") in {"accepted", "quarantined"}
    assert await machine.stripe("evt_1") == "duplicate"
    assert sorted(machine.published) == ["1", "2", "evt_1"]


async def test_a_rate_is_counted_by_a_clock_that_nobody_sets(machine: Machine) -> None:
    """Neither is a budget full again because the clock is set, nor empty for longer."""
    for number, moment in enumerate((NOW, NOW + AHEAD, NOW)):
        machine.now = moment
        assert await machine.github(str(number)) in {"accepted", "quarantined"}
    for moment in (NOW + AHEAD, NOW - AHEAD):
        machine.now = moment
        assert await machine.github("4") == "rate_limited"


async def test_keys_that_were_fetched_by_a_wrong_clock_are_used_and_end(machine: Machine) -> None:
    """They are renewed soon, and are believed for no longer than others; over a restart, too."""
    machine.now = NOW + AHEAD
    machine.learn_certificate()
    assert await machine.sns("1") in {"accepted", "quarantined"}

    machine.now = NOW
    assert await machine.sns("2") in {"accepted", "quarantined"}
    await machine.gateway.stop()
    assert list((machine.folder / FOLDER).glob("*.json"))

    machine.begin()
    await machine.gateway.claims.start()
    assert await machine.sns("3") in {"accepted", "quarantined"}
    assert machine.published == ["1", "2", "3"]
    endpoint = machine.gateway.receiver.routes[b"/webhooks/sns"]
    assert endpoint.adapter.fetched is not None
    assert endpoint.adapter.fetched.due(NOW) == [CERTIFICATE]
    assert all(key.fetched_at <= NOW for key in endpoint.adapter.fetched.kept())
    assert all(key.fetched_at > NOW - MAX_KEY_AGE for key in endpoint.adapter.fetched.kept())
