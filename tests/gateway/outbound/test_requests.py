"""The request of an attempt, as the contract of the wire has it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import standardwebhooks

from gateway import __version__
from gateway.outbound.envelope import NoSuchFormat
from gateway.outbound.models import Endpoint, Format, OutboundMessage, Secret, SignatureKind, Subscription
from gateway.outbound.requests import RequestMaker
from gateway.outbound.secrets import make_secret
from support.outbound import loopback_rules, sending
from support.receivers import Receiver

NOW = 1795251502.6
BODY = b'{"specversion":"1.0","id":"evt_1","adapter":"stripe","eventtype":"x","datacontenttype":"application/json","data":{"a":1}}'
SECRET = make_secret()


def endpoint(**fields: object) -> Endpoint:
    """An endpoint with a secret."""
    given = {
        "id": "ep_1",
        "url": "https://hooks.acme.dev/in",
        "subscriptions": (Subscription(events=("#",)),),
        "secrets": (Secret(id="sec_1", value=SECRET, created_at=0.0),),
        **fields,
    }
    return Endpoint(**given)  # type: ignore[arg-type]


def message(body: bytes | None = BODY, **fields: object) -> OutboundMessage:
    """A message."""
    given = {
        "id": "msg_o24sc5dlfh5h2ymbkkjywnftgc", "key": "stripe.x", "event_id": "evt_1", "source": "/stripe", "type": "com.stripe.x",
        "accepted_at": 0.0, "body": body, **fields,
    }  # fmt: skip
    return OutboundMessage(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "content_type"),
    [
        (Format.JSON, "application/json; charset=utf-8"),
        (Format.CLOUDEVENTS, "application/cloudevents+json; charset=utf-8"),
    ],
)
def test_the_fields_are_those_of_the_contract(wanted: Format, content_type: str) -> None:
    """The body is the event itself, in both formats."""
    request = RequestMaker(endpoint(format=wanted)).make(message(), NOW)

    assert request.url == "https://hooks.acme.dev/in"
    assert request.body == BODY
    assert request.headers == {
        "content-type": content_type,
        "user-agent": f"webhook-gateway/{__version__}",
        "webhook-id": "msg_o24sc5dlfh5h2ymbkkjywnftgc",
        "webhook-timestamp": "1795251502",
        "webhook-signature": request.headers["webhook-signature"],
    }


def test_every_attempt_is_signed_anew_with_the_same_body() -> None:
    """The id stays, the timestamp and the signature change."""
    maker = RequestMaker(endpoint())
    first, second = maker.make(message(), NOW), maker.make(message(), NOW + 5)

    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_the_trace_and_the_owners_fields_are_added() -> None:
    """The trace only if it is known."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    maker = RequestMaker(endpoint(headers={"Authorization": "Bearer x"}, timeout=7.0))
    request = maker.make(message(traceparent=trace), NOW)

    assert request.headers["traceparent"] == trace
    assert request.headers["Authorization"] == "Bearer x"
    assert request.timeout == 7.0


def test_an_original_has_nothing_of_the_standard() -> None:
    """It is the provider's request, with our name as its program's."""
    maker = RequestMaker(endpoint(format=Format.ORIGINAL))
    request = maker.make(message(), NOW)

    assert request.body == b'{"a":1}'
    assert {name.lower() for name in request.headers} == {"content-type", "stripe-signature", "user-agent"}


@pytest.mark.parametrize("wanted", list(Format))
def test_without_a_valid_secret_nothing_is_sent(wanted: Format) -> None:
    """Whatever the format is."""
    old = Secret(id="sec_1", value=SECRET, created_at=0.0, expires_at=NOW)
    for secrets in ((), (old,)):
        maker = RequestMaker(endpoint(format=wanted, secrets=secrets))
        with pytest.raises(NoSuchFormat, match="no secret that is valid"):
            maker.make(message(), NOW)


def test_the_newest_secret_signs_an_original() -> None:
    """Providers sign with one; the old one is for receivers that have not changed yet, and cannot be used beside it."""
    new, old = make_secret(), SECRET
    secrets = tuple(Secret(id=f"sec_{value[-4:]}", value=value, created_at=0.0) for value in (new, old))
    maker = RequestMaker(endpoint(format=Format.ORIGINAL, secrets=secrets, sign_as="standard_webhooks"))
    request = maker.make(message(), NOW)

    headers = dict(request.headers)
    assert headers["webhook-signature"] == standardwebhooks.Webhook(new).sign(
        headers["webhook-id"], _moment(headers), request.body.decode()
    )


def _moment(headers: dict[str, str]) -> datetime:
    return datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)


def test_a_forgotten_body_is_not_sent() -> None:
    """The event had to go."""
    with pytest.raises(NoSuchFormat, match="was forgotten"):
        RequestMaker(endpoint()).make(message(None), NOW)


@pytest.mark.parametrize("kind", list(SignatureKind))
async def test_it_arrives_as_it_was_made(kind: SignatureKind) -> None:
    """Over the wire, with the fields that HTTP needs besides."""
    with Receiver() as receiver:
        maker = RequestMaker(endpoint(url=receiver.url, signature=kind, private_key=bytes(range(32))))
        made = maker.make(message(), NOW)
        async with sending(loopback_rules(receiver.port)) as client:
            await client.send(made)

    (arrived,) = receiver.requests
    assert arrived.body == BODY
    assert arrived.headers == {
        **{name.lower(): value for name, value in made.headers.items()},
        "host": f"127.0.0.1:{receiver.port}",
        "content-length": str(len(BODY)),
    }
