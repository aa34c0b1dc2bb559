"""Only exact signatures are accepted, and no id confuses one event with another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hostile.inputs_signature import INPUTS, PUBLIC_KEY, ROTATED_SECRET, SIGNATURE
from hostile.signed import acme, github, github_body, partner
from hostile.target import Input, Target
from hostile.wire import converse
from support.gateway_process import configuration
from support.senders import order
from support.waiting import wait_until

ACME = configuration(0, 0, {})["providers"]["acme"]


@pytest.fixture(scope="module")
def overrides() -> Mapping[str, Any]:
    """Return further providers: one that rotates its secret, one with a public key, and twins."""
    brief = {**ACME["signature"], "timestamp": {"header": "X-Acme-Timestamp", "tolerance": "1s"}}
    providers = configuration(0, 0, {})["providers"] | {
        "rotating": {**ACME, "secrets": [*ACME["secrets"], ROTATED_SECRET]},
        "asymmetric": {"adapter": "standard_webhooks", "secrets": [PUBLIC_KEY]},
        "twin": ACME,
        "twin-a": ACME,
        "brief": {**ACME, "signature": brief},
    }
    return {"providers": providers}


@pytest.mark.parametrize("hostile", INPUTS, ids=str)
def test_bent_signatures_and_ids_get_their_answer(target: Target, hostile: Input) -> None:
    """Each input gets its answer, and the gateway is as well as before."""
    target.expect(hostile)


def test_no_bit_of_a_signature_or_a_body_can_be_turned(target: Target) -> None:
    """Inputs 58 and 61: one bit off, in every place."""
    wire = acme(target.secrets)
    prefix, digest = b"sha256=", wire.value(SIGNATURE).removeprefix(b"sha256=")
    bent = [
        wire.but(
            SIGNATURE, prefix + digest[:at] + b"%x" % (int(digest[at : at + 1], 16) ^ 1) + digest[at + 1 :]
        )
        for at in range(len(digest))
    ]
    for at in range(len(wire.body)):
        body = bytearray(wire.body)
        body[at] ^= 1 << at % 8
        bent.append(replace(wire, body=bytes(body)))
    with target.watching() as watch:
        answers = set()
        for one in bent:
            exchange = converse(target.address, bytes(one))
            watch.note(exchange)
            answers.add(exchange.answer)

    assert answers == {"401 invalid_signature"}


def test_a_replay_is_a_duplicate_and_then_too_old(target: Target) -> None:
    """Inputs 72 and 73: the same bytes again are published once, and refused once their moment has passed."""
    wire = acme(target.secrets).to("/webhooks/brief")
    _, before = target.stored()
    answers: list[str] = []

    def is_too_old() -> bool:
        answers.append(converse(target.address, bytes(wire)).answer)
        return answers[-1] == "401 invalid_signature"

    wait_until(is_too_old, message="the replay was too old")

    assert answers[:2] == ["202 accepted", "200 duplicate"]
    assert set(answers[1:-1]) <= {"200 duplicate"}
    assert target.stored()[1] == before + 1


def test_the_same_bytes_with_another_id_are_marked(target: Target) -> None:
    """Input 74: GitHub's signature does not cover the delivery id, so a captured body can be sent under any."""
    body = github_body()
    answers = [
        converse(target.address, bytes(github(target.secrets, body, delivery=delivery))).answer
        for delivery in ("original", "replayed")
    ]

    assert answers == ["202 accepted", "202 accepted"]
    events = target.published()
    assert "replaysuspected" not in json.loads(events["original"])
    assert json.loads(events["replayed"])["replaysuspected"] is True


def test_ids_of_different_events_never_meet(target: Target) -> None:
    """Inputs 77 and 78: neither does punctuation make two ids one, nor do two providers share an id."""
    answers = [
        converse(target.address, bytes(acme(target.secrets, order(id=event_id)).to(path))).answer
        for path, event_id in [
            ("/webhooks/twin", "a:b"), ("/webhooks/twin", "a"), ("/webhooks/twin-a", "b"), ("/webhooks/twin-a", "a:b"),
            ("/webhooks/twin", "a-b"), ("/webhooks/twin-a", "-b"),
        ]
    ]  # fmt: skip

    assert answers == ["202 accepted"] * 6


def test_an_id_with_another_body_is_a_duplicate(target: Target) -> None:
    """Input 79: the first body under an id is the event."""
    _, before = target.stored()
    answers = [
        converse(target.address, bytes(acme(target.secrets, order(id="one", total=total)))).answer
        for total in (1, 2)
    ]

    assert answers == ["202 accepted", "200 duplicate"]
    assert target.stored()[1] == before + 1
    assert json.loads(target.published()["one"])["data"]["total"] == 1


def test_a_family_of_headers_cannot_lend_its_id(target: Target) -> None:
    """Input 81: beside signed webhook- headers, an unsigned svix-id makes no new event of an old one."""
    wire = partner(target.secrets)
    answers = [
        converse(target.address, bytes(one)).answer for one in (wire, wire.plus("svix-id", "msg_other"))
    ]

    assert answers == ["202 accepted", "200 duplicate"]
