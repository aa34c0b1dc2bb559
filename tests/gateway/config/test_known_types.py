"""Patterns that no event will match are doubted; those that one may match are not."""

from __future__ import annotations

import pytest

from gateway.config import Config
from gateway.config.known_types import doubt_key_pattern, doubt_type_pattern

SIGNATURE = {"header": "X-Signature"}
CONFIG = Config.model_validate(
    {
        "providers": {
            "stripe": {"adapter": "stripe", "secrets": ["x" * 32]},
            "shopify": {"adapter": "shopify", "secrets": ["x" * 32]},
            "acme": {"adapter": "hmac", "secrets": ["x" * 32], "signature": SIGNATURE},
        }
    }
)


@pytest.mark.parametrize(
    ("pattern", "ending"),
    [
        ("strip.#", "names no configured provider; did you mean stripe?"),
        ("nobody.#", "names no configured provider"),
        ("stripe", "matches no event: write stripe.# for all events of a provider"),
        ("stripe.invoice.payd", "did you mean invoice.paid?"),
        ("shopify.ordres.create", "did you mean orders.create?"),
        ("shopify.ordres/create", "did you mean orders.create?"),
    ],
)
def test_a_pattern_over_routing_keys_is_doubted(pattern: str, ending: str) -> None:
    """With what was probably meant."""
    assert (doubt_key_pattern(CONFIG, pattern) or "").endswith(ending)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "#",
            "*.#",
            "*.invoice.*",
            "stripe.#",
            "stripe.invoice.*",
            "stripe.invoice.paid",
            "stripe.invoice.paid.late",
        ),
        *("shopify.orders/create", "shopify.orders.create", "shopify.something.new", "acme.anything"),
    ],
)
def test_a_pattern_that_may_match_is_not_doubted(pattern: str) -> None:
    """In either spelling; of some providers few types are known."""
    assert doubt_key_pattern(CONFIG, pattern) is None


def test_a_pattern_over_event_types_is_doubted_if_no_provider_knows_it() -> None:
    """The configured ones are asked, or the one that is selected."""
    assert (doubt_type_pattern(CONFIG, "invoice.payd") or "").endswith("did you mean invoice.paid?")
    assert doubt_type_pattern(CONFIG, "orders/create") is None
    assert doubt_type_pattern(CONFIG, "orders.create", "stripe")
    assert doubt_type_pattern(CONFIG, "made.up") is None
    assert doubt_type_pattern(CONFIG, "#") is None
