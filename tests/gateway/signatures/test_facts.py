"""Signatures that senders have published, against descriptions in the grammar; see vectors.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import parameters_of

VECTORS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "vectors.yaml").read_text("utf-8"))
each = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def adapter_of(vector: dict[str, Any]) -> Adapter:
    """What a vector is described by."""
    keys = {key: vector[key] for key in ("signature", "batch", "content") if key in vector}
    return Adapter("hmac", AdapterSpec.model_validate(keys))


def request_of(vector: dict[str, Any]) -> RawRequest:
    """What came."""
    url = vector.get("url", "https://hooks.example.com/in")
    path, _, query = ("/" + url.split("/", 3)[-1]).partition("?")
    fields = [(name.encode(), value.encode()) for name, value in vector.get("headers", {}).items()]
    return RawRequest(
        body=vector["body"].encode(), headers=Headers(fields), path=path, query=query.encode(), url=url
    )


def fault(vector: dict[str, Any], secret: str | None = None) -> str | None:
    """Why a vector is refused; None when it is not."""
    bound = adapter_of(vector).bind([secret or vector["secret"]])
    try:
        bound.verify(request_of(vector), vector.get("now", 0))
    except SignatureRejected as rejection:
        return rejection.fault
    return None


@each
def test_what_a_sender_published_is_accepted(vector: dict[str, Any]) -> None:
    """With its own secret, at the moment when it was sent."""
    assert fault(vector) is None


@each
def test_its_adapter_accepts_it(vector: dict[str, Any]) -> None:
    """As it stands in the registry."""
    for name in vector["adapters"]:
        adapter = registry.load(name)
        bound = adapter.bind([vector["secret"]], parameters_of(adapter))
        assert bound.verify(request_of(vector), vector.get("now", 0)).secret_slot == 0


@each
def test_with_another_secret_it_is_refused(vector: dict[str, Any]) -> None:
    """One in which a character differs."""
    secret = vector["secret"]
    assert fault(vector, secret[:-1] + ("0" if secret[-1] != "0" else "1")) == "signature_mismatch"


@each
def test_changed_where_it_is_signed_it_is_refused(vector: dict[str, Any]) -> None:
    """Each of the changes that the vector lists, wherever it applies."""
    text = json.dumps({key: vector[key] for key in ("body", "url", "headers") if key in vector})
    for change in vector["spoiled"]:
        ((old, new),) = change.items()
        assert old in text
        assert fault(vector | json.loads(text.replace(old, new))) == "signature_mismatch"


@each
def test_late_it_is_refused(vector: dict[str, Any]) -> None:
    """Where the moment is signed."""
    if "now" in vector:
        assert fault(vector | {"now": vector["now"] + 3600}) == "timestamp_too_old"
        assert fault(vector | {"now": vector["now"] - 3600}) == "timestamp_in_future"


@each
def test_we_sign_as_the_sender_does(vector: dict[str, Any]) -> None:
    """What we make of the same request verifies, and carries the same signature where there is but one way to write it."""
    adapter = adapter_of(vector)
    request = request_of(vector)
    signed = adapter.scheme.sign(request, vector["secret"], vector.get("now", 0))
    added = {name.lower(): value for name, value in signed.headers.items()}
    again = vector | {
        "headers": {**vector.get("headers", {}), **added},
        "body": signed.body.decode(),
        "url": f"{request.url.partition('?')[0]}?{signed.query.decode()}" if signed.query else request.url,
    }
    assert fault(again) is None


def test_a_batch_is_refused_for_one_bad_item() -> None:
    """Wherever it stands; and a batch of none proves nothing."""
    adyen = next(vector for vector in VECTORS if vector["name"] == "adyen")
    good = json.loads(adyen["body"])["notificationItems"][0]
    bad = json.loads(adyen["body"].replace("1130", "1131"))["notificationItems"][0]
    unsigned = {"NotificationRequestItem": {"pspReference": "1"}}
    for items, expected in [
        ([good, good], None),
        ([good, bad], "signature_mismatch"),
        ([bad, good], "signature_mismatch"),
        ([good, good, unsigned], "signature_missing"),
        ([good, None], "signature_missing"),
        ([], "signature_missing"),
    ]:
        assert fault(adyen | {"body": json.dumps({"notificationItems": items})}) == expected
