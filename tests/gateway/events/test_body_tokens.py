"""Bodies that are signed tokens, with the event among their claims."""

import base64

import pytest

from gateway.adapters.spec import DeliverySpec
from gateway.errors import MalformedJson
from gateway.events.body import Reader
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

READER = Reader(DeliverySpec(content={"text/plain": "jwt"}))
HEADERS = Headers([(b"content-type", b"text/plain")])


def token(claims: bytes) -> bytes:
    """A token with these claims; its signature was checked before it is read."""
    return b"e30.%b.c2ln" % base64.urlsafe_b64encode(claims).rstrip(b"=")


def test_the_claims_are_the_data_as_they_came() -> None:
    """Byte for byte; JSON within a text is left to whoever looks for something in it."""
    claims = b'{ "data": "{\\"eventType\\": \\"order.paid\\"}", "note": "{no JSON", "iat": 1736942400 }'
    content = READER.read(HEADERS, token(claims))
    assert content.data == claims
    assert content.media_type is None
    assert content.payload == {
        "data": '{"eventType": "order.paid"}',
        "note": "{no JSON",
        "iat": 1736942400,
    }


@pytest.mark.parametrize("body", [b"", b"no token", b"e30.A.c2ln"])
def test_what_is_no_token_is_refused(body: bytes) -> None:
    """The scheme sees to that as a rule, but a configuration may combine others."""
    with pytest.raises((MalformedRequest, MalformedJson)):
        READER.read(HEADERS, body)


def test_broken_claims_are_refused() -> None:
    """As broken JSON is anywhere."""
    with pytest.raises(MalformedJson):
        READER.read(HEADERS, token(b"{"))
