"""Requests that lead nowhere: the log says what was probably meant, and never more than a line."""

from __future__ import annotations

import pytest

from gateway.receive.misdirected import NearMisses

NAMES = ["stripe", "github", "acme-eu", "shopify"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (b"/webhooks/Stripe", "no provider 'Stripe'; did you mean 'stripe'?"),
        (b"/webhooks/acme_eu/", "no provider 'acme_eu'; did you mean 'acme-eu'?"),
        (b"/webhooks/strpie", "no provider 'strpie'; did you mean 'stripe'?"),
        (b"/webhooks/mailgun", "no provider 'mailgun'"),
        (b"/webhooks/", "no provider ''"),
        (b"/webhook/stripe", "no such path; did you mean /webhooks/stripe?"),
        (b"/stripe/", "no such path; did you mean /webhooks/stripe?"),
        (b"/.env", "no such path"),
        (b"/webhooks/\x1b[2J\xff", "no provider '\\\\u001b[2Jÿ'"),
    ],
)
def test_a_near_miss_is_named(path: bytes, said: str) -> None:
    """Whether letters differ in case, punctuation or order, or the beginning of the path is wrong."""
    assert NearMisses(NAMES).explain(path) == said


def test_a_path_is_never_long_in_the_log() -> None:
    """Nor compared."""
    assert len(NearMisses(NAMES).explain(b"/webhooks/" + b"a" * 8000)) < 100


def test_a_scan_costs_little() -> None:
    """Anyone can ask for names. Comparisons are few a second; only the names as they are are looked up after that."""
    misses = NearMisses([f"provider-{number}" for number in range(200)])
    said = [misses.explain(b"/webhooks/provder-%d" % number) for number in range(1000)]

    assert "did you mean" in said[0]
    assert sum("did you mean" in each for each in said) < 100
    assert misses.explain(b"/webhooks/PROVIDER-7").endswith("did you mean 'provider-7'?")
