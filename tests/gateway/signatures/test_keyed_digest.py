"""The prepared HMAC is the one of the standard library, for every key and however the message is divided."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signatures.schemes.keyed_digest import prepare_hmac

ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 129, 1000])
def test_a_key_of_any_length_gives_the_standard_digest(algorithm: str, size: int) -> None:
    """Keys longer than a block of the hash are hashed first."""
    key = bytes(range(256)) * 4
    digest = prepare_hmac(key[:size], algorithm)
    assert digest([b"a message"]) == hmac.digest(key[:size], b"a message", algorithm)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=100)))
def test_the_division_of_a_message_does_not_matter(key: bytes, pieces: list[bytes]) -> None:
    """The digest is that of the pieces joined, each time it is computed."""
    digest, expected = prepare_hmac(key, "sha256"), hmac.digest(key, b"".join(pieces), "sha256")
    assert digest(pieces) == expected
    assert digest(pieces) == expected
