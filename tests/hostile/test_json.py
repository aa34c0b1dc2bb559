"""Signed bodies that are no JSON are refused, odd ones pass with every byte as it was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hostile.inputs_json import INPUTS
from hostile.signed import acme, github, github_body
from hostile.target import Input, Target
from hostile.wire import converse
from support.inbox import data_of
from support.senders import order
from support.work import in_known_work, least

MOST_WORK = 20
"""Times as much as writing and reading JSON of 1.5 MB: one of them keeps others waiting for a second at most."""

DUPLICATE_NAMES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


@pytest.fixture(scope="module")
def overrides() -> Mapping[str, Any]:
    """Room for large bodies: what is refused here is refused for what it is."""
    return {"server": {"max_body": "8MiB"}}


@pytest.mark.parametrize("hostile", INPUTS, ids=str)
def test_odd_bodies_get_their_answer(target: Target, hostile: Input) -> None:
    """Each input gets its answer, and the gateway is as well as before."""
    target.expect(hostile)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("a number that no double holds", b'"x": 9007199254740993, "y": 1.10e+01'),
        ("escapes and blanks", rb'"\u0078" :  "\u0000\/"' + b"\r\n\t"),
        ("a name twice", b'"x": 1, "x": 2'),
        ("5 MB", b'"x": "' + "ü".encode() * 2_500_000 + b'"'),
    ],
)
def test_bytes_are_published_as_they_came(target: Target, name: str, extra: bytes) -> None:
    """Inputs 91, 92, 96 and 107: nothing is written anew."""
    wire = acme(target.secrets, order(id=name.replace(" ", "-"))[:-1] + b", " + extra + b"}")

    assert converse(target.address, bytes(wire)).answer == "202 accepted"
    assert data_of(target.published()[name.replace(" ", "-")]) == wire.body


def test_the_last_of_two_ids_counts(target: Target) -> None:
    """Input 92: the id and the type are those that every parser of the published bytes finds."""
    body = rb'{"id":"first","event":"one","\u0069d":"last","event":"two"}'

    assert converse(target.address, bytes(acme(target.secrets, body))).answer == "202 accepted"
    event = json.loads(target.published()["last"])
    assert (event["id"], event["eventtype"], event["data"]["id"]) == ("last", "two", "last")


def test_attributes_are_short_text(target: Target) -> None:
    """Inputs 105 and 106: whatever a body holds, what becomes a header of the message is bounded text."""
    body = json.loads(github_body())
    body["repository"] |= {"html_url": "u" * 200_000, "owner": {"login": 1e308}}
    body["sender"]["login"] = "é" * 400
    wire = github(target.secrets, json.dumps(body).encode(), delivery="long-attributes")

    assert converse(target.address, bytes(wire)).answer == "202 accepted"
    event = json.loads(target.published()["long-attributes"])
    assert "account" not in event
    assert all(
        isinstance(value, str) and len(value.encode()) <= 255
        for name, value in event.items()
        if name != "data"
    )


def _work_of(target: Target, wire: bytes) -> float:
    begun_at = target.cpu_seconds()
    converse(target.address, wire)
    return in_known_work(target.cpu_seconds() - begun_at)


def test_what_cannot_be_parsed_is_refused_quickly(target: Target) -> None:
    """Inputs 97 and 98: none of them keeps the others waiting."""
    slow = {}
    for hostile in INPUTS:
        if hostile.number in {97, 98} and hostile.answer.startswith("4"):
            wire = bytes(hostile.send(target.secrets))  # type: ignore[arg-type]
            if (took := least(partial(_work_of, target, wire), MOST_WORK)) > MOST_WORK:
                slow[str(hostile)] = took

    assert slow == {}


def test_the_collection_for_parsers(target: Target, corpus: Path) -> None:
    """Valid JSON passes, what is none does not, and where parsers may differ nothing breaks."""
    passed, refused = {"202 accepted", "202 quarantined"}, {"400 malformed_json"}
    allowed = {"accept": passed, "reject": refused}  # of the others, readers may think what they like
    folder = corpus / "json-parsing"
    wrong = {}
    with target.watching() as watch:
        for entry in json.loads((folder / "index.json").read_bytes())["files"]:
            body = (folder / entry["file"]).read_bytes()
            exchange = converse(target.address, bytes(github(target.secrets, body)))
            watch.note(exchange)
            if exchange.answer not in allowed.get(entry["expect"], passed | refused):
                wrong[entry["file"]] = exchange.answer

    assert wrong == {}
    assert watch.expected.total() > 150


@pytest.mark.parametrize("place", ["value", "id", "type", "name"])
def test_the_collection_of_naughty_strings(target: Target, corpus: Path, place: str) -> None:
    """No text does harm, wherever it stands."""
    strings = json.loads((corpus / "naughty-strings" / "strings.json").read_bytes())
    answers = set()
    with target.watching() as watch:
        for text in dict.fromkeys(strings):
            changes = {
                "value": {"note": text},
                "id": {"id": text},
                "type": {"event": text},
                "name": {text: 1},
            }
            exchange = converse(target.address, bytes(acme(target.secrets, order(**changes[place]))))
            watch.note(exchange)
            answers.add(exchange.answer)

    allowed = {
        "value": {"202 accepted"},
        "id": {"202 accepted", "200 duplicate"},  # an empty one is none
        "type": {"202 accepted", "202 quarantined"},
        "name": {"202 accepted"},
    }
    assert answers <= allowed[place]
