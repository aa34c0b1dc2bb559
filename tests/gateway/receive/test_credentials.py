"""What is masked in a refused request before it is kept, and what is not."""

from __future__ import annotations

import pytest

from gateway.adapters import registry
from gateway.receive.credentials import MASK, CredentialMask
from gateway.signatures.request import Headers
from support.deliveries import NAMES, delivered


def mask_of(adapter: str) -> CredentialMask:
    """The mask of an adapter."""
    return CredentialMask(registry.load(adapter).spec.signature)


def test_a_signature_stays_and_credentials_go() -> None:
    """An HMAC proves one body, which was refused."""
    fields = [
        (b"x-hub-signature-256", b"sha256=00"),
        (b"authorization", b"Bearer abc"),
        (b"cookie", b"session=1"),
        (b"x-api-key", b"abc"),
        (b"x-auth-token", b"abc"),
        (b"user-agent", b"GitHub-Hookshot"),
    ]

    shown = dict(mask_of("github").headers(Headers(fields)))

    kept = {b"x-hub-signature-256", b"user-agent"}
    assert {name for name, value in shown.items() if value != MASK} == kept
    assert [name for name, _ in fields] == list(shown)


def test_parameters_that_hold_a_credential_are_masked() -> None:
    """However their names are written."""
    masked = mask_of("github").query(b"a=1&access_token=x&%74oken=y&flag&secret=")

    assert masked == b"a=1&access_token=***&%74oken=***&flag&secret="
    assert mask_of("github").query(b"") == b""


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_that_a_provider_sends_is_kept(name: str) -> None:
    """Of no adapter: neither in a header, nor in the query, nor in the body."""
    example = delivered(name)
    raw, mask = example.raw(), CredentialMask(example.adapter.spec.signature)

    kept = [value for _, value in mask.headers(raw.headers)] + [mask.query(raw.query)]
    if mask.keeps_body:
        kept.append(raw.body)

    secret = example.secrets.sender.encode()
    assert not any(secret in value for value in kept)
