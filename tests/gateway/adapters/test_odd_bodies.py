"""Senders whose signature is in an unusual part of the body, or covers one."""

from __future__ import annotations

import base64
import hmac
import json
from urllib.parse import urlencode

import pytest

from gateway.adapters import registry
from gateway.events.body import Reader
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
MULTIPART = b"multipart/form-data; boundary=xyz"

MAILGUN_KEY = "TEST_WEBHOOK_SIGNING_KEY"
MAILGUN = {
    "timestamp": "1534108637",
    "token": "651869375b9df3c98fc15c4889b102119add1235c38fc92824",
    "signature": "2a75affe24846ead9e37e614a5e7643a04abf4d5b49b34d224ede9af23a00ccc",
}
"""Signed with that key in the tests of django-anymail, whose sender is Mailgun."""

MAILGUN_NOW = 1534108640.0


def multipart(fields: dict[str, str]) -> bytes:
    """A form of the other kind, with a file in it."""
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in fields.items()
    ]
    file = '--xyz\r\nContent-Disposition: form-data; name="a"; filename="a.bin"\r\n\r\n\x00\r\n--xyz--\r\n'
    return "".join([*parts, file]).encode()


def verify(adapter: str, secret: str, content_type: bytes, body: bytes, now: float, *headers: bytes) -> int:
    """The slot of the secret that signed a request; ``headers`` are names and values by turns."""
    fields = [(b"content-type", content_type), *zip(headers[::2], headers[1::2], strict=True)]
    request = RawRequest(body=body, headers=Headers(fields))
    return registry.load(adapter).bind([secret]).verify(request, now).secret_slot


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART, multipart(MAILGUN | {"event": "opened"})),
        (JSON, json.dumps({"signature": MAILGUN, "event-data": {"event": "opened"}}).encode()),
        (FORM, urlencode(MAILGUN | {"event": "opened"}).encode()),
    ],
)
def test_mailgun_signs_in_an_object_or_among_the_fields_of_a_form(content_type: bytes, body: bytes) -> None:
    """The first that is there counts, and either is as old as it says."""
    assert verify("mailgun", MAILGUN_KEY, content_type, body, MAILGUN_NOW) == 0
    with pytest.raises(SignatureRejected, match="timestamp_too_old"):
        verify("mailgun", MAILGUN_KEY, content_type, body, MAILGUN_NOW + 86400)
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        verify("mailgun", MAILGUN_KEY, content_type, body.replace(b"651869", b"651868"), MAILGUN_NOW)


def test_gitea_signs_the_json_whatever_carries_it() -> None:
    """The body, or what the field of a form holds once it is decoded; never the form itself."""
    text = b'{"ref": "refs/heads/main"}'
    form = urlencode({"payload": text}).encode()
    signed = [b"x-gitea-signature", hmac.digest(b"secret", text, "sha256").hex().encode()]
    for content_type, body in [
        (JSON, text),
        (FORM, form),
        (FORM, b"payload=" + b"".join(b"%%%02x" % byte for byte in text)),
    ]:
        assert verify("gitea", "secret", content_type, body, 0.0, *signed) == 0
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        verify("gitea", "secret", FORM, form + b"+", 0.0, *signed)
    with pytest.raises(SignatureRejected, match="signed_header_missing"):
        verify("gitea", "secret", FORM, b"other=1", 0.0, *signed)
    whole = [b"x-gitea-signature", hmac.digest(b"secret", form, "sha256").hex().encode()]
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        verify("gitea", "secret", FORM, form, 0.0, *whole)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        (base64.encodebytes(b"<notification><kind>check</kind></notification>"), "check"),
        (base64.b64encode(b"<notification/>"), None),
    ],
)
def test_braintree_tells_its_event_in_base64(field: bytes, kind: str | None) -> None:
    """What is found there stands beside the fields that hold it, for whoever reads the event."""
    spec = registry.load("braintree").spec
    fields = {"bt_signature": "public_key|00", "bt_payload": field.decode()}
    content = Reader(spec).read(Headers([(b"content-type", FORM)]), urlencode(fields).encode())
    assert json.loads(content.data) == content.payload
    assert content.payload == fields | {"notification": {"kind": kind} if kind else ""}


@pytest.mark.parametrize(
    "body", [b"bt_payload=%", b"bt_payload=PG5v", b"bt_signature=a", b"bt_payload=&bt_payload="]
)
def test_what_is_no_notification_of_braintree_has_no_type(body: bytes) -> None:
    """Nothing is raised, and its fields are kept."""
    content = Reader(registry.load("braintree").spec).read(Headers([(b"content-type", FORM)]), body)
    assert "notification" not in content.payload


def test_dropbox_sign_signs_in_the_json_of_a_field() -> None:
    """Time and type of the event, and nothing else that is in it; the form is one with files."""
    event = {"event_time": "1736942400", "event_type": "signature_request_sent"}
    digest = hmac.digest(b"api key", b"1736942400signature_request_sent", "sha256").hex()
    body = multipart({"json": json.dumps({"event": event | {"event_hash": digest}})})
    assert verify("dropbox_sign", "api key", MULTIPART, body, 0.0) == 0
    for spoiled in (
        body.replace(b"_sent", b"_gone"),
        body.replace(b"--xyz--", b""),
        body.replace(b"json", b"jsom"),
    ):
        with pytest.raises(SignatureRejected):
            verify("dropbox_sign", "api key", MULTIPART, spoiled, 0.0)
