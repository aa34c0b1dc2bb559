"""Signed texts."""

from __future__ import annotations

import pytest

from gateway.console.security.signer import Signer

SIGNER = Signer(b"k" * 32)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\0" * 100])
def test_what_was_signed_comes_back(content: bytes) -> None:
    """For its purpose, with its key."""
    text = SIGNER.sign("cursor", content)
    assert SIGNER.open("cursor", text) == content
    assert SIGNER.open("form", text) is None
    assert Signer(b"l" * 32).open("cursor", text) is None


@pytest.mark.parametrize("text", ["", "x", "=", "ä", "AAAA" * 1000, "\udcff", " ", "A" * 22])
def test_what_was_not_signed_is_nothing(text: str) -> None:
    """Whatever it is."""
    assert SIGNER.open("cursor", text) is None


def test_every_changed_character_is_noticed() -> None:
    """Also at the end, where base64 has bits to spare: what comes back is what was signed."""
    text = SIGNER.sign("cursor", b"content")
    for place in range(len(text)):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert SIGNER.open("cursor", other) in {None, b"content"}
        if place < len(text) - 1:
            assert SIGNER.open("cursor", other) is None
