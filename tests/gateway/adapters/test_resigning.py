"""Anyone with a secret in a provider's format can sign as it does, unless the provider publishes its keys."""

from __future__ import annotations

import pytest

from gateway.adapters import registry
from gateway.adapters.resigning import check_resigning, publishes_keys
from gateway.signatures.secrets import SecretFormatError
from support.deliveries import NAMES, parameters_of, secrets_of

WHSEC = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_secrets_are_checked_in_the_providers_format() -> None:
    """Where there is one."""
    check_resigning(registry.load("stripe"), "any text")
    check_resigning(registry.load("svix"), WHSEC)

    for name in ("svix", "anthropic", "standard_webhooks"):
        with pytest.raises(SecretFormatError, match="is not base64"):
            check_resigning(registry.load(name), "no base64!")


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_that_an_adapter_makes_passes(name: str) -> None:
    """Of all adapters whose secret is shared."""
    adapter = registry.load(name)
    if not publishes_keys(adapter):
        check_resigning(adapter, secrets_of(name).sender, parameters_of(adapter))


def test_providers_that_publish_their_keys_are_known() -> None:
    """Nobody else has the private ones."""
    found = {name for name in NAMES if publishes_keys(registry.load(name))}

    assert {"aws_sns", "paypal", "plaid"} <= found
    assert not found & {"stripe", "github", "svix"}
