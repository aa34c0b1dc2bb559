"""The header fields of an endpoint's owner: what they may not set, and what would be another request."""

from __future__ import annotations

import re

import pytest

from gateway.transport.custom_headers import NAME, header_problems


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-length", "Transfer-Encoding", "Connection", "Webhook-Id", "webhook-anything", "SVIX-ID", "TE",
        "Content-Type", "Content-Encoding", "Cookie", "Proxy-Authorization", "User-Agent", "X-Webhook-Signature", "Expect",
        "Tracestate",
    ],
)  # fmt: skip
def test_what_the_gateway_writes_is_nobody_elses(name: str) -> None:
    """Whatever its case."""
    assert list(header_problems({name: "1"})) == [
        (name, "is a header that the gateway writes itself; remove it")
    ]


@pytest.mark.parametrize("value", ["", " ", "a ", " a", "a\r\nHost: b", "a\nb", "a\0b", "ü", "\x7f"])
def test_values_that_are_none_are_refused(value: str) -> None:
    """None of them is quoted."""
    ((name, text),) = header_problems({"X-A": value})

    assert name == "X-A"
    assert text.isprintable()
    assert len(value) < 3 or value not in text


def test_all_of_them_have_their_limits() -> None:
    """A name stands there once, and together they are small."""
    assert [name for name, _ in header_problems({"X-A": "1", "x-a": "2"})] == ["x-a"]
    assert list(header_problems({"X-A": "x" * 4096})) == [("", "are larger than 4096 bytes")]


@pytest.mark.parametrize("name", ["", "X A", "X\r\nHost", "X:", "X\0", "Ü", "X" * 101])
def test_names_that_are_none(name: str) -> None:
    """By the grammar of HTTP."""
    assert not re.fullmatch(NAME, name)


def test_usual_fields_pass() -> None:
    """A token of a proxy, and a cookie's cousin."""
    fields = {"Authorization": "Bearer a.b-c", "X-Api-Key": "k", "CF-Access-Client-Id": "a b\tc"}
    assert list(header_problems(fields)) == []
    assert all(re.fullmatch(NAME, name) for name in fields)
