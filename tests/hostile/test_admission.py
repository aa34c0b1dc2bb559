"""Access control and rate limits apply before a body is read, and no header evades them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hostile.signed import acme
from hostile.target import Target
from hostile.wire import converse
from support.gateway_process import configuration

ACME = configuration(0, 0, {})["providers"]["acme"]
_FORBIDDEN = "403 ip_not_allowed"
_ACCEPTED = "202 accepted"


@pytest.fixture(scope="module", params=["no proxy", "a proxy"])
def overrides(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Return a provider for some addresses only, behind a trusted or an untrusted proxy."""
    trusted = ["127.0.0.0/8"] if request.param == "a proxy" else []
    providers = {
        **configuration(0, 0, {})["providers"],
        "remote": {**ACME, "allow_ips": ["192.0.2.0/24", "2001:db8::/32"]},
        "local": {**ACME, "allow_ips": ["127.0.0.1/32"]},
        "small": {**ACME, "max_body": "64B"},
        "rare": {**ACME, "rate_limit": "2/h"},
    }
    return {"server": {"trusted_proxies": trusted}, "providers": providers}


@pytest.mark.parametrize(
    ("forwarded", "behind_proxy"),
    [
        ([], _FORBIDDEN),
        (["192.0.2.1"], _ACCEPTED),
        (["203.0.113.9"], _FORBIDDEN),
        (["192.0.2.1, 203.0.113.9"], _FORBIDDEN),
        (["203.0.113.9, 192.0.2.1"], _ACCEPTED),
        (["203.0.113.9", "192.0.2.1"], _ACCEPTED),
        (["192.0.2.1", "203.0.113.9"], _FORBIDDEN),
        (["192.0.2.1, 127.0.0.1"], _ACCEPTED),
        (["::ffff:192.0.2.1"], _ACCEPTED),
        (["2001:db8::1"], _ACCEPTED),
        (["192.0.2.1,"], _FORBIDDEN),
        (["192.0.2.1:443"], _ACCEPTED),
        (["[2001:db8::1]:4711"], _ACCEPTED),
        (["192.0.2.1:443:443"], _FORBIDDEN),
        (["192.0.2.999"], _FORBIDDEN),
        (["3221225985"], _FORBIDDEN),
        (["unknown"], _FORBIDDEN),
        ([", ".join(["192.0.2.1"] + ["127.0.0.1"] * 2_000)], _FORBIDDEN),
    ],
)
def test_only_a_trusted_proxy_says_who_sends(
    target: Target, overrides: Mapping[str, Any], forwarded: list[str], behind_proxy: str
) -> None:
    """Input 36: X-Forwarded-For is nothing from an untrusted peer; from a trusted one its nearest entry counts."""
    wire = acme(target.secrets).to("/webhooks/remote")
    for value in forwarded:
        wire = wire.plus("X-Forwarded-For", value)
    with target.watching() as watch:
        exchange = converse(target.address, bytes(wire))
        watch.note(exchange)

    assert exchange.answer == (behind_proxy if overrides["server"]["trusted_proxies"] else _FORBIDDEN)


def test_no_other_header_says_who_sends(target: Target) -> None:
    """Input 36: neither Forwarded nor its cousins change anything."""
    wire = acme(target.secrets).to("/webhooks/remote")
    for name in (
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Forwarded-Host",
    ):
        wire = wire.plus(name, "for=192.0.2.1" if name == "Forwarded" else "192.0.2.1")

    assert converse(target.address, bytes(wire)).answer == _FORBIDDEN


def test_who_is_not_let_in_need_not_send_its_body(target: Target) -> None:
    """Input 32: the refusal comes on the head alone, without an invitation to go on."""
    wire = acme(target.secrets)
    heads = {
        "/webhooks/remote": _FORBIDDEN,
        "/webhooks/small": "413 body_too_large",
        "/webhooks/nobody": "404 unknown_provider",
    }
    with target.watching() as watch:
        for path, answer in heads.items():
            exchange = converse(
                target.address, wire.to(path).plus("Expect", "100-continue").head, until_closed=True
            )
            watch.note(exchange)

            assert exchange.answer == answer
            assert exchange.interim == []
            assert exchange.is_closed


def test_a_rate_counts_only_what_is_verified(target: Target) -> None:
    """Forgeries do not use up a sender's rate; beyond it there is 429 with a moment to come back."""

    def send(*, is_signed: bool = True) -> str:
        wire = acme(target.secrets).to("/webhooks/rare")
        exchange = converse(
            target.address, bytes(wire if is_signed else wire.but("X-Acme-Signature", "sha256=0"))
        )
        assert exchange.replies[0].status != 429 or exchange.replies[0].fields[b"retry-after"]
        return exchange.answer

    assert [send(is_signed=False) for _ in range(5)] == ["401 invalid_signature"] * 5
    assert [send(), send(), send()] == [_ACCEPTED, _ACCEPTED, "429 rate_limited"]
