"""Requests to endpoints are still signed as the libraries of their receivers have accepted."""

from __future__ import annotations

import pytest

from gateway.outbound.models import SignatureKind
from oracles.outbound import LIBRARIES, Signature, recorded


@pytest.mark.parametrize("signature", recorded(), ids=lambda each: each.kind)
def test_what_was_accepted_is_signed_alike(signature: Signature) -> None:
    """Byte for byte, so that the libraries would accept it today."""
    assert signature.again() == signature.headers


def test_libraries_of_two_languages_were_asked() -> None:
    """About each kind of signature that they know."""
    for signature in recorded():
        names = {by.partition(" ")[0] for by in signature.accepted_by}
        languages = {by.rpartition("(")[2] for by in signature.accepted_by}
        assert languages == {"PyPI)", "npm)"}
        assert len(names) >= len(LIBRARIES[SignatureKind(signature.kind)])
