"""Who may send, and how much, is decided before a body is read."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.admission import Admission, Proxies
from gateway.errors import IpNotAllowed, RateLimited
from providers import Headers
from providers.units import EventRate

PROXY, OTHER_PROXY, STRANGER, SENDER = "10.0.0.1", "10.0.0.2", "203.0.113.9", "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        (STRANGER, SENDER, STRANGER),
        (PROXY, SENDER, SENDER),
        (PROXY, f"{STRANGER}, {SENDER}", SENDER),
        (PROXY, f"{STRANGER}, {SENDER}, {OTHER_PROXY}", SENDER),
        (PROXY, f"::ffff:{SENDER}", SENDER),
        (PROXY, "somebody", ""),
        (PROXY, OTHER_PROXY, PROXY),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded_for: str, client: str) -> None:
    """And of what they say, only what they wrote themselves: the rest came from the sender."""
    proxies = Proxies([ip_network("10.0.0.0/8")])

    assert client == proxies.client_of(peer, Headers([(b"x-forwarded-for", forwarded_for.encode())]))


def test_nobody_is_believed_unless_trusted() -> None:
    """Without proxies the peer is the sender, whatever it says of itself."""
    assert Proxies(()).client_of(STRANGER, Headers([(b"x-forwarded-for", SENDER.encode())])) == STRANGER


@pytest.mark.parametrize("client", [STRANGER, "", "somebody"])
def test_only_allowed_addresses_come_in(client: str) -> None:
    """Nor does who cannot be told."""
    admission = Admission([ip_network(f"{SENDER}/32")])
    admission.check(SENDER)
    admission.check(f"::ffff:{SENDER}")

    with pytest.raises(IpNotAllowed):
        admission.check(client)


def test_only_verified_events_count_towards_the_rate() -> None:
    """Or a forger could keep the sender out."""
    now = 0.0
    admission = Admission((), EventRate(2, 1.0), lambda: now)
    for _ in range(10):
        admission.check(STRANGER)
    admission.note_verified()
    admission.check(SENDER)
    admission.note_verified()

    with pytest.raises(RateLimited):
        admission.check(SENDER)
    now = 0.5
    admission.check(SENDER)
