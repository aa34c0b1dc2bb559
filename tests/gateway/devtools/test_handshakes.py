"""Every sender's handshakes, made by the simulator, through the whole gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from gateway.adapters import registry
from gateway.app import Gateway
from gateway.config import Config
from gateway.devtools.handshakes import HandshakeRequest, make_handshake
from gateway.events.schemas import Catalogue
from gateway.receive.context import RequestContext
from gateway.receive.jobs import ConfirmSubscription
from gateway.receive.request import RequestHead
from gateway.signatures.request import Headers
from support.deliveries import NAMES, parameters_of, secrets_of
from support.spies import SpyClaims, SpyPublisher, bundled_schemas

TOKEN = "the token that it was told"
URL = "https://hooks.example.com/webhooks/"
GREETERS = [name for name in NAMES if registry.load(name).spec.handshakes]
ALL = [(name, place) for name in GREETERS for place in range(len(registry.load(name).spec.handshakes))]
FETCHING = {"aws_sns"}
"""Their signatures need a key that is fetched, which others test."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in memory that knows all senders who greet."""
    folder = tmp_path_factory.mktemp("greeted")
    providers: dict[str, Any] = {}
    for name in GREETERS:
        adapter = registry.load(name)
        providers[name] = {
            "adapter": name,
            "secrets": [secrets_of(name).receiver],
            "parameters": parameters_of(adapter),
            "handshake_token": TOKEN,
            "enrol": adapter.spec.enrols,
            "public_url": URL + name,
        }
    config = Config.model_validate({"data_dir": str(folder), "providers": providers})
    with patch.object(Catalogue, "bundled", bundled_schemas):
        yield Gateway(config, folder, claims=SpyClaims([]), publisher=SpyPublisher([]))


def made(name: str, place: int) -> HandshakeRequest:
    """The handshake at a place in the description of a sender."""
    adapter = registry.load(name)
    parameters, secret = parameters_of(adapter), secrets_of(name).sender
    return make_handshake(
        adapter, adapter.spec.handshakes[place], secret, TOKEN, URL + name, time.time(), parameters
    )


def answer(gateway: Gateway, name: str, request: HandshakeRequest) -> tuple[int, str]:
    """Status and outcome of a request."""
    headers = request.headers | {"Host": "hooks.example.com"}
    fields = Headers([(key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()])
    head = RequestHead(request.method, b"/webhooks/" + name.encode(), request.query.encode(), fields, 0, "")
    record = gateway.receiver.open(head)
    if isinstance(record, RequestContext) and record.response is None:
        job = gateway.receiver.examine(record, request.body)
        if isinstance(job, ConfirmSubscription):
            return job.reply.status, "handshake"
    assert record.response is not None
    return record.response.status, record.response.outcome


@pytest.mark.parametrize(("name", "place"), [each for each in ALL if each[0] not in FETCHING])
def test_what_the_simulator_greets_with_is_answered(gateway: Gateway, name: str, place: int) -> None:
    """As a handshake, with the status of its description."""
    expected = registry.load(name).spec.handshakes[place].respond.status
    assert answer(gateway, name, made(name, place)) == (expected, "handshake")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        each
        for each in ALL
        if each[0] not in FETCHING and registry.load(each[0]).spec.handshakes[each[1]].is_signed
    ],
)
def test_a_signed_handshake_with_another_body_is_refused(gateway: Gateway, name: str, place: int) -> None:
    """Where the body is signed; where only a token shows who sends, without that."""
    request = made(name, place)
    spec = registry.load(name).spec
    if spec.signature.is_body_bound:
        forged = HandshakeRequest(request.method, request.query, request.headers, request.body + b" ")
    else:
        forged = HandshakeRequest(request.method, "", {}, b'{"event": {"event_type": "callback_test"}}')
    assert answer(gateway, name, forged) == (401, "invalid_signature")
