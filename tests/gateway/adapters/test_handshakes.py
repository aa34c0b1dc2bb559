"""Each sender's handshake gets the expected reply, and no reply helps a stranger."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.handshake_replies import HandshakeReply, HandshakeResponder
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import HandshakeRefused, SignatureRejected
from gateway.signatures.request import PROOF, Headers, RawRequest, VerifiedRequest

SECRET = "the secret of the sender, 32 chars"
TOKEN = "the token that it was told"
URL = "https://hooks.example.com/webhooks/acme"
PARAMETERS = {"public_key": "integration_public_key"}
HMAC = {"header": "X-Signature"}


def bind(name: str, secrets: tuple[str, ...] = (SECRET,)) -> HandshakeResponder:
    """Return the responder of a sender."""
    spec = registry.load(name).spec
    return HandshakeResponder(spec.handshakes, spec.signature.template, secrets, PARAMETERS, TOKEN)


def shake_hands(
    name: str,
    method: str,
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    body: object = b"",
    secrets: tuple[str, ...] = (SECRET,),
    slot: int = 0,
) -> HandshakeReply | None:
    """Return the reply to a request, before or after it is verified, whichever comes first."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    text = urlencode(query or {})
    request = RawRequest(
        method=method,
        body=content,
        query=text.encode(),
        headers=Headers(
            [(key.lower().encode(), value.encode("latin-1")) for key, value in (headers or {}).items()]
        ),
        url=f"{URL}?{text}" if text else URL,
    )
    responder = bind(name, secrets)
    reply = responder.answer_unsigned(request)
    if reply is None and not isinstance(body, bytes):
        reply = responder.answer_signed(VerifiedRequest(request, slot, proof=PROOF), body)
    return reply


def _hmac(text: str, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()


GRAPH = "Validation: Testing client application reachability for subscription Request-Id: 6b2d5a1c-0a4f"
HUB = {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "1158201444"}
SUBSCRIBE = (
    "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37fb687f5d51e6e2425f004a"
)
HOOK_SECRET = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
NOSNIFF = {"x-content-type-options": "nosniff"}
AS_TEXT = {"content-type": "text/plain"} | NOSNIFF
AS_JSON = {"content-type": "application/json"} | NOSNIFF


@pytest.mark.parametrize(
    ("name", "request_", "status", "fields", "body"),
    [
        ("slack", ("POST", {}, {}, {"type": "url_verification", "challenge": "3eZbrw1a"}), 200, AS_TEXT, "3eZbrw1a"),
        ("discord", ("POST", {}, {}, {"type": 1}), 200, AS_JSON, {"type": 1}),
        ("discord", ("POST", {}, {}, {"type": 0, "version": 1}), 204, {"content-type": "application/json"}, ""),
        ("okta", ("GET", {}, {"X-Okta-Verification-Challenge": "My-1"}), 200, AS_JSON, {"verification": "My-1"}),
        ("meta", ("GET", HUB), 200, AS_TEXT, "1158201444"),
        ("strava", ("GET", HUB), 200, AS_JSON, {"hub.challenge": "1158201444"}),
        ("fitbit", ("GET", {"verify": TOKEN}), 204, {}, ""),
        (
            "twitch",
            ("POST", {}, {"Twitch-Eventsub-Message-Type": "webhook_callback_verification"}, {"challenge": "pogchamp-1"}),
            200,
            AS_TEXT,
            "pogchamp-1",
        ),
        (
            "zoom",
            ("POST", {}, {}, {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}),
            200,
            AS_JSON,
            {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": _hmac("qgg8vlvZRS6UYooatFL8Aw").hex()},
        ),
        (
            "linkedin",
            ("GET", {"challengeCode": "890e4665-4dfe", "applicationId": "1"}),
            200,
            AS_JSON,
            {"challengeCode": "890e4665-4dfe", "challengeResponse": _hmac("890e4665-4dfe").hex()},
        ),
        (
            "ebay",
            ("GET", {"challenge_code": "71745723-d031"}),
            200,
            AS_JSON,
            {"challengeResponse": hashlib.sha256(f"71745723-d031{TOKEN}{URL}".encode()).hexdigest()},
        ),
        ("dropbox", ("GET", {"challenge": "EDtGu5x0"}), 200, AS_TEXT, "EDtGu5x0"),
        ("nylas", ("GET", {"challenge": "bc609b38-c81f"}), 200, AS_TEXT, "bc609b38-c81f"),
        (
            "dropbox_sign",
            ("POST", {}, {}, {"event": {"event_type": "callback_test"}}),
            200,
            AS_TEXT,
            "Hello API Event Received",
        ),
        (
            "microsoft_graph",
            ("POST", {"validationToken": GRAPH}, {"Content-Type": "text/plain; charset=utf-8"}),
            200,
            AS_TEXT,
            GRAPH,
        ),
        (
            "azure_event_grid",
            (
                "POST",
                {},
                {"aeg-event-type": "SubscriptionValidation"},
                [{"id": "1", "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}}],
            ),
            200,
            AS_JSON,
            {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
        ),
        (
            "cloudevents",
            ("OPTIONS", {}, {"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "120"}),
            200,
            {"webhook-allowed-origin": "eventemitter.example.com", "webhook-allowed-rate": "*", "allow": "OPTIONS, POST"},
            "",
        ),
        ("asana", ("POST", {}, {"X-Hook-Secret": HOOK_SECRET}, b"{}"), 200, {"x-hook-secret": HOOK_SECRET}, ""),
        ("notion", ("POST", {}, {}, b'{"verification_token":"secret_tMrlL1qK5vuQAh1b6"}'), 200, {}, ""),
        ("monday", ("POST", {}, {}, b'{"challenge":"3eZbrw1aBm2rZg"}'), 200, AS_JSON, {"challenge": "3eZbrw1aBm2rZg"}),
        ("ringcentral", ("POST", {}, {"Validation-Token": "7d1c-4f"}), 200, {"validation-token": "7d1c-4f"}, ""),
        ("woocommerce", ("POST", {}, {}, b"webhook_id=12"), 200, {}, ""),
        ("daily_co", ("POST", {}, {}, b'{"test":"test"}'), 200, {}, ""),
        ("mandrill", ("HEAD",), 200, {}, ""),
        ("mandrill", ("POST", {}, {}, b"mandrill_events=%5B%5D"), 200, {}, ""),
        ("trello", ("HEAD",), 200, {}, ""),
        ("mailchimp", ("GET",), 200, {}, ""),
        ("xero", ("POST", {}, {}, {"events": [], "firstEventSequence": 0}), 200, {}, ""),
        ("aws_sns", ("POST", {}, {}, {"Type": "SubscriptionConfirmation", "SubscribeURL": SUBSCRIBE}), 200, {}, ""),
    ],
)  # fmt: skip
def test_a_handshake_is_answered_as_its_sender_expects(
    name: str, request_: tuple[Any, ...], status: int, fields: dict[str, str], body: object
) -> None:
    """Status, header and body, to the letter."""
    reply = shake_hands(name, *request_)

    assert reply is not None
    assert reply.status == status
    assert {key.decode(): value.decode().partition(";")[0] for key, value in reply.fields} == fields
    assert (json.loads(reply.body) if isinstance(body, dict) else reply.body.decode()) == body
    assert len(reply.fields) == len(fields)


def test_published_vectors_are_answered_as_published() -> None:
    """X and Braintree publish a challenge with its answer."""
    crc = "9b4507b3-9040-4669-9ca3-6b94edb50553"
    consumer = ("z3ZX4v7mAAUGykl3EcmkqbartmuW8VFOOzCloLx9Q45P0hLrFu",)
    by_x = shake_hands("x_twitter", "GET", {"crc_token": crc}, secrets=consumer)
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"
    by_braintree = shake_hands(
        "braintree", "GET", {"bt_challenge": challenge}, secrets=("integration_private_key",)
    )

    assert by_x is not None
    assert by_braintree is not None
    assert json.loads(by_x.body) == {"response_token": "sha256=Cytd4Sq+NvEcV3MMrXxWJGJx5A+y/lXzzU2Maartkx8="}
    assert by_braintree.body == b"integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"


def test_what_is_left_to_the_gateway_is_said() -> None:
    """An address to fetch, a secret to keep; the secret is not in what a log would print of it."""
    confirmed = shake_hands(
        "aws_sns", "POST", body={"Type": "SubscriptionConfirmation", "SubscribeURL": SUBSCRIBE}
    )
    told = shake_hands("asana", "POST", headers={"X-Hook-Secret": HOOK_SECRET})

    assert confirmed is not None
    assert told is not None
    assert (confirmed.confirm, confirmed.enrol) == (SUBSCRIBE, None)
    assert (told.confirm, told.enrol) == (None, HOOK_SECRET)
    assert f"enrol={HOOK_SECRET!r}" not in repr(told)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("slack", ("POST", {}, {}, {"type": "event_callback", "challenge": "x"})),
        ("discord", ("POST", {}, {}, {"type": 1, "event": {"type": "X"}})),
        ("monday", ("POST", {}, {}, b'{"challenge":"x","event":{"type":"create_item"}}')),
        ("woocommerce", ("POST", {}, {"X-WC-Webhook-Signature": "x"}, b"webhook_id=12")),
        ("notion", ("POST", {}, {}, b'{"verification_token":"' + b"x" * 2048 + b'"}')),
        ("daily_co", ("POST", {}, {}, b'{"test":"test"')),
        ("daily_co", ("POST", {}, {}, b"[]")),
        ("asana", ("POST", {}, {}, b"{}")),
        ("microsoft_graph", ("POST", {"token": "x"}, {}, b"{}")),
        ("xero", ("POST", {}, {}, {"events": [{}]})),
        ("azure_event_grid", ("POST", {}, {"aeg-event-type": "Notification"}, [])),
    ],
)
def test_a_delivery_is_no_handshake(name: str, request_: tuple[Any, ...]) -> None:
    """It goes the way of all deliveries."""
    assert shake_hands(name, *request_) is None


@pytest.mark.parametrize(
    ("name", "request_", "status", "fault"),
    [
        # echo: no page, no other line in the head, nothing outside of the pattern
        ("dropbox", ("GET", {"challenge": "<script>alert(1)</script>"}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": "a\r\nSet-Cookie: b=c"}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": "abc\n"}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": "a\x00b"}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": "é"}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": "١٢٣"}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": "x" * 513}), 401, "handshake_refused"),
        ("dropbox", ("GET", {"challenge": ""}), 401, "handshake_refused"),
        ("dropbox", ("GET", {}), 401, "handshake_refused"),
        ("ringcentral", ("POST", {}, {"Validation-Token": "a\r\nb"}), 401, "handshake_refused"),
        ("ringcentral", ("POST", {}, {"Validation-Token": "\xff"}), 401, "handshake_refused"),
        ("microsoft_graph", ("POST", {"validationToken": "<b>"}), 401, "handshake_refused"),
        ("slack", ("POST", {}, {}, {"type": "url_verification", "challenge": ["x"]}), 401, "handshake_refused"),
        ("slack", ("POST", {}, {}, {"type": "url_verification"}), 401, "handshake_refused"),
        # signing: nothing that could be a delivery
        (
            "zoom",
            ("POST", {}, {}, {"event": "endpoint.url_validation", "payload": {"plainToken": "v0:1736942400:1"}}),
            401,
            "handshake_refused",
        ),
        ("x_twitter", ("GET", {"crc_token": '{"for_user_id":"1"}'}), 401, "handshake_refused"),
        ("x_twitter", ("GET", {"crc_token": "[]"}), 401, "handshake_refused"),
        ("x_twitter", ("GET", {"crc_token": "1234567890"}), 401, "handshake_refused"),
        ("x_twitter", ("GET", {"crc_token": "-1.5e3"}), 401, "handshake_refused"),
        ("x_twitter", ("GET", {"crc_token": "true"}), 401, "handshake_refused"),
        ("x_twitter", ("GET", {"crc_token": "1" * 400}), 401, "handshake_refused"),
        ("x_twitter", ("GET", {"crc_token": "Infinity"}), 401, "handshake_refused"),
        ("linkedin", ("GET", {"applicationId": "1", "challengeCode": "hmacsha256=1"}), 401, "handshake_refused"),
        ("linkedin", ("GET", {"applicationId": "1"}), 401, "handshake_refused"),
        ("braintree", ("GET", {"bt_challenge": "20F9F8ED05F77439FE955C977E4C8A53"}), 401, "handshake_refused"),
        ("braintree", ("GET", {"bt_challenge": "20f9f8ed05f7743"}), 401, "handshake_refused"),
        ("braintree", ("GET", {"bt_challenge": "PD94bWwgdmVyc2lvbj0iMS4w"}), 401, "handshake_refused"),
        ("braintree", ("GET", {"bt_challenge": "20f9f8ed05f77439fe955c977e4c8a53\n"}), 401, "handshake_refused"),
        # tokens
        ("meta", ("GET", HUB | {"hub.verify_token": TOKEN + "x"}), 403, "handshake_token_mismatch"),
        ("meta", ("GET", HUB | {"hub.verify_token": ""}), 403, "handshake_token_mismatch"),
        ("meta", ("GET", {"hub.mode": "subscribe", "hub.challenge": "1"}), 403, "handshake_token_mismatch"),
        ("meta", ("GET", HUB | {"hub.challenge": "<b>"}), 403, "handshake_refused"),
        ("meta", ("GET", HUB | {"hub.mode": "denied"}), 401, "handshake_refused"),
        ("strava", ("GET", HUB | {"hub.verify_token": "é"}), 401, "handshake_token_mismatch"),
        ("fitbit", ("GET", {"verify": "incorrect"}), 404, "handshake_token_mismatch"),
        # secrets that are told
        ("asana", ("POST", {}, {"X-Hook-Secret": "short"}), 401, "handshake_refused"),
        ("notion", ("POST", {}, {}, b'{"verification_token":"secret with blanks in it"}'), 401, "handshake_refused"),
        # addresses
        *(
            ("aws_sns", ("POST", {}, {}, {"Type": "SubscriptionConfirmation", "SubscribeURL": url}), 401, "handshake_refused")
            for url in (
                None,
                "",
                "http://sns.eu-west-1.amazonaws.com/",
                "https://sns.eu-west-1.amazonaws.com",
                "https://sns.eu-west-1.amazonaws.com:8443/",
                "https://sns.eu-west-1.amazonaws.com@evil.example/",
                "https://sns.eu-west-1.amazonaws.com.evil.example/",
                "https://sns.a.b.amazonaws.com/",
                "https://sns.evil.example/.amazonaws.com/",
                "https://evil.example/?https://sns.eu-west-1.amazonaws.com/",
                "https://sns.eu-west-1.amazonaws.com\\@evil.example/",
                "https://sns.eu-west-1.amazonaws.com/\r\nX: y",
                "https://sns.eu-west-1.amazonaws.com/" + "x" * 2001,
                "HTTPS://sns.eu-west-1.amazonaws.com/",
                "https://169.254.169.254/",
            )
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(name: str, request_: tuple[Any, ...], status: int, fault: str) -> None:
    """As an unproven sender is, or with the status that the sender demands."""
    with pytest.raises(HandshakeRefused) as refused:
        shake_hands(name, *request_)

    assert (refused.value.status, refused.value.reason) == (status, "invalid_signature")
    assert refused.value.fault == refused.value.detail == fault


def _zoom(challenge: str) -> HandshakeReply | None:
    payload = {"event": "endpoint.url_validation", "payload": {"plainToken": challenge}}
    return shake_hands("zoom", "POST", body=payload)


SIGNERS: dict[str, tuple[Callable[[str], HandshakeReply | None], Callable[[bytes], bytes]]] = {
    "zoom": (_zoom, lambda body: b"v0:1736942400:" + body),
    "x_twitter": (lambda text: shake_hands("x_twitter", "GET", {"crc_token": text}), lambda body: body),
    "linkedin": (
        lambda text: shake_hands("linkedin", "GET", {"challengeCode": text, "applicationId": "1"}),
        lambda body: b"hmacsha256=" + body,
    ),
}
"""How a text is given to be signed, and what is signed of a delivery."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def test_all_that_sign_challenges_are_looked_at() -> None:
    """With the secret of their deliveries; Braintree's are no JSON, and its challenges are of another form than they."""
    signing = {
        name
        for name in registry.names()
        if name != registry.GENERIC
        for each in registry.load(name).spec.handshakes
        if each.sign and each.sign.construction == "hmac"
    }
    assert signing == {*SIGNERS, "braintree"}


@pytest.mark.parametrize("name", SIGNERS)
@given(payload=JSON)
def test_no_delivery_is_signed_as_a_challenge(name: str, payload: Any) -> None:
    """Whatever JSON a delivery is, neither it nor what is signed of it gets a signature."""
    give, signed = SIGNERS[name]
    body = json.dumps(payload, separators=(",", ":")).encode()

    with pytest.raises(HandshakeRefused):
        give(signed(body).decode())


ECHOES: dict[str, tuple[Callable[[str], HandshakeReply | None], str]] = {
    name: (give, registry.load(name).spec.handshakes[0].pattern)
    for name, give in {
        "dropbox": lambda text: shake_hands("dropbox", "GET", {"challenge": text}),
        "microsoft_graph": lambda text: shake_hands("microsoft_graph", "POST", {"validationToken": text}),
        "monday": lambda text: shake_hands("monday", "POST", body=orjson.dumps({"challenge": text})),
        "zoom": _zoom,
    }.items()
}


@pytest.mark.parametrize("name", ECHOES)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=600)
    | st.from_regex(r"[A-Za-z0-9:<>\"' -]{1,60}")
)
def test_nothing_outside_of_the_pattern_is_echoed(name: str, text: str) -> None:
    """Either the whole of a text fits, or nothing of it comes back."""
    give, pattern = ECHOES[name]
    try:
        reply = give(text)
    except HandshakeRefused:
        return

    assert re.fullmatch(pattern, text)
    assert reply is not None
    assert text.encode() in reply.body


def test_a_challenge_is_signed_with_the_secret_that_proved_the_sender() -> None:
    """While the secret is rotated, the sender knows only one of the two."""
    payload = {"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}
    reply = shake_hands("zoom", "POST", body=payload, secrets=("the other secret, long", SECRET), slot=1)

    assert reply is not None
    assert json.loads(reply.body)["encryptedToken"] == _hmac("abc").hex()


def test_without_a_secret_nobody_is_proven() -> None:
    """While the sender is to tell it, every delivery is refused, whatever is signed with."""
    request = RawRequest(
        body=b"{}",
        headers=Headers([(b"x-hook-signature", hmac.new(b"", b"{}", "sha256").hexdigest().encode())]),
    )
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        registry.load("asana").bind(()).verify(request, 0.0)


def test_an_adapter_without_handshakes_has_no_responder() -> None:
    """So that it costs nothing to ask."""
    adapter = Adapter("acme", AdapterSpec.model_validate({"signature": HMAC}))
    assert adapter.bind([SECRET]).handshake_responder is None


@pytest.mark.parametrize(
    ("handshake", "problem"),
    [
        ({"method": "DELETE"}, "'GET', 'HEAD', 'OPTIONS' or 'POST'"),
        ({"method": "GET", "is_signed": True}, "needs method: POST"),
        ({"method": "GET", "respond": {"body": "{challenge}"}}, "needs challenge"),
        ({"method": "GET", "respond": {"json": {"a": ["{challenge}"]}}}, "needs challenge"),
        ({"method": "GET", "respond": {"body": "{signature}"}}, "exactly when sign"),
        ({"method": "GET", "sign": {"signed": "x"}}, "exactly when sign"),
        ({"method": "GET", "respond": {"body": "{secret}"}}, "unknown field"),
        ({"method": "GET", "respond": {"body": "{token}"}}, "unknown field"),
        ({"method": "GET", "respond": {"json": {"a": "{body:/b}"}}}, "unknown field"),
        ({"method": "GET", "respond": {"body": "a", "json": {}}}, "either body or json"),
        ({"method": "GET", "respond": {"content_type": "text/html"}}, "pattern"),
        ({"method": "GET", "respond": {"headers": {"X: a": "b"}}}, "pattern"),
        ({"method": "GET", "respond": {"headers": {"X": "a\r\nb"}}}, "pattern"),
        ({"method": "GET", "pattern": "["}, "not a regular expression"),
        ({"method": "GET", "refuse": 500}, "401, 403 or 404"),
        (
            {"method": "POST", "confirm": "body:/url", "confirm_hosts": ["a.example"]},
            "is_signed and confirm_hosts",
        ),
        ({"method": "POST", "confirm": "body:/url", "is_signed": True}, "is_signed and confirm_hosts"),
    ],
)
def test_a_description_that_cannot_be_answered_is_refused(handshake: dict[str, Any], problem: str) -> None:
    """When it is read."""
    with pytest.raises(ValidationError, match=problem):
        AdapterSpec.model_validate({"signature": HMAC, "handshakes": [handshake]})
