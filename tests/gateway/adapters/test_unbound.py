"""Signatures that do not cover the body: the signed content reveals another event under the same signature."""

from __future__ import annotations

import pytest

from gateway.adapters import registry
from gateway.devtools.simulator import Simulator
from support.deliveries import NAMES, NOW, URL, delivered

UNBOUND = ["adyen", "dropbox_sign", "gitee", "mailgun", "mercado_pago", "paypal", "plivo_v2"]
REUSED = {"token", "basic", "jwt"}
"""Schemes whose proof is the same for many events, or can be: it tells nothing of one."""


def test_no_other_signature_leaves_the_body_uncovered() -> None:
    """Or its name belongs here."""
    specs = {name: registry.load(name).spec.signature for name in NAMES}
    assert [
        name for name, spec in specs.items() if not spec.is_body_bound and spec.scheme not in REUSED
    ] == UNBOUND


@pytest.mark.parametrize("name", UNBOUND)
def test_what_is_signed_is_told(name: str) -> None:
    """The same for the same delivery, another for another one."""
    made = delivered(name)
    simulator = Simulator(made.adapter, made.secrets.sender, URL, made.sample, parameters=made.parameters)
    adapter = made.bind()
    later = simulator.make(NOW + 1)
    requests = [made.raw(), made.raw(), made.raw(later.headers, later.body, later.url)]
    first, again, other = (adapter.verify(request, NOW).signed for request in requests)

    assert first
    assert first == again
    # Dropbox Sign signs the second and the kind of the event, which here are those of its sample.
    assert first != other or name == "dropbox_sign"


@pytest.mark.parametrize("name", ["github", "stripe", "standard_webhooks", "square", "plaid", "discord"])
def test_where_the_body_is_covered_it_is_what_counts(name: str) -> None:
    """Nothing else is told."""
    made = delivered(name)
    assert made.bind().verify(made.raw(), NOW).signed is None
