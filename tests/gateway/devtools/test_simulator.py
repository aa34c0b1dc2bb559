"""The simulator plays every sender that there is an adapter for, honest and not."""

from __future__ import annotations

import json
from functools import cache
from urllib.parse import urlsplit

import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import BoundAdapter
from gateway.devtools.samples import load_sample, sample_names, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.errors import OperatorError
from gateway.events.body import Reader
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import NAMES, NOW, URL, parameters_of, secrets_of

each = pytest.mark.parametrize("name", NAMES)

ELSEWHERE = {"gitee", "mercado_pago", "plivo_v2"}
"""Adapters whose senders sign something, and nothing of it stands in the body."""

SHOWN = {"token", "basic", "jwt"}
"""Schemes whose proof is shown with any body, unless it has a digest of it."""


def simulator(name: str, event_type: str | None = None, seed: int | None = None) -> Simulator:
    """The sender that an adapter is for."""
    adapter = registry.load(name)
    sample, secret = load_sample(adapter, event_type), secrets_of(name).sender
    return Simulator(adapter, secret, URL, sample, parameters=parameters_of(adapter), seed=seed)


def raw(request: SignedRequest) -> RawRequest:
    """The request as it arrives."""
    address = urlsplit(request.url)
    fields = [(key.lower().encode(), value.encode("latin-1")) for key, value in request.headers.items()]
    return RawRequest(
        body=request.body,
        headers=Headers(fields),
        path=address.path,
        query=address.query.encode(),
        url=request.url,
    )


@cache
def _bound(name: str) -> BoundAdapter:
    adapter = registry.load(name)
    return adapter.bind([secrets_of(name).receiver], parameters_of(adapter))


def read(name: str, request: SignedRequest) -> tuple[str, str | None]:
    """The type and the id of the event, the first where there are several."""
    adapter = _bound(name)
    verified = adapter.verify(raw(request), NOW)
    content = Reader(adapter.spec).read(verified.headers, verified.body)
    if content.items:
        identity = adapter.identify(
            verified, content.payload, content.items[0].payload, content.items[0].parent
        )
    else:
        identity = adapter.identify(verified, content.payload)
    return identity.event_type, identity.event_id


@each
def test_every_sample_is_proven_and_is_what_it_is_called(name: str) -> None:
    """Its body can be read as its media type says, and the id is the one that the simulator tells."""
    for event_type in sample_names(registry.load(name)):
        request = simulator(name, event_type).make(NOW)
        found, event_id = read(name, request)
        assert event_type == found
        assert event_id in (None, request.event_id)


@each
def test_every_event_is_another_one(name: str) -> None:
    """Even of those that are sent in the same moment."""
    sender = simulator(name)
    first, second = sender.make(NOW), sender.make(NOW)
    assert first.event_id != second.event_id
    assert first.body != second.body or first.headers != second.headers


@each
def test_a_body_is_spoiled_where_it_is_signed(name: str) -> None:
    """The gateway refuses it; or nothing of the body is signed, which is told with what can be spoiled."""
    spec = registry.load(name).spec.signature
    if name in ELSEWHERE or (spec.scheme in SHOWN and not spec.is_body_bound):
        with pytest.raises(OperatorError, match=f"^{name} does not sign anything in the body; try --tamper"):
            simulator(name).tampered("body", NOW)
    else:
        request = simulator(name).tampered("body", NOW)
        with pytest.raises(SignatureRejected):
            _bound(name).verify(raw(request), NOW)


@each
def test_a_wrong_secret_is_refused(name: str) -> None:
    """Whether something is signed with it or it is only shown."""
    request = simulator(name).tampered("signature", NOW)
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        _bound(name).verify(raw(request), NOW)


@each
def test_a_stale_request_is_refused(name: str) -> None:
    """Where its moment is signed; else that is told."""
    spec = registry.load(name).spec.signature
    if spec.has_timestamp:
        request = simulator(name).tampered("timestamp", NOW)
        with pytest.raises(SignatureRejected, match="timestamp_too_old"):
            _bound(name).verify(raw(request), NOW)
    else:
        with pytest.raises(OperatorError, match="does not sign the time; try --tamper"):
            simulator(name).tampered("timestamp", NOW)


@each
def test_a_replay_is_proven_and_is_the_same_event(name: str) -> None:
    """What it is sent twice for."""
    request = simulator(name).tampered("replay", NOW)
    assert read(name, request) == read(name, request)


def test_a_body_of_ones_own_is_sent_as_it_is() -> None:
    """With an id where the sender has it in a header, without which the event would be refused."""
    adapter, body = registry.load("github"), b'{"ref": "refs/heads/main" }'
    sample = sample_of(adapter, "push", body)
    request = Simulator(adapter, secrets_of("github").sender, URL, sample).make(NOW, is_fresh=False)

    assert request.body == body
    assert read("github", request) == ("push", request.event_id)


@pytest.mark.parametrize("is_fresh", [True, False])
def test_changes_are_merged_into_the_sample(is_fresh: bool) -> None:
    """Into its objects, the id too; what is signed is the changed body."""
    adapter = registry.load("stripe")
    changes = {"id": "evt_1", "data": {"object": {"customer": "cus_42", "lines": {"data": []}}}}
    sample, secret = load_sample(adapter, "invoice.paid"), secrets_of("stripe").sender
    request = Simulator(adapter, secret, URL, sample, changes=changes).make(NOW, is_fresh=is_fresh)
    changed = json.loads(request.body)["data"]["object"]

    assert read("stripe", request) == ("invoice.paid", "evt_1")
    assert (changed["customer"], changed["lines"]["data"]) == ("cus_42", [])
    assert changed["object"] == "invoice"


@pytest.mark.parametrize("tampering", [None, "body", "timestamp"])
@pytest.mark.parametrize("name", ["github", "slack", "twilio", "dropbox_sign", "discord", "adyen"])
def test_a_seed_and_a_moment_make_the_very_same_request(name: str, tampering: Tampering | None) -> None:
    """Byte for byte; another seed makes another event."""

    def make(seed: int) -> SignedRequest | str:
        sender = simulator(name, seed=seed)
        try:
            return sender.tampered(tampering, NOW) if tampering else sender.make(NOW)
        except OperatorError as error:
            return str(error)

    first, again, other = make(1), make(1), make(2)
    assert first == again
    assert first != other or isinstance(first, str)
