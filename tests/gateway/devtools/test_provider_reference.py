"""`gateway providers`: the adapters in words, found by a word, and shown with what to paste."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.devtools.provider_reference import adapter_names, facts
from gateway.errors import OperatorError


def told(*words: str) -> str:
    """What `gateway providers` says; a mistake of the operator is raised."""
    return CliRunner().invoke(app, ["providers", *words], catch_exceptions=False).stdout


def test_every_adapter_has_a_line() -> None:
    """Which says so where its sender confirms nothing."""
    lines = told().splitlines()

    assert [line.split()[0] for line in lines] == adapter_names()
    assert [line for line in lines if line.startswith("ampersand ") and line.endswith("(unverified)")]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("ED25519", {"discord", "telnyx"}),
        ("Amazon", {"aws_sns", "aws_eventbridge"}),
        ("X-Hub-Sig", {"github", "meta"}),
    ],
)
def test_adapters_are_found_by_a_word(word: str, found: set[str]) -> None:
    """In their names, their titles, and how they sign."""
    names = {line.split()[0] for line in told(word).splitlines()}

    assert found <= names
    assert "stripe" not in names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stripe", ["signed:         the body, the timestamp, the event id", "retries for:    3d"]),
        ("github", ["not signed:     the timestamp, the event id", "timeout:        10s"]),
        ("gitlab", ["signed:         nothing: anyone who has seen one request can send any other"]),
        ("meta", ["GET (with the handshake token): its challenge is echoed", "handshake_token: "]),
        ("zoom", ["POST (signed): its challenge is signed, its challenge is echoed"]),
        (
            "asana",
            [
                "the secret that it delivers is stored while `enrol` is true",
                "enrol: true",
                "events in body:/events",
            ],
        ),
        ("aws_sns", ["the URL that it contains is called", "secrets: []", "topic_arn: "]),
        (
            "braintree",
            ["`body:/bt_payload` of the body", "not signed:     the rest of the body, the timestamp"],
        ),
        ("twilio", ["the body, the URL", "public_url: https://"]),
        ("ampersand", ["status:         unverified"]),
        ("hmac", ["describe the signature in the configuration"]),
    ],
)
def test_an_adapter_is_shown_with_what_its_signature_covers(name: str, said: list[str]) -> None:
    """And its handshake, its patience, and the block to paste."""
    text = told(name)

    assert [each for each in said if each not in text] == []


def test_a_word_that_finds_nothing_is_told() -> None:
    """Rather than an empty list."""
    with pytest.raises(OperatorError, match="no adapter is called 'nonsense' or contains that word"):
        told("nonsense")


def test_what_proves_an_adapter_is_told_where_it_is_known() -> None:
    """In words."""
    assert ("verified by", "recorded deliveries") in facts("github", {"github": {"corpus": []}})
    assert "verified by" not in dict(facts("github", {}))
