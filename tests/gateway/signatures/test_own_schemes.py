"""Peculiarities of the schemes that are written in Python, and of tokens.

The signatures here are made by hand, from what the senders' pages say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.secrets import SecretFormatError

NOW = 1_790_000_000
SECRET = "a shared secret"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def fault(
    signature: dict[str, object],
    headers: dict[str, str],
    body: bytes = b"",
    url: str = "https://example.com/in",
    secret: str = SECRET,
) -> str | None:
    """Why a request is refused; None when it is not."""
    adapter = Adapter("hmac", AdapterSpec.model_validate({"signature": signature}))
    path, _, query = ("/" + url.split("/", 3)[-1]).partition("?")
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    request = RawRequest(body=body, headers=Headers(fields), path=path, query=query.encode(), url=url)
    try:
        adapter.bind([secret]).verify(request, NOW)
    except SignatureRejected as rejection:
        return rejection.fault
    return None


def mac(message: str, algorithm: str = "sha256", key: bytes = SECRET.encode()) -> bytes:
    """An HMAC."""
    return hmac.digest(key, message.encode(), algorithm)


# Twilio


@pytest.mark.parametrize(
    ("settings", "algorithm", "expected"),
    [
        (None, "sha1", None),
        ("key=k1", "sha1", None),
        ("key=k1,algorithm=HMAC_SHA1", "sha1", None),
        ("key=k1, algorithm=HMAC_SHA256", "sha256", None),
        ("key=k1,algorithm=HMAC_SHA256", "sha1", "signature_malformed"),
        (None, "sha256", "signature_malformed"),
        ("algorithm=none", "sha1", "signature_malformed"),
        ("algorithm=HMAC_MD5", "md5", "signature_malformed"),
        ("", "sha1", "signature_malformed"),
    ],
)
def test_twilio_names_its_digest(settings: str | None, algorithm: str, expected: str | None) -> None:
    """One of two, and no other."""
    headers = {
        "X-Twilio-Signature": base64.b64encode(mac("https://example.com/ina1", algorithm)).decode()
    } | FORM
    if settings is not None:
        headers["X-Twilio-Webhooks-Signature-Settings"] = settings
    assert fault({"scheme": "twilio"}, headers, b"a=1") == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/in", "signature_malformed"),
        ("https://example.com/in?bodySHA256=", "signature_mismatch"),
        ("https://example.com/in?bodySHA256=" + hashlib.sha256(b"{} ").hexdigest(), "signature_mismatch"),
        ("https://example.com/in?bodySHA256=" + hashlib.sha256(b"{}").hexdigest(), None),
        ("https://example.com/in?bodySHA256=" + hashlib.sha256(b"{}").hexdigest().upper(), None),
        (
            f"https://example.com/in?bodySHA256={hashlib.sha256(b'{}').hexdigest()}&bodySHA256=00",
            "signature_ambiguous",
        ),
        ("example.com/in", "signature_malformed"),
        ("https://example.com:99999999/in", "signature_malformed"),
    ],
)
def test_twilio_signs_other_bodies_by_their_digest(url: str, expected: str | None) -> None:
    """Without it, and with another, the body is not proven although the address is."""
    headers = {
        "X-Twilio-Signature": base64.b64encode(mac(url, "sha1")).decode(),
        "content-type": "application/json",
    }
    assert fault({"scheme": "twilio"}, headers, b"{}", url) == expected


# Plivo


def test_plivo_may_show_several_signatures() -> None:
    """One of them is enough; the parameters are sorted, whatever the order in the address."""
    good = base64.b64encode(mac("https://example.com/in?a=1&b=2.c3.nonce")).decode()
    headers = {"X-Plivo-Signature-V3": f"AAAA, {good}", "X-Plivo-Signature-V3-Nonce": "nonce"} | FORM
    for url in ("https://example.com/in?a=1&b=2", "https://example.com/in?b=2&a=1"):
        assert fault({"scheme": "plivo"}, headers, b"c=3", url) is None
    assert fault({"scheme": "plivo"}, headers, b"c=4", url) == "signature_mismatch"
    many = headers | {"X-Plivo-Signature-V3": ",".join([good] * 6)}
    assert fault({"scheme": "plivo"}, many, b"c=3", url) == "too_many_signatures"


# Mercado Pago


def mercado_pago(manifest: str, url: str, request_id: str | None, moment: str = str(NOW)) -> str | None:
    """The verdict on a signature of this manifest."""
    headers = {"x-signature": f"ts={moment},v1={mac(manifest).hex()}"}
    if request_id is not None:
        headers["x-request-id"] = request_id
    return fault({"scheme": "mercado_pago"}, headers, b"{}", url)


def test_mercado_pago_leaves_out_what_is_absent() -> None:
    """And nothing that is there can pass for another part."""
    plain, with_id = "https://example.com/in", "https://example.com/in?data.id=AB1"
    assert mercado_pago(f"id:ab1;request-id:r-1;ts:{NOW};", with_id, "r-1") is None
    assert mercado_pago(f"id:AB1;request-id:r-1;ts:{NOW};", with_id, "r-1") is None
    assert mercado_pago(f"id:aB1;request-id:r-1;ts:{NOW};", with_id, "r-1") == "signature_mismatch"
    assert mercado_pago(f"request-id:r-1;ts:{NOW};", plain, "r-1") is None
    assert mercado_pago(f"id:ab1;ts:{NOW};", with_id, None) is None
    assert mercado_pago(f"id:ab1;request-id:r-1;ts:{NOW}000;", with_id, "r-1", f"{NOW}000") is None
    joined = "https://example.com/in?data.id=ab1;request-id:r-1"
    assert mercado_pago(f"id:ab1;request-id:r-1;ts:{NOW};", joined, None) == "signature_malformed"
    assert mercado_pago(f"id:ab1;request-id:r-1;ts:{NOW};", with_id, None) == "signature_mismatch"
    assert mercado_pago(f"id:;ts:{NOW};", f"{plain}?data.id=", None) == "signed_header_missing"
    assert mercado_pago(f"ts:{NOW};", f"{with_id}&data.id=AB1", None) == "signature_ambiguous"


# Contentful


def contentful(names: str, extra: dict[str, str], signed: str | None = None, path: str = "/in") -> str | None:
    """The verdict on a signature of these headers."""
    headers = {"x-contentful-signed-headers": names, "x-contentful-timestamp": f"{NOW}000"} | extra
    listed = ";".join(f"{name}:{headers.get(name, '')}" for name in sorted(names.split(",")))
    message = "\n".join(["POST", path if signed is None else signed, listed, "{}"])
    headers["x-contentful-signature"] = mac(message).hex()
    return fault({"scheme": "contentful"}, headers, b"{}", f"https://example.com{path}")


def test_contentful_lists_what_it_signs() -> None:
    """The list and the moment have to be in it; the query is escaped twice, and is not cut."""
    own = "x-contentful-signed-headers,x-contentful-timestamp"
    assert contentful(own, {}) is None
    assert contentful(f"{own},x-other", {"x-other": "1"}) is None
    assert contentful(f"{own},x-other", {}) == "signed_header_missing"
    assert contentful("x-contentful-timestamp", {}) == "signature_malformed"
    assert contentful("x-contentful-signed-headers,x-other", {"x-other": "1"}) == "signature_malformed"
    assert contentful(",".join([own, *(f"x-{n}" for n in range(40))]), {}) == "signature_malformed"
    assert contentful(own, {}, "/in?a%253D1", "/in?a=1") is None
    assert contentful(own, {}, "/in?a%253D1", "/in?a=1?b=2") == "signature_malformed"


# Coinbase


def test_coinbase_binds_the_headers_that_it_lists() -> None:
    """Those that are absent count as empty, those that stand there twice are refused."""
    message = f"{NOW}.x-event-id x-absent.e1..{{}}"
    good = f"t={NOW},v0=00,h=x-event-id x-absent,v1={mac(message).hex()}"
    spec: dict[str, object] = {"scheme": "coinbase_cdp"}
    assert fault(spec, {"X-Hook0-Signature": good, "X-Event-Id": "e1"}, b"{}") is None
    assert fault(spec, {"X-Hook0-Signature": good, "X-Event-Id": "e2"}, b"{}") == "signature_mismatch"
    twice = {"X-Hook0-Signature": good, "X-Event-Id": "e1", "x-event-id": "e1"}
    assert fault(spec, twice, b"{}") == "signature_ambiguous"
    for value, expected in [
        (good.replace("h=", "x="), "signature_malformed"),
        (good + f",t={NOW}", "signature_ambiguous"),
        (good.replace(f"t={NOW}", "t=now"), "timestamp_malformed"),
        (good.replace("h=x-event-id", "h=" + "x " * 40), "signature_malformed"),
    ]:
        assert fault(spec, {"X-Hook0-Signature": value, "X-Event-Id": "e1"}, b"{}") == expected


# Braintree


@pytest.mark.parametrize(
    ("signed", "shown", "expected"),
    [
        ("PG5v\n", "PG5v%0A", None),
        ("PG5v\n", "PG5v", None),
        ("PG5v", "PG5v%0A", "signature_mismatch"),
        ("PG5v", "PG5x", "signature_mismatch"),
        ("PG5v!", "PG5v%21", "signature_malformed"),
        ("20f9f8ed05f77439fe955c977e4c8a53", "20f9f8ed05f77439fe955c977e4c8a53", "signature_malformed"),
        ("20f9f8ed05f77439fe95", "20f9f8ed05f77439fe95", "signature_malformed"),
    ],
)
def test_braintree_signs_a_payload_that_is_no_challenge(
    signed: str, shown: str, expected: str | None
) -> None:
    """With the line break at its end or without; and its answer to a challenge is no proof of anything."""
    digest = mac(signed, "sha1", hashlib.sha1(SECRET.encode()).digest()).hex()
    body = f"bt_signature=other%7C00%26key%7C{digest}&bt_payload={shown}"
    assert fault({"scheme": "braintree"}, FORM, body.encode()) == expected


# Tokens


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("Bearer a shared secret", None),
        ("bearer a shared secret", None),
        ("BEARER a shared secret", None),
        ("Bearer  a shared secret", "signature_mismatch"),
        ("Bearer A shared secret", "signature_mismatch"),
        ("Bearer a shared secre", "signature_mismatch"),
        ("Bearer a shared secret ", "signature_mismatch"),
        ("Bearer ", "signature_mismatch"),
        ("Basic a shared secret", "signature_mismatch"),
        ("a shared secret", "signature_mismatch"),
        ("", "signature_missing"),
    ],
)
def test_a_token_is_the_whole_of_it(shown: str, expected: str | None) -> None:
    """The word before it has no case, the token has."""
    spec: dict[str, object] = {"scheme": "token", "header": "Authorization", "prefix": "Bearer "}
    assert fault(spec, {"Authorization": shown}) == expected


def test_basic_is_a_user_and_a_password() -> None:
    """In the one spelling of base64; either may be empty, the colon may not be missing."""
    for pair in ("user:pass", "user:", ":pass", "user:pa:ss", "üser:pass"):
        shown = "Basic " + base64.b64encode(pair.encode()).decode()
        assert fault({"scheme": "basic"}, {"Authorization": shown}, secret=pair) is None
        assert fault({"scheme": "basic"}, {"Authorization": shown.rstrip("=") + "!"}, secret=pair) is not None
        assert fault({"scheme": "basic"}, {"Authorization": shown}, secret=pair + "x") is not None
    for pair in ("user", ":", ""):
        with pytest.raises(SecretFormatError):
            fault({"scheme": "basic"}, {}, secret=pair)
