"""Who may send, and how much, is decided before a body is read."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.admission import Admission, Proxies
from gateway.errors import IpNotAllowed, RateLimited
from providers import Headers
from providers.units import EventRate
from support.served import Serve, webhook

PROXY, OTHER_PROXY, STRANGER, SENDER = "10.0.0.1", "10.0.0.2", "203.0.113.9", "198.51.100.7"
PROXY_6, SENDER_6 = "2001:db8:1::1", "2001:db8:2::7"


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        (STRANGER, [SENDER], STRANGER),
        (STRANGER, [PROXY], STRANGER),
        ("", [SENDER], ""),
        (PROXY, [SENDER], SENDER),
        (PROXY, [f"{STRANGER}, {SENDER}"], SENDER),
        (PROXY, [f"{STRANGER}, {SENDER}, {OTHER_PROXY}"], SENDER),
        (PROXY, [f"  {STRANGER}\t,{SENDER} ,{OTHER_PROXY}  "], SENDER),
        (PROXY, [STRANGER, f"{SENDER}, {OTHER_PROXY}"], SENDER),
        (PROXY, [STRANGER, SENDER, OTHER_PROXY], SENDER),
        (PROXY, [OTHER_PROXY], PROXY),
        (f"::ffff:{PROXY}", [SENDER], SENDER),
        (PROXY, [f"::ffff:{SENDER}"], SENDER),
        (PROXY, [f"{SENDER}, ::ffff:{OTHER_PROXY}"], SENDER),
        (PROXY_6, [SENDER_6], SENDER_6),
        (PROXY_6, [f"{SENDER_6.upper()}, {PROXY}"], SENDER_6),
        (SENDER_6, [STRANGER], SENDER_6),
        # what no proxy that is trusted writes cannot be told from what a sender made up
        (PROXY, [], ""),
        (PROXY, [""], ""),
        (PROXY, ["somebody"], ""),
        (PROXY, [f"{SENDER}, unknown, {OTHER_PROXY}"], ""),
        (PROXY, [f"{SENDER},"], ""),
        (PROXY, [f"{SENDER}:443"], ""),
        (PROXY, [f"[{SENDER_6}]"], ""),
        (PROXY, ["\xb9.1.1.1"], ""),
        # one that passed more proxies than there are
        (PROXY, [", ".join([SENDER, *[OTHER_PROXY] * 31])], SENDER),
        (PROXY, [", ".join([SENDER, *[OTHER_PROXY] * 32])], PROXY),
        (PROXY, [", ".join([*[STRANGER] * 10_000, SENDER])], SENDER),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, said: list[str], client: str) -> None:
    """And of what they say, only what they wrote themselves: the rest came from the sender."""
    proxies = Proxies([ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")])
    fields = [(b"x-forwarded-for", value.encode("latin-1")) for value in said]

    assert client == proxies.client_of(peer, Headers(fields))


def test_nobody_is_believed_unless_trusted() -> None:
    """Without proxies the peer is the sender, whatever it says of itself."""
    assert Proxies(()).client_of(STRANGER, Headers([(b"x-forwarded-for", SENDER.encode())])) == STRANGER


FORWARDED = b"forwarded"
PROTO, HOST = b"x-forwarded-proto", b"x-forwarded-host"


@pytest.mark.parametrize(
    ("peer", "said", "origin"),
    [
        (STRANGER, {PROTO: "https", HOST: "hooks.example"}, "http://own:8080"),
        ("", {PROTO: "https", HOST: "hooks.example"}, "http://own:8080"),
        (PROXY, {}, "http://own:8080"),
        (PROXY, {PROTO: "https"}, "https://own:8080"),
        (PROXY, {HOST: "hooks.example:8443"}, "http://hooks.example:8443"),
        (PROXY, {PROTO: "HTTPS", HOST: "hooks.example"}, "https://hooks.example"),
        (PROXY, {PROTO: "http, https", HOST: "made.up, hooks.example"}, "https://hooks.example"),
        (PROXY, {FORWARDED: 'for=192.0.2.1;proto=https;host="hooks.example"'}, "https://hooks.example"),
        (
            PROXY,
            {FORWARDED: "Proto=http;Host=made.up, for=x; Host=hooks.example ; Proto=https"},
            "https://hooks.example",
        ),
        (PROXY, {FORWARDED: "proto=https", HOST: "hooks.example"}, "https://hooks.example"),
        (PROXY, {FORWARDED: 'host="[2001:db8::1]:443"'}, "http://[2001:db8::1]:443"),
        # what is no address is not taken for one
        (PROXY, {PROTO: "gopher", HOST: "a/b?c"}, "http://own:8080"),
        (PROXY, {PROTO: "", HOST: ""}, "http://own:8080"),
        (PROXY, {PROTO: "https\xff", HOST: "h\xf6st"}, "http://own:8080"),
        (PROXY, {FORWARDED: "nohost=a;xproto=https"}, "http://own:8080"),
    ],
)
def test_only_a_trusted_proxy_says_which_address_was_called(
    peer: str, said: dict[bytes, str], origin: str
) -> None:
    """The nearest one, in either way; what stands before its word the sender could have written."""
    proxies = Proxies([ip_network("10.0.0.0/8")])
    fields = [(b"host", b"own:8080"), *((name, value.encode("latin-1")) for name, value in said.items())]

    assert "{}://{}".format(*proxies.origin_of(peer, Headers(fields))) == origin
    assert Proxies(()).origin_of(PROXY, Headers(fields)) == ("http", "own:8080")


@pytest.mark.parametrize("client", [STRANGER, "198.51.101.0", SENDER_6, "::1", "", "somebody"])
def test_only_allowed_addresses_come_in(client: str) -> None:
    """Nor does who cannot be told."""
    admission = Admission([ip_network("198.51.100.0/24"), ip_network("2001:db8:1::/48")])
    for allowed in (SENDER, f"::ffff:{SENDER}", "198.51.100.255", PROXY_6):
        admission.check(allowed)

    with pytest.raises(IpNotAllowed):
        admission.check(client)


@pytest.mark.parametrize("client", [SENDER, SENDER_6, ""])
def test_everybody_comes_in_where_nobody_is_named(client: str) -> None:
    """No networks are all networks."""
    Admission().check(client)


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


def test_the_rate_is_that_of_the_configuration() -> None:
    """A burst of a second's events at most, however long it was quiet, and what came too much is made up for."""
    now = 0.0
    admission = Admission((), EventRate(100, 1.0), lambda: now)
    passed = 0
    for step in range(1, 2_001):  # ten seconds with two events in each hundredth
        now = 1_000 + step // 2 / 100
        try:
            admission.check(SENDER)
        except RateLimited:
            continue
        admission.note_verified()
        passed += 1
    assert 1_090 <= passed <= 1_110

    for _ in range(300):  # that were let in before they were verified
        admission.note_verified()
    now += 2
    with pytest.raises(RateLimited):
        admission.check(SENDER)
    now += 2
    admission.check(SENDER)


async def test_who_may_not_send_is_told_before_its_body(serve: Serve) -> None:
    """By the address that trusted proxies tell; the body need not come."""
    served = await serve(
        server={"trusted_proxies": ["127.0.0.0/8"]}, provider={"allow_ips": ["198.51.100.0/24"]}
    )
    caller = await served.call()
    reply = await caller.ask(webhook("1", b"{}", b"X-Forwarded-For: " + SENDER.encode()))
    assert reply.word == (202, "accepted")
    caller.send(webhook("2", b"{}", b"X-Forwarded-For: " + STRANGER.encode())[:-2])
    reply = await caller.reply()

    assert (reply.word, reply.is_last) == ((403, "ip_not_allowed"), True)
    lines = [line for line in served.logs if line["event"] == "request"]
    assert [line["client"] for line in lines] == [SENDER, STRANGER]
    assert served.published == ["1"]


async def test_who_sends_too_much_is_told_before_its_body(serve: Serve) -> None:
    """When to come again; forged events cost the sender nothing."""
    served = await serve(provider={"rate_limit": "2/h"})
    caller = await served.call()
    forged = webhook("0").replace(b"sha256=", b"sha256=x")
    assert [(await caller.ask(forged)).status for _ in range(5)] == [401] * 5
    assert [(await caller.ask(webhook(event_id))).status for event_id in "12"] == [202, 202]
    caller.send(webhook("3")[:-1])
    reply = await caller.reply()

    assert (reply.word, reply.is_last) == ((429, "rate_limited"), True)
    assert int(reply.fields["retry-after"]) > 0
    assert served.published == ["1", "2"]
