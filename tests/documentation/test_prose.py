"""The word list of `make check` finds what it is for, and nothing in the texts as they are."""

from __future__ import annotations

import re

import pytest

import prose

BAD = {
    "The event comes again after 2 s.": "comes again",
    "A message that has been given up waits there.": "message that has been given up",
    "Whoever calls first is told the secret.": "Whoever",
    "Mend the schema.": "Mend",
    "webhook deliveries in\nhand": "in hand",
    "It is no pattern.": "is no pattern",
    "What becomes of an event": "What becomes of",
}
GOOD = (
    "If there is no event, the log says `comes again`.",
    "The process is told to stop; the two can be told apart.",
    "```\nwhoever\n```\n",
    "[Recommended](what-fails.md) recommendations amend nothing.",
)


@pytest.mark.parametrize(("text", "wording"), BAD.items())
def test_wording_is_found_with_its_line(text: str, wording: str) -> None:
    """Across the end of a line, too."""
    found = list(prose.findings(f"First.\n{text}"))

    assert [each[:2] for each in found if each[1] == wording] == [(1, wording)]


@pytest.mark.parametrize("text", GOOD)
def test_right_words_and_code_are_left_alone(text: str) -> None:
    """A linter with false alarms is switched off."""
    assert list(prose.findings(text)) == []


def test_no_text_of_the_repository_has_such_wording() -> None:
    """As `make check` says."""
    assert [
        (path.name, first + line, wording)
        for path, first, text in prose.texts()
        for line, wording, _ in prose.findings(text)
    ] == []


def test_all_kinds_of_texts_are_read() -> None:
    """Pages, docstrings, help texts and lines of the log."""
    texts = list(prose.texts())

    assert {path.suffix for path, _, _ in texts} == {".md", ".yaml", ".py"}
    for wanted in ("Start the gateway in production mode.", "Send to this URL", "spool drained"):
        assert any(wanted in text for _, _, text in texts), wanted


def test_every_rule_is_a_pattern_with_an_alternative() -> None:
    """A finding without advice is no help."""
    for rule in prose.RULES:
        re.compile(rule.pattern)
        assert rule.instead
