"""Formats of secrets: the keys that they give, and the texts that are refused."""

from __future__ import annotations

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signatures.secrets import SecretFormat, SecretFormatError, decode_base64, decode_secret

KEY = bytes(range(230, 256)) + b"\x00\x01\x02"


@pytest.mark.parametrize(
    ("text", "secret_format", "key"),
    [
        ("plain text", "raw", b"plain text"),
        (" spaces kept ", "raw", b" spaces kept "),
        ("whsec_abc", "raw", b"whsec_abc"),
        ("schlüssel", "raw", "schlüssel".encode()),
        (KEY.hex(), "hex", KEY),
        (KEY.hex().upper(), "hex", KEY),
        (base64.b64encode(KEY).decode(), "base64", KEY),
        (base64.b64encode(KEY).decode().rstrip("="), "base64", KEY),
        (base64.b64encode(KEY).decode(), "whsec_", KEY),
        ("whsec_" + base64.b64encode(KEY).decode(), "whsec_", KEY),
        ("whsec_" + base64.b64encode(KEY).decode().rstrip("="), "whsec_", KEY),
    ],
)
def test_a_secret_is_decoded_by_its_format(text: str, secret_format: SecretFormat, key: bytes) -> None:
    """Raw text stays as it is; padding and the prefix may be left out."""
    assert decode_secret(text, secret_format) == key


@pytest.mark.parametrize(
    ("text", "secret_format"),
    [
        ("", "raw"),
        ("", "hex"),
        ("", "base64"),
        ("", "whsec_"),
        ("whsec_", "whsec_"),
    ],
)
def test_an_empty_key_is_refused(text: str, secret_format: SecretFormat) -> None:
    """Anybody could sign with it."""
    with pytest.raises(SecretFormatError, match="is empty"):
        decode_secret(text, secret_format)


@pytest.mark.parametrize(
    ("text", "secret_format", "message"),
    [
        ("abc", "hex", "is not hexadecimal"),
        ("zz", "hex", "is not hexadecimal"),
        ("0x00", "hex", "is not hexadecimal"),
        ("ab cd", "hex", "is not hexadecimal"),
        ("ab\n", "hex", "is not hexadecimal"),
        ("éé", "hex", "is not hexadecimal"),
        ("\uff11\uff11", "hex", "is not hexadecimal"),
        ("A", "base64", "is not base64"),
        ("AAAAA", "base64", "is not base64"),
        ("AA==AA==", "base64", "is not base64"),
        ("AAAA\n", "base64", "is not base64"),
        ("AA AA", "base64", "is not base64"),
        ("AA-_", "base64", "is not base64"),
        ("=", "base64", "is not base64"),
        ("====", "base64", "is not base64"),
        ("é", "base64", "is not base64"),
        ("\ud800", "base64", "is not base64"),
        ("whsec_AAAA", "base64", "is not base64"),
        ("whsec_whsec_AAAA", "whsec_", "is not base64"),
        ("whpk_AAAA", "whsec_", "is not base64"),
        ("whsk_AAAA", "whsec_", "is not base64"),
        ("a\udcffb", "raw", "UTF-8"),
        ("\ud800", "hex", "is not hexadecimal"),
    ],
)
def test_a_secret_in_another_format_is_refused(text: str, secret_format: SecretFormat, message: str) -> None:
    """Instead of decoding what can be decoded of it."""
    with pytest.raises(SecretFormatError, match=message):
        decode_secret(text, secret_format)


@pytest.mark.parametrize("secret_format", ["raw", "hex", "base64", "whsec_"])
def test_the_error_does_not_tell_the_secret(secret_format: SecretFormat) -> None:
    """Neither it nor what it was caused by, which the log may hold."""
    secret = "correct-horse-battery-staple\udcff"
    with pytest.raises(SecretFormatError) as caught:
        decode_secret(secret, secret_format)
    error: BaseException | None = caught.value
    while error is not None:
        assert "horse" not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    assert "horse" not in "".join(traceback.format_exception(caught.value))


@given(st.binary(min_size=1, max_size=100))
def test_any_key_survives_base64_with_and_without_padding(key: bytes) -> None:
    """Senders show either."""
    text = base64.b64encode(key).decode()
    assert [decode_base64(text), decode_base64(text.rstrip("="))] == [key, key]


@given(st.text(alphabet=st.characters(), max_size=30), st.sampled_from(["raw", "hex", "base64", "whsec_"]))
def test_any_text_is_a_key_or_a_format_error(text: str, secret_format: SecretFormat) -> None:
    """And a key is never empty."""
    try:
        key = decode_secret(text, secret_format)
    except SecretFormatError:
        return
    assert key
