"""Published test vectors of signatures with private keys, and of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.adapters import registry
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.qsh import canonical_request, query_string_hash

VECTORS = yaml.safe_load((Path(__file__).parent / "vectors_asymmetric.yaml").read_text("utf-8"))


def as_request(vector: dict[str, Any], body: bytes, headers: dict[str, str]) -> RawRequest:
    """What came."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return RawRequest(body=body, headers=Headers(fields), url=vector.get("url", ""))


def verify(vector: dict[str, Any], body: bytes, headers: dict[str, str]) -> int:
    """The slot that the scheme of a vector finds for a request."""
    scheme = AdapterSpec.model_validate({"signature": vector["signature"]}).scheme()
    return scheme.bind([vector["secret"]]).verify(as_request(vector, body, headers), vector["now"])


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_published_signature_is_accepted_as_it_is(vector: dict[str, Any]) -> None:
    """By the scheme as it is described there, and by the adapter; body, headers and key are those that were published."""
    assert verify(vector, vector["body"].encode(), vector["headers"]) == 0
    request = as_request(vector, vector["body"].encode(), vector["headers"])
    for name in vector["adapters"]:
        assert registry.load(name).bind([vector["secret"]]).verify(request, vector["now"]).secret_slot == 0


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_published_signature_is_refused_for_another_body(vector: dict[str, Any]) -> None:
    """One byte more."""
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        verify(vector, vector["body"].encode() + b" ", vector["headers"])


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_published_signature_is_refused_when_a_character_of_a_header_differs(
    vector: dict[str, Any],
) -> None:
    """In the middle of the signature, or of the timestamp beside it."""
    for name, value in vector["headers"].items():
        middle = len(value) // 2
        other = "1" if value[middle] != "1" else "2"
        with pytest.raises(SignatureRejected):
            verify(
                vector,
                vector["body"].encode(),
                vector["headers"] | {name: value[:middle] + other + value[middle + 1 :]},
            )


# https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/
def test_the_digest_of_a_request_is_atlassians() -> None:
    """The vectors of their own libraries."""
    assert (
        query_string_hash("GET", "https://api.bitbucket.org/test?param=value")
        == "be16910858a41fd19ea5c1b4e9decca9a784d1024cb00b2158defe2f29dc86dd"
    )
    assert (
        canonical_request(
            "GET",
            "https://acme.example/path/to/service/?zee_last=param&repeated=parameter+2&first=param&repeated=parameter%201",
        )
        == "GET&/path/to/service&first=param&repeated=parameter%201,parameter%202&zee_last=param"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://acme.example", "POST&/&"),
        ("https://acme.example/?jwt=x", "POST&/&"),
        ("https://acme.example/a&b/?c=d%26e&c=%2C&~=*", "POST&/a%26b&c=%2C,d%26e&~=%2A"),
        ("http://[/hook?a=", "POST&/hook&a="),
        ("", "POST&/&"),
    ],
)
def test_any_address_has_a_digest(url: str, expected: str) -> None:
    """Also one with a host that is none, as a stranger may send it."""
    assert canonical_request("POST", url) == expected
