"""Senders whose keys are fetched: what is asked for, what is learned of the answer, and what is never believed."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import registry
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import Verifier
from gateway.signatures.schemes.ebay import EbayScheme
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeptKey, KeyNeeded, KeyRequest
from gateway.signatures.schemes.key_cache import (
    FRESHNESS,
    LONGEST_MEMORY,
    LONGEST_TRUST,
    MAX_KEYS,
    MAX_UNPROVEN_KEYS,
    REFETCH_INTERVAL,
)
from gateway.signatures.schemes.paddle_classic import serialize
from gateway.signatures.schemes.paypal import PaypalScheme
from gateway.signatures.schemes.plaid import PlaidScheme
from gateway.signatures.schemes.sns import SnsScheme
from gateway.signatures.secrets import SecretFormatError
from support.certificates import ec_key, issue, public_pem, rsa_key

NOW = 1_736_942_400
DAY = 86_400.0

Request = Callable[..., RawRequest]


def as_request(body: bytes, headers: dict[str, str] | None = None) -> RawRequest:
    """A POST."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return RawRequest(body=body, headers=Headers(fields))


def fault(verifier: Verifier, request: RawRequest, now: float = NOW) -> str:
    """Why a request is refused."""
    with pytest.raises(SignatureRejected) as caught:
        verifier.verify(request, now)
    return caught.value.fault


def needed(verifier: Verifier, request: RawRequest, now: float = NOW) -> KeyRequest:
    """What is to be fetched before a request can be judged."""
    with pytest.raises(KeyNeeded) as caught:
        verifier.verify(request, now)
    return caught.value.request


def rsa_sign(message: bytes, digest: hashes.HashAlgorithm, key: Any = None) -> str:
    """A signature in base64."""
    return base64.b64encode((key or rsa_key()).sign(message, padding.PKCS1v15(), digest)).decode()


# Amazon SNS

TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
SNS = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{SNS}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
SIGNING = issue("sns.amazonaws.com", issue("Amazon", is_authority=True, key=rsa_key("ca")), key=rsa_key())
NOTIFICATION = {
    "Type": "Notification",
    "MessageId": "19ba9823-d7f2-53c1-860e-cb10e0d13dfc",
    "TopicArn": TOPIC,
    "Subject": "An order",
    "Message": '{"id": 1,\n "note": "é"}',
    "Timestamp": "2025-01-15T12:00:00.000Z",
    "SigningCertURL": CERTIFICATE,
    "UnsubscribeURL": f"{SNS}/?Action=Unsubscribe",
}
CONFIRMATION = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
    "Token": "2336412f37",
    "TopicArn": TOPIC,
    "Message": "You have chosen to subscribe.",
    "SubscribeURL": f"{SNS}/?Action=ConfirmSubscription",
    "Timestamp": "2025-01-15T12:00:00.000Z",
    "SigningCertURL": CERTIFICATE,
}


def sns(message: dict[str, Any], version: str = "2", key: Any = None, **changes: Any) -> RawRequest:
    """A message of SNS, signed as its documentation says, and changed thereafter."""
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()
    digest: hashes.HashAlgorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signed = message | {"SignatureVersion": version, "Signature": rsa_sign(text, digest, key)} | changes
    return as_request(
        json.dumps({name: value for name, value in signed.items() if value is not ...}).encode(),
        {"content-type": "text/plain; charset=UTF-8"},
    )


def sns_verifier(*, is_learned: bool = True) -> Verifier:
    """A verifier for the topic."""
    verifier = SnsScheme().bind([], {"topic_arn": TOPIC})
    if is_learned:
        verifier.learn(KeyRequest(CERTIFICATE), SIGNING.pem, NOW)
    return verifier


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "message",
    [
        NOTIFICATION,
        {name: value for name, value in NOTIFICATION.items() if name != "Subject"},
        CONFIRMATION,
        CONFIRMATION | {"Type": "UnsubscribeConfirmation"},
    ],
    ids=["notification", "without a subject", "subscription", "end of it"],
)
def test_a_message_of_sns_is_accepted_once_its_certificate_is_known(
    message: dict[str, Any], version: str
) -> None:
    """All three types, in both versions of the signature."""
    verifier = sns_verifier(is_learned=False)
    request = sns(message, version)
    key_request = needed(verifier, request)
    assert key_request == KeyRequest(CERTIFICATE)

    verifier.learn(key_request, SIGNING.pem, NOW)
    assert verifier.verify(request, NOW) == 0


@pytest.mark.parametrize("message", [NOTIFICATION, CONFIRMATION], ids=["notification", "confirmation"])
@pytest.mark.parametrize(
    "name", ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "Type"]
)
def test_every_signed_field_of_sns_is_signed(message: dict[str, Any], name: str) -> None:
    """Another text, none, and what is no text."""
    if name not in message:
        return
    verifier = sns_verifier()
    changes: list[Any] = ["x", "", ..., None, 7, ["x"]]
    for change in changes:
        changed: dict[str, Any] = {name: change}
        assert fault(verifier, sns(message, **changed)).startswith("signature_")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Signature": ...}, "signature_missing"),
        ({"Signature": ""}, "signature_malformed"),
        ({"Signature": "EXAMPLE-SIGNATURE=="}, "signature_malformed"),
        ({"Signature": 7}, "signature_malformed"),
        ({"Signature": "AAAA"}, "signature_mismatch"),
        ({"SignatureVersion": "1"}, "signature_mismatch"),
        ({"SignatureVersion": "3"}, "signature_malformed"),
        ({"SignatureVersion": 2}, "signature_malformed"),
        ({"SigningCertURL": ...}, "signature_malformed"),
        ({"TopicArn": TOPIC + "2"}, "claim_mismatch"),
        ({"Type": "Other"}, "signature_malformed"),
        ({"Type": []}, "signature_malformed"),
        ({"Message": "\ud800"}, "signature_malformed"),
    ],
)
def test_a_message_of_sns_that_is_not_whole_is_refused(changes: dict[str, Any], expected: str) -> None:
    """The lone surrogate is no JSON that anything else could come of."""
    assert fault(sns_verifier(), sns(NOTIFICATION, **changes)) == expected


def test_another_topic_proves_nothing() -> None:
    """Everybody can have SNS sign messages for a topic of their own."""
    topic = TOPIC.replace("123456789012", "999999999999")
    assert fault(sns_verifier(), sns(NOTIFICATION | {"TopicArn": topic})) == "claim_mismatch"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"raw", b'"x"', b"[" * 5000, b'{"id": 1}'])
def test_raw_message_delivery_is_refused(body: bytes) -> None:
    """It has no signature."""
    request = as_request(body, {"x-amz-sns-rawdelivery": "true"})
    assert fault(sns_verifier(), request) == "signature_missing"


PATH = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.eu-west-1.amazonaws.com{PATH}",
        f"HTTPS://sns.eu-west-1.amazonaws.com{PATH}",
        f"https://sns.us-east-1.amazonaws.com{PATH}",
        f"https://sns.eu-west-1.amazonaws.com.evil.example{PATH}",
        f"https://evil.example/sns.eu-west-1.amazonaws.com{PATH}",
        f"https://sns.eu-west-1.amazonaws.com@evil.example{PATH}",
        f"https://sns.eu-west-1.amazonaws.com:443@evil.example{PATH}",
        f"https://user@sns.eu-west-1.amazonaws.com{PATH}",
        f"https://sns.eu-west-1.amazonaws.com:8443{PATH}",
        f"https://sns.eu-west-1.amazonaws.com:443{PATH}",
        f"https://sns.eu-west-1.amazonaws.com.{PATH}",
        f"https://sns.eu-west-1.amazonaws.com.cn{PATH}",
        f"https://sns.eu-west-1.amаzonaws.com{PATH}",
        f"https://sns.eu-west-1.amazonaws。com{PATH}",
        f"https://sns.eu-west-1.s3.amazonaws.com{PATH}",
        f"https://sns-eu-west-1.amazonaws.com{PATH}",
        f"https://bucket.s3.amazonaws.com{PATH}",
        f"{SNS}/{PATH}",
        f"{SNS}/bucket{PATH}",
        f"{SNS}/../x{PATH}",
        f"{SNS}/SimpleNotificationService-.pem",
        f"{SNS}/SimpleNotificationService-{'0' * 31}.pem",
        f"{SNS}/SimpleNotificationService-{'0' * 33}.pem",
        f"{SNS}/SimpleNotificationService-{'A' * 32}.pem",
        f"{SNS}/SimpleNotificationService-{'g' * 32}.pem",
        f"{SNS}/SimpleNotificationService-01/../x.pem",
        f"{SNS}/SimpleNotificationService-01.pem.txt",
        f"{SNS}/SimpleNotificationService-01.pem?x=.pem",
        f"{SNS}/SimpleNotificationService-01.pem#.pem",
        f"{SNS}/SimpleNotificationService-01.pem\n",
        f"{SNS}/SimpleNotificationService-01%2epem",
        f"{SNS}/?Action=x&y=.pem",
        f"{SNS}\\@evil.example{PATH}",
        f" {CERTIFICATE}",
        "",
    ],
)
def test_a_certificate_of_sns_is_only_where_those_of_the_topic_are(url: str) -> None:
    """Nothing is fetched from anywhere else, and what is known does not help."""
    assert fault(sns_verifier(), sns(NOTIFICATION, SigningCertURL=url)) == "unknown_key"


@pytest.mark.parametrize(
    ("topic", "origin"),
    [
        ("arn:aws-cn:sns:cn-north-1:123456789012:x", "https://sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:x.fifo", "https://sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_every_partition_has_its_certificates(topic: str, origin: str) -> None:
    """China's are in another domain."""
    verifier = SnsScheme().bind([], {"topic_arn": topic})
    request = sns(NOTIFICATION | {"TopicArn": topic}, SigningCertURL=origin + PATH)
    assert needed(verifier, request).url == origin + PATH


def test_a_certificate_that_is_not_valid_proves_nothing() -> None:
    """Not before its time, nor after it, nor a day after it was fetched."""
    verifier = sns_verifier(is_learned=False)
    for days in (-2, 31):
        with pytest.raises(ValueError, match="not valid"):
            verifier.learn(KeyRequest(CERTIFICATE), SIGNING.pem, NOW + days * DAY)
    needed(verifier, sns(NOTIFICATION))

    ending = issue("sns.amazonaws.com", SIGNING, key=rsa_key(), days=0.5)
    verifier.learn(KeyRequest(CERTIFICATE), ending.pem, NOW)
    assert verifier.verify(sns(NOTIFICATION), NOW + DAY / 2 - 1) == 0
    assert fault(verifier, sns(NOTIFICATION), NOW + DAY / 2 + 1) == "unknown_key"
    assert needed(verifier, sns(NOTIFICATION), NOW + LONGEST_TRUST).url == CERTIFICATE


@pytest.mark.parametrize(
    "content", [b"", b"<html>", public_pem(rsa_key()).encode(), SIGNING.pem[:300], b"\xff" * 100]
)
def test_what_is_no_certificate_is_not_learned(content: bytes) -> None:
    """Whatever the address answers."""
    with pytest.raises(ValueError, match=r"."):
        sns_verifier().learn(KeyRequest(CERTIFICATE), content, NOW)


# PayPal

PARAMETERS = {"webhook_id": "4JH86294D6297924G"}
PAYPAL_CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
PAYPAL_BODY = b'{"id": "WH-1", "event_type": "PAYMENT.SALE.COMPLETED"}'
ROOT = issue("Root", is_authority=True, key=rsa_key("root"))
MIDDLE = issue("Middle", ROOT, is_authority=True, key=rsa_key("middle"))
NAME = "messageverificationcerts.paypal.com"
PAYPAL = issue(NAME, MIDDLE, key=rsa_key(), hosts=[NAME])
CHAIN = PAYPAL.pem + MIDDLE.pem


def paypal(key: Any = None, **changes: str) -> RawRequest:
    """A notification of PayPal, signed as its library says, and changed thereafter."""
    headers = {
        "id": "dfb3be50-fd74-11e4-8bf3-77339302725b",
        "time": "2025-01-15T12:00:00Z",
        "url": PAYPAL_CERTIFICATE,
        "algo": "SHA256withRSA",
    }
    text = f"{headers['id']}|{headers['time']}|4JH86294D6297924G|{zlib.crc32(PAYPAL_BODY)}"
    headers |= {"sig": rsa_sign(text.encode(), hashes.SHA256(), key)} | changes
    names = {
        "id": "PAYPAL-TRANSMISSION-ID",
        "time": "PAYPAL-TRANSMISSION-TIME",
        "sig": "PAYPAL-TRANSMISSION-SIG",
        "url": "PAYPAL-CERT-URL",
        "algo": "PAYPAL-AUTH-ALGO",
    }
    body = headers.pop("body", PAYPAL_BODY.decode()).encode()
    return as_request(body, {names[name]: value for name, value in headers.items()})


def paypal_verifier(*, is_learned: bool = True, **parameters: str) -> Verifier:
    """A verifier for the webhook."""
    verifier = PaypalScheme([ROOT.certificate]).bind([], PARAMETERS | parameters)
    if is_learned:
        verifier.learn(KeyRequest(PAYPAL_CERTIFICATE), CHAIN, NOW)
    return verifier


def test_a_notification_of_paypal_is_accepted_once_its_certificate_is_known() -> None:
    """With the root that issued it trusted."""
    verifier = paypal_verifier(is_learned=False)
    assert needed(verifier, paypal()) == KeyRequest(PAYPAL_CERTIFICATE)

    verifier.learn(KeyRequest(PAYPAL_CERTIFICATE), CHAIN, NOW)
    assert verifier.verify(paypal(), NOW) == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": "x"}, "signature_mismatch"),
        ({"time": "2025-01-15T12:00:01Z"}, "signature_mismatch"),
        ({"body": "{}"}, "signature_mismatch"),
        ({"sig": "AAAA"}, "signature_mismatch"),
        ({"sig": "!"}, "signature_malformed"),
        ({"sig": ""}, "signature_missing"),
        ({"id": ""}, "signed_header_missing"),
        ({"time": ""}, "timestamp_missing"),
        ({"url": ""}, "signed_header_missing"),
        ({"algo": "SHA1withRSA"}, "signature_malformed"),
        ({"algo": ""}, "signed_header_missing"),
    ],
)
def test_a_notification_of_paypal_that_differs_is_refused(changes: dict[str, str], expected: str) -> None:
    """In each of its parts."""
    assert fault(paypal_verifier(), paypal(**changes)) == expected


def test_another_webhook_proves_nothing() -> None:
    """Its id is signed."""
    assert fault(paypal_verifier(webhook_id="other"), paypal()) == "signature_mismatch"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:444/v1/notifications/certs/CERT-1",
        "https://api.pаypal.com/v1/notifications/certs/CERT-1".encode().decode("latin-1"),
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.paypal.com/v1/notifications/certs/CERT-",
        "https://api.paypal.com/v1/notifications/certs/CERT-1/2",
        "https://api.paypal.com/v1/notifications/certs/CERT-" + "1" * 65,
        "https://api.paypal.com/v1/notifications/certs/OTHER-1",
        "https://api.paypal.com/v1/notifications/certs/../../CERT-1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x",
        "https://api.paypal.com/other/CERT-1",
    ],
)
def test_a_certificate_of_paypal_is_only_where_its_certificates_are(url: str) -> None:
    """The live ones, unless the sandbox is configured."""
    assert fault(paypal_verifier(), paypal(url=url)) == "unknown_key"


def test_the_sandbox_of_paypal_has_its_own_certificates() -> None:
    """At another host, and of another name."""
    verifier = paypal_verifier(is_learned=False, environment="sandbox")
    url = PAYPAL_CERTIFICATE.replace("api.", "api.sandbox.")
    assert fault(verifier, paypal()) == "unknown_key"
    assert needed(verifier, paypal(url=url)).url == url
    assert needed(verifier, paypal(url=url.replace("api.", "api-m."))).url == url.replace("api.", "api-m.")

    with pytest.raises(ValueError, match="is not one of"):
        verifier.learn(KeyRequest(url), CHAIN, NOW)
    sandbox = issue(NAME.replace(".paypal", ".sandbox.paypal"), MIDDLE, key=rsa_key())
    verifier.learn(KeyRequest(url), sandbox.pem + MIDDLE.pem, NOW)
    assert verifier.verify(paypal(url=url), NOW) == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (PAYPAL.pem, "no trusted authority"),
        (issue(NAME, key=rsa_key()).pem, "no trusted authority"),
        (issue(NAME, key=rsa_key(), is_authority=True).pem, "no trusted authority"),
        (
            issue(NAME, issue("Root", is_authority=True, key=rsa_key("forger")), key=rsa_key()).pem,
            "no trusted authority",
        ),
        (issue(NAME, PAYPAL, key=rsa_key("x")).pem + CHAIN, "no trusted authority"),
        (issue("www.paypal.com", MIDDLE, key=rsa_key()).pem + MIDDLE.pem, "is not one of"),
        (issue(NAME + ".evil.example", MIDDLE, key=rsa_key()).pem + MIDDLE.pem, "is not one of"),
        (issue(NAME, MIDDLE, key=rsa_key(), days=-0.5).pem + MIDDLE.pem, "not valid now"),
        (issue(NAME, MIDDLE, key=rsa_key(), at=NOW + 9 * DAY).pem + MIDDLE.pem, "not valid now"),
        (b"", "."),
    ],
    ids=[
        "without its issuer",
        "self-signed",
        "self-signed authority",
        "of a root of that name",
        "issued by no authority",
        "of another name",
        "of a longer name",
        "expired",
        "not yet valid",
        "nothing",
    ],
)
def test_a_certificate_that_paypal_would_not_have_is_not_learned(content: bytes, problem: str) -> None:
    """Though it comes from where PayPal's are."""
    verifier = paypal_verifier(is_learned=False)
    with pytest.raises(ValueError, match=problem):
        verifier.learn(KeyRequest(PAYPAL_CERTIFICATE), content, NOW)
    assert needed(verifier, paypal()).url == PAYPAL_CERTIFICATE


def test_the_usual_roots_do_not_trust_ours() -> None:
    """The authorities that everybody trusts are there, and have not issued a certificate of this test."""
    verifier = PaypalScheme().bind([], PARAMETERS)
    with pytest.raises(ValueError, match="no trusted authority"):
        verifier.learn(KeyRequest(PAYPAL_CERTIFICATE), CHAIN + ROOT.pem, NOW)


# Plaid

CREDENTIALS = "client-1:a secret of the client"
PLAID_BODY = b'{\n  "webhook_type": "TRANSACTIONS"\n}'
PLAID_KEY = KeyRequest(
    "https://production.plaid.com/webhook_verification_key/get",
    "key-1",
    b'{"client_id":"client-1","secret":"a secret of the client","key_id":"key-1"}',
)


def plaid(key: Any = None, *, key_id: str = "key-1", algorithm: str = "ES256", **changes: Any) -> RawRequest:
    """A webhook of Plaid."""
    claims = {"iat": NOW, "request_body_sha256": hashlib.sha256(PLAID_BODY).hexdigest()} | changes
    token = jwt.encode(claims, key or ec_key(), algorithm, {"kid": key_id})
    return as_request(PLAID_BODY, {"Plaid-Verification": token})


def plaid_answer(**members: Any) -> bytes:
    """What Plaid answers to who asks for a key."""
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key().public_key()))
    jwk |= {"alg": "ES256", "kid": "key-1", "use": "sig", "created_at": 1, "expired_at": None}
    return json.dumps({"key": jwk | members, "request_id": "x"}).encode()


def test_a_webhook_of_plaid_is_accepted_once_its_key_is_known() -> None:
    """The key is asked for by its name, with the credentials, which nobody sees."""
    verifier = PlaidScheme().bind([CREDENTIALS])
    assert needed(verifier, plaid()) == PLAID_KEY
    assert "secret" not in repr(PLAID_KEY)
    assert "secret" not in str(KeyNeeded(PLAID_KEY))

    verifier.learn(PLAID_KEY, plaid_answer(), NOW)
    assert verifier.verify(plaid(), NOW) == 0
    assert needed(verifier, plaid(key_id="key-2")).key_id == "key-2"


def test_the_sandbox_of_plaid_has_its_own_keys() -> None:
    """At another host."""
    verifier = PlaidScheme().bind([CREDENTIALS], {"environment": "sandbox"})
    assert needed(verifier, plaid()).url == "https://sandbox.plaid.com/webhook_verification_key/get"


def test_a_webhook_of_plaid_that_differs_is_refused() -> None:
    """Signed by another, with a digest of another body, too old, with another algorithm, or with no name of a key."""
    verifier = PlaidScheme().bind([CREDENTIALS])
    verifier.learn(PLAID_KEY, plaid_answer(), NOW)

    assert fault(verifier, plaid(ec_key("forger"))) == "signature_mismatch"
    assert fault(verifier, plaid(request_body_sha256="0" * 64)) == "signature_mismatch"
    assert fault(verifier, plaid(iat=NOW - 361)) == "timestamp_too_old"
    assert fault(verifier, plaid(iat=None)) == "timestamp_missing"
    assert fault(verifier, plaid(rsa_key(), algorithm="RS256")) == "signature_malformed"
    for key_id in ("", "../x", 'a"b', "x" * 129):
        assert fault(verifier, plaid(key_id=key_id)) == "unknown_key"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"key": []}',
        plaid_answer(kid="other"),
        plaid_answer(expired_at=NOW),
        plaid_answer(kty="oct"),
        plaid_answer(x="AAAA"),
        plaid_answer(x=7),
    ],
)
def test_an_answer_of_plaid_without_the_key_is_not_learned(content: bytes) -> None:
    """Nor is a key that was withdrawn."""
    with pytest.raises(ValueError, match=r"."):
        PlaidScheme().bind([CREDENTIALS]).learn(PLAID_KEY, content, NOW)


# eBay

EBAY_BODY = b'{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION"}}'
EBAY_KEY_ID = "9936261a-7d7b-4621-a0f1-964c2d5c1234"
EBAY_PEM = public_pem(ec_key()).replace("\n", "")
EBAY_ANSWER = json.dumps({"key": EBAY_PEM, "algorithm": "ECDSA", "digest": "SHA1"}).encode()
EBAY_TOKEN = json.dumps({"access_token": "v^1.1#x", "expires_in": 7200, "token_type": "x"}).encode()


def ebay(key: Any = None, **changes: Any) -> RawRequest:
    """A notification of eBay."""
    signature = (key or ec_key()).sign(EBAY_BODY, ec.ECDSA(hashes.SHA1()))
    header = {
        "alg": "ecdsa",
        "kid": EBAY_KEY_ID,
        "signature": base64.b64encode(signature).decode(),
        "digest": "SHA1",
    }
    text = base64.b64encode(json.dumps(header | changes).encode()).decode()
    return as_request(EBAY_BODY, {"X-EBAY-SIGNATURE": text})


def test_a_notification_of_ebay_is_accepted_once_its_key_is_known() -> None:
    """The credentials lead to a token, and the token to the key."""
    verifier = EbayScheme().bind(["client-1:secret-1"])
    first = needed(verifier, ebay())
    assert first.url == "https://api.ebay.com/identity/v1/oauth2/token"
    assert first.body == b"grant_type=client_credentials&scope=https%3A%2F%2Fapi.ebay.com%2Foauth%2Fapi_scope"
    assert dict(first.headers) == {
        "authorization": "Basic Y2xpZW50LTE6c2VjcmV0LTE=",
        "content-type": "application/x-www-form-urlencoded",
    }

    verifier.learn(first, EBAY_TOKEN, NOW)
    second = needed(verifier, ebay())
    assert second == KeyRequest(
        f"https://api.ebay.com/commerce/notification/v1/public_key/{EBAY_KEY_ID}",
        EBAY_KEY_ID,
        headers=(("authorization", "Bearer v^1.1#x"),),
    )

    verifier.learn(second, EBAY_ANSWER, NOW)
    assert verifier.verify(ebay(), NOW + DAY - 1) == 0
    assert needed(verifier, ebay(kid="other"), NOW + 301) == first  # the token is used for minutes


def test_the_sandbox_of_ebay_has_its_own_keys() -> None:
    """At another host."""
    verifier = EbayScheme().bind(["client-1:secret-1"], {"environment": "sandbox"})
    assert needed(verifier, ebay()).url == "https://api.sandbox.ebay.com/identity/v1/oauth2/token"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"signature": "AAAA"}, "signature_mismatch"),
        ({"signature": "é"}, "signature_malformed"),
        ({"signature": ""}, "signature_malformed"),
        ({"signature": None}, "signature_malformed"),
        ({"kid": 7}, "signature_malformed"),
        ({"kid": ""}, "unknown_key"),
        ({"kid": "../../identity"}, "unknown_key"),
        ({"kid": "a?b"}, "unknown_key"),
        ({"digest": "SHA256"}, None),
    ],
)
def test_a_header_of_ebay_that_differs_is_refused(changes: dict[str, Any], expected: str | None) -> None:
    """What it says of the algorithm is not asked."""
    verifier = EbayScheme().bind(["client-1:secret-1"])
    verifier.learn(KeyRequest("", EBAY_KEY_ID), EBAY_ANSWER, NOW)
    if expected is None:
        assert verifier.verify(ebay(**changes), NOW) == 0
    else:
        assert fault(verifier, ebay(**changes)) == expected
    assert fault(verifier, ebay(ec_key("forger"))) == "signature_mismatch"


def test_a_header_of_ebay_that_is_none_is_refused() -> None:
    """Without an exception of any parser."""
    verifier = EbayScheme().bind(["client-1:secret-1"])
    for text in ("", "!", "AAAA", "W10=", base64.b64encode(b"[" * 3000).decode(), "é"):
        assert fault(verifier, as_request(b"", {"X-EBAY-SIGNATURE": text})).startswith("signature_")


@pytest.mark.parametrize(
    ("is_token", "content"),
    [
        (True, b"[]"),
        (True, b"{}"),
        (True, b'{"access_token": "a\\r\\nb", "expires_in": 7200}'),
        (True, b'{"access_token": "x", "expires_in": "7200"}'),
        (False, b"[]"),
        (False, b'{"key": 7}'),
        (False, b'{"key": "x"}'),
        (False, b'{"key": "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----"}'),
    ],
)
def test_an_answer_of_ebay_that_holds_nothing_is_not_learned(content: bytes, *, is_token: bool) -> None:
    """Neither as a token, nor as a key."""
    verifier = EbayScheme().bind(["client-1:secret-1"])
    request = needed(verifier, ebay()) if is_token else KeyRequest("https://api.ebay.com/x", EBAY_KEY_ID)
    with pytest.raises(ValueError, match=r"."):
        verifier.learn(request, content, NOW)


@pytest.mark.parametrize("secret", ["no colon", ":x", "x:", "a:b\n", "ä:b"])
@pytest.mark.parametrize("scheme", [PlaidScheme(), EbayScheme()])
def test_credentials_that_are_none_are_refused(scheme: Any, secret: str) -> None:
    """When they are configured."""
    with pytest.raises(SecretFormatError):
        scheme.bind([secret])


# Paddle Classic

FIELDS = {
    "p_signature": "",
    "alert_name": "subscription_created",
    "email": "é@example.com",
    "note": "",
    "Zoo": "a;b",
}
SERIALIZED = (
    'a:4:{s:3:"Zoo";s:3:"a;b";s:10:"alert_name";s:20:"subscription_created";'
    's:5:"email";s:14:"é@example.com";s:4:"note";s:0:"";}'
).encode()


def paddle(**changes: str) -> RawRequest:
    """An alert of Paddle Classic."""
    fields = FIELDS | {"p_signature": rsa_sign(SERIALIZED, hashes.SHA1())} | changes
    return as_request(urlencode({name: value for name, value in fields.items() if value != "-"}).encode())


def test_an_alert_of_paddle_is_signed_as_php_writes_an_array() -> None:
    """All fields but the signature, sorted by name, lengths in bytes."""
    fields = {name.encode(): value.encode() for name, value in FIELDS.items() if name != "p_signature"}
    assert serialize(fields) == SERIALIZED

    verifier = registry.load("paddle_classic").scheme.bind([public_pem(rsa_key("x")), public_pem(rsa_key())])
    assert verifier.verify(paddle(), NOW) == 1
    assert fault(verifier, paddle(p_signature="-")) == "signature_missing"
    assert fault(verifier, paddle(p_signature="!")) == "signature_malformed"
    for changes in ({"note": "x"}, {"more": ""}, {"email": "-"}, {"alert_name": "subscription_create"}):
        assert fault(verifier, paddle(**changes)) == "signature_mismatch"
    twice = RawRequest(body=paddle().body + b"&note=x", headers=Headers([]))
    assert fault(verifier, twice) == "signature_ambiguous"
    assert fault(verifier, as_request(b"&".join([b"a=1"] * 600))) == "signature_malformed"


# All of them

NAMES = ["aws_sns", "paypal", "plaid", "ebay", "google_pubsub", "paddle_classic"]
SAMPLES = {
    "aws_sns": json.dumps(NOTIFICATION).encode(),
    "paddle_classic": urlencode(FIELDS).encode(),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_key_may_be_configured_instead(name: str) -> None:
    """What the simulator sends is accepted with the key that was made with its own, and nothing is fetched."""
    adapter = registry.load(name)
    parameters = {"topic_arn": TOPIC, "webhook_id": "x", "audience": "us", "email": "a@example.com"}
    pair, other = adapter.spec.signature.make_secret(), adapter.spec.signature.make_secret()
    signed = adapter.scheme.sign(as_request(SAMPLES.get(name, b"{}")), pair.sender, NOW, parameters)
    request = as_request(signed.body, signed.headers)

    assert adapter.scheme.bind([other.receiver, pair.receiver], parameters).verify(request, NOW) == 1
    assert fault(adapter.scheme.bind([other.receiver], parameters), request) == "signature_mismatch"
    with pytest.raises(SecretFormatError):
        adapter.scheme.bind([pair.sender], parameters)


@pytest.mark.parametrize("name", NAMES)
@given(rubbish=st.binary(max_size=120))
def test_nothing_but_a_refusal_comes_of_rubbish(name: str, rubbish: bytes) -> None:
    """As the body and in every header that is read; and what is fetched is a key, or a ValueError."""
    adapter = registry.load(name)
    parameters = {"topic_arn": TOPIC, "webhook_id": "x", "audience": "us", "email": "a@example.com"}
    secrets = ["client-1:secret"] if name in {"plaid", "ebay"} else []
    secrets = [public_pem(rsa_key())] if name == "paddle_classic" else secrets
    verifier = adapter.scheme.bind(secrets, parameters)
    names = ["plaid-verification", "x-ebay-signature", "authorization", "paypal-transmission-sig"]
    fields = [(header.encode(), rubbish) for header in names]
    with pytest.raises((SignatureRejected, KeyNeeded)):
        verifier.verify(RawRequest(body=rubbish, headers=Headers(fields)), NOW)
    with pytest.raises(ValueError, match=r"."):
        verifier.learn(KeyRequest("https://example.com"), rubbish, NOW)


@settings(max_examples=300)
@given(st.integers(0, 700), st.integers(1, 255))
def test_a_spoiled_certificate_proves_nothing(place: int, change: int) -> None:
    """A byte of its DER is another."""
    lines = PAYPAL.pem.decode().strip().split("\n")
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[place % len(der)] ^= change
    pem = f"{lines[0]}\n{base64.b64encode(der).decode()}\n{lines[-1]}\n".encode()
    with suppress(ValueError):  # and nothing else
        sns_verifier(is_learned=False).learn(KeyRequest(CERTIFICATE), pem, NOW)
    with pytest.raises(ValueError, match=r"."):  # the signature of the authority does not match
        paypal_verifier(is_learned=False).learn(KeyRequest(PAYPAL_CERTIFICATE), pem + MIDDLE.pem, NOW)


# What is remembered


SIGNERS: dict[str, tuple[Callable[[], Verifier], Request, bytes]] = {
    "aws_sns": (lambda: sns_verifier(is_learned=False), lambda: sns(NOTIFICATION), SIGNING.pem),
    "paypal": (lambda: paypal_verifier(is_learned=False), paypal, CHAIN),
    "plaid": (lambda: PlaidScheme().bind([CREDENTIALS]), plaid, plaid_answer()),
    "ebay": (lambda: EbayScheme().bind(["client-1:secret-1"]), ebay, EBAY_ANSWER),
}
FETCHERS = list(SIGNERS)


def keys_of(verifier: Verifier) -> FetchedKeys:
    """The keys that a verifier fetches."""
    assert verifier.fetched is not None
    return verifier.fetched


def learn(name: str, verifier: Verifier, now: float = NOW) -> str:
    """Have a verifier learn its key; return what the key is called."""
    request = needed(verifier, SIGNERS[name][1](), now)
    if request.body is not None and not request.key_id:
        verifier.learn(request, EBAY_TOKEN, now)
        request = needed(verifier, SIGNERS[name][1](), now)
    verifier.learn(request, SIGNERS[name][2], now)
    return request.key_id or request.url


def proven(name: str, now: float = NOW) -> tuple[Verifier, str]:
    """A verifier whose key has verified a delivery, and what the key is called."""
    verifier = SIGNERS[name][0]()
    key = learn(name, verifier, now)
    assert verifier.verify(SIGNERS[name][1](), now) == 0
    return verifier, key


def other(key: str, number: int) -> str:
    """Another name of the same form."""
    return key[: -12 - len(".pem")] + f"{number:012x}" + (".pem" if key.endswith(".pem") else "0000")


@pytest.mark.parametrize("name", FETCHERS)
def test_a_key_that_was_good_before_is_told_from_one_that_anybody_can_name(name: str) -> None:
    """So that it is asked for whatever else is asked."""
    verifier, key = proven(name)
    keys = keys_of(verifier)
    later = NOW + LONGEST_TRUST
    if name != "ebay":  # which needs a token first
        assert needed(verifier, SIGNERS[name][1](), later).is_known
    else:
        verifier.learn(needed(verifier, ebay(), later), EBAY_TOKEN, later)
        assert needed(verifier, ebay(), later).is_known
    assert not keys.request(other(key, 1), later).is_known


@pytest.mark.parametrize("name", FETCHERS)
def test_a_key_that_verified_nothing_is_not_kept(name: str) -> None:
    """Whoever names it may be a stranger."""
    verifier = SIGNERS[name][0]()
    learn(name, verifier)
    keys = keys_of(verifier)
    assert keys.kept() == []
    assert keys.due(NOW + FRESHNESS) == []


@pytest.mark.parametrize("name", FETCHERS)
def test_a_key_is_due_long_before_it_ends(name: str) -> None:
    """Once a minute, while it is used on; and not too often when its trust has ended."""
    verifier, key = proven(name)
    keys, request = keys_of(verifier), SIGNERS[name][1]()
    assert keys.due(NOW + FRESHNESS - 1) == []
    for later in (FRESHNESS, FRESHNESS + REFETCH_INTERVAL):
        assert keys.due(NOW + later) == [key]
        assert keys.due(NOW + later + REFETCH_INTERVAL - 1) == []
        if name != "plaid":  # whose tokens last for minutes
            assert verifier.verify(request, NOW + later) == 0

    assert keys.due(NOW + LONGEST_TRUST) == [key]
    assert keys.due(NOW + LONGEST_TRUST + FRESHNESS - 1) == []
    assert keys.due(NOW + LONGEST_TRUST + FRESHNESS) == [key]
    assert keys.due(NOW + LONGEST_MEMORY + 1) == []
    assert keys.kept() == []


@pytest.mark.parametrize("name", FETCHERS)
def test_a_key_is_used_on_though_the_clock_goes_back(name: str) -> None:
    """It is of an age that nobody knows: it is renewed soon, and believed for no longer than that."""
    verifier, key = proven(name)
    keys = keys_of(verifier)
    earlier = NOW - 3600
    if name != "plaid":  # whose tokens tell when they were made
        assert verifier.verify(SIGNERS[name][1](), earlier) == 0
    assert keys.due(earlier) == [key]
    if name == "aws_sns":
        needed(verifier, sns(NOTIFICATION), earlier + LONGEST_TRUST - FRESHNESS)


@pytest.mark.parametrize("name", FETCHERS)
def test_kept_keys_are_as_good_as_fetched_ones(name: str) -> None:
    """For as long as they would have been; and kept again."""
    verifier, _ = proven(name)
    (kept,) = keys_of(verifier).kept()
    restored = SIGNERS[name][0]()
    keys_of(restored).restore(kept, NOW + 60)
    assert restored.verify(SIGNERS[name][1](), NOW + 60) == 0
    assert keys_of(restored).kept() == [kept]
    needed(restored, SIGNERS[name][1](), NOW + LONGEST_TRUST)

    keys_of(verifier).restore(
        kept._replace(content=b"", fetched_at=NOW - 1), NOW
    )  # an older one changes nothing
    assert verifier.verify(SIGNERS[name][1](), NOW) == 0


@pytest.mark.parametrize("name", [*FETCHERS, "google_pubsub"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"<html>", SIGNING.pem[:99], issue("x", key=rsa_key("x")).pem],
    ids=["empty", "list", "object", "page", "half a certificate", "another certificate"],
)
def test_kept_keys_are_checked_again(name: str, content: bytes) -> None:
    """Somebody could have written something else; a certificate of SNS is believed for where it comes from."""
    if name == "aws_sns" and content.startswith(b"-----BEGIN") and len(content) > 99:
        return
    adapter = registry.load(name)
    verifier = (
        SIGNERS[name][0]()
        if name in SIGNERS
        else adapter.scheme.bind([], {"audience": "us", "email": "a@example.com"})
    )
    key = learn(name, SIGNERS[name][0]()) if name in SIGNERS else keys_of(verifier).scope
    with pytest.raises(ValueError, match=r"."):
        keys_of(verifier).restore(KeptKey(key, content, NOW), NOW)
    assert keys_of(verifier).kept() == []


@pytest.mark.parametrize("name", FETCHERS)
@pytest.mark.parametrize("key", ["", "https://evil.example/x.pem", "../x", "x" * 200])
def test_kept_keys_have_names_of_the_sender(name: str, key: str) -> None:
    """A configuration that changed leads to others."""
    verifier = SIGNERS[name][0]()
    with pytest.raises(ValueError, match="name"):
        keys_of(verifier).restore(KeptKey(key, SIGNERS[name][2], NOW), NOW)


def test_a_kept_certificate_that_has_ended_is_not_used() -> None:
    """Nor one that is not valid yet."""
    for days in (-2, 31):
        with pytest.raises(ValueError, match="not valid"):
            keys_of(sns_verifier(is_learned=False)).restore(
                KeptKey(CERTIFICATE, SIGNING.pem, NOW), NOW + days * DAY
            )


def test_keys_that_strangers_name_take_the_place_of_none_that_is_used() -> None:
    """All of them exist, and are bounded by themselves."""
    verifier, _ = proven("aws_sns")
    for number in range(3 * MAX_KEYS):
        verifier.learn(KeyRequest(other(CERTIFICATE, number)), SIGNING.pem, NOW)

    assert verifier.verify(sns(NOTIFICATION), NOW) == 0
    fresh = range(3 * MAX_KEYS - MAX_UNPROVEN_KEYS, 3 * MAX_KEYS)
    assert verifier.verify(sns(NOTIFICATION, SigningCertURL=other(CERTIFICATE, fresh[0])), NOW) == 0
    assert needed(verifier, sns(NOTIFICATION, SigningCertURL=other(CERTIFICATE, fresh[0] - 1))).url


def test_the_keys_that_are_remembered_are_bounded() -> None:
    """Of those that have verified something, the ones that are used stay."""
    verifier, _ = proven("aws_sns")
    for number in range(MAX_KEYS + 5):
        url = other(CERTIFICATE, number)
        verifier.learn(KeyRequest(url), SIGNING.pem, NOW)
        assert verifier.verify(sns(NOTIFICATION, SigningCertURL=url), NOW) == 0
        assert verifier.verify(sns(NOTIFICATION), NOW) == 0

    kept = [key.name for key in keys_of(verifier).kept()]
    assert kept == [*(other(CERTIFICATE, number) for number in range(6, MAX_KEYS + 5)), CERTIFICATE]


def test_a_token_of_ebay_is_not_used_beyond_its_time_when_the_clock_goes_back() -> None:
    """Else it would be shown, in vain, for as long as the clock was ahead."""
    verifier = EbayScheme().bind(["client-1:secret-1"])
    first = needed(verifier, ebay())
    verifier.learn(first, EBAY_TOKEN, NOW + 7200)
    assert needed(verifier, ebay(), NOW) == first


def test_the_library_for_public_keys_is_loaded_by_who_has_one() -> None:
    """It takes 10 MB, which neither a token with a shared secret nor a key that is still to be fetched needs."""
    program = (
        "import sys; from gateway.adapters import registry\n"
        "registry.load('vonage').bind(['a secret that both sides share'])\n"
        "registry.load('plaid').bind(['client-1:secret'])\n"
        "registry.load('google_pubsub').bind([], {'audience': 'us', 'email': 'a@example.com'})\n"
        "assert 'cryptography' not in sys.modules\n"
        "registry.load('discord').bind(['00' * 32])\n"
        "assert 'cryptography' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
