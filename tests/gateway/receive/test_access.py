"""Who may send, and how much, is decided before a body is read."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.errors import IpNotAllowed, RateLimited
from gateway.receive.access import AccessControl
from gateway.receive.proxy_headers import TrustedProxies
from gateway.signatures.request import Headers
from gateway.signatures.units import EventRate
from gateway.transport.token_bucket import TokenBucket
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
        (PROXY, [], PROXY),
        (PROXY, [""], ""),
        (PROXY, ["somebody"], ""),
        (PROXY, [f"{SENDER}, unknown, {OTHER_PROXY}"], ""),
        (PROXY, [f"{SENDER},"], ""),
        (PROXY, ["_hidden"], ""),
        (PROXY, [f"{SENDER}, _sEcret.Proxy:443"], ""),
        (PROXY, ["\xb9.1.1.1"], ""),
        (PROXY, ["198.51.100"], ""),
        (PROXY, ["[]:443"], ""),
        (PROXY, [f"{SENDER}:port"], ""),
        (PROXY, [f"{SENDER}:443:443"], ""),
        # as proxies write addresses
        (PROXY, [f"{SENDER}:443"], SENDER),
        (PROXY, [f"{STRANGER}:80, {SENDER}:41234"], SENDER),
        (PROXY, [f"{SENDER}:17085, {OTHER_PROXY}:8080"], SENDER),
        (PROXY, [f"[{SENDER_6}]"], SENDER_6),
        (PROXY, [f"[{SENDER_6}]:4711"], SENDER_6),
        (PROXY, [f'"[{SENDER_6}]:4711"'], SENDER_6),
        (PROXY, [f"{SENDER_6}%eth0"], SENDER_6),
        (PROXY, [f"[{SENDER_6}%25eth0]:4711"], SENDER_6),
        (PROXY, [f"[::ffff:{SENDER}]:4711"], SENDER),
        (PROXY, [f"::ffff:{SENDER}:4711"], ""),
        (PROXY, [f"{SENDER}, [{PROXY_6}]:443"], SENDER),
        (f"{PROXY_6}%eth0", [f"{SENDER}:1"], SENDER),
        # one that passed more proxies than there are
        (PROXY, [", ".join([SENDER, *[OTHER_PROXY] * 31])], SENDER),
        (PROXY, [", ".join([SENDER, *[OTHER_PROXY] * 32])], PROXY),
        (PROXY, [", ".join([*[STRANGER] * 10_000, SENDER])], SENDER),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, said: list[str], client: str) -> None:
    """And of what they say, only what they wrote themselves: the rest came from the sender."""
    proxies = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")])
    fields = [(b"x-forwarded-for", value.encode("latin-1")) for value in said]

    assert client == proxies.client_of(peer, Headers(fields))


def test_nobody_is_believed_unless_trusted() -> None:
    """Without proxies the peer is the sender, whatever it says of itself."""
    assert (
        TrustedProxies(()).client_of(STRANGER, Headers([(b"x-forwarded-for", SENDER.encode())])) == STRANGER
    )


FORWARDED = b"forwarded"
PROTO, HOST = b"x-forwarded-proto", b"x-forwarded-host"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ([f"for={SENDER}"], SENDER),
        ([f"For={SENDER};proto=https;by=_x"], SENDER),
        ([f'for="{SENDER}:41234"'], SENDER),
        ([f'proto=https ; for="[{SENDER_6}]:4711"'], SENDER_6),
        ([f'for="[{SENDER_6}]"'], SENDER_6),
        ([f"for=[{SENDER_6}]:4711"], SENDER_6),
        ([f'for="{SENDER}:_port"'], SENDER),
        ([f"for={STRANGER}, for={SENDER}, for={OTHER_PROXY}"], SENDER),
        ([f"for={STRANGER}", f"for={SENDER}"], SENDER),
        ([f'for={STRANGER};host="a,b;for={STRANGER}",for={SENDER}'], SENDER),
        ([f'for="{SENDER[:-1]}\\{SENDER[-1]}"'], SENDER),
        ([f"for={OTHER_PROXY}"], PROXY),
        ([], PROXY),
        # what does not tell who it was
        ([""], ""),
        (["for=unknown"], ""),
        (["for=_hidden"], ""),
        ([f"for={STRANGER}, proto=https"], ""),
        ([f"for={STRANGER};for={SENDER}"], ""),
        ([f"for = {SENDER}"], ""),
        ([f"{SENDER}"], ""),
        ([f"for={SENDER} {SENDER}"], ""),
        # a quotation mark that the sender leaves open swallows nothing that the proxy writes
        ([f'for={STRANGER};x=", for={SENDER}'], ""),
        ([f'for={STRANGER};x=", for="{SENDER}:80";proto=https'], ""),
        ([f'for={STRANGER};x="', f"for={SENDER}"], SENDER),
        ([", " * 10_000 + f"for={SENDER}"], ""),
        ([" " * 30_000 + "x"], ""),
    ],
)
def test_forwarded_is_read_where_the_proxies_write_that(said: list[str], client: str) -> None:
    """As RFC 7239 has it; X-Forwarded-For is then whatever the sender likes."""
    proxies = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")], "forwarded")
    fields = [(FORWARDED, value.encode("latin-1")) for value in said]

    assert client == proxies.client_of(PROXY, Headers([*fields, (b"x-forwarded-for", STRANGER.encode())]))
    assert proxies.client_of(STRANGER, Headers(fields)) == STRANGER


@pytest.mark.parametrize(
    ("peer", "said", "origin"),
    [
        (PROXY, {PROTO: "https", HOST: "hooks.example:8443"}, ("https", "hooks.example:8443")),
        (PROXY, {PROTO: "HTTPS", HOST: "hooks.example"}, ("https", "hooks.example")),
        (PROXY, {PROTO: "http, https", HOST: "made.up, hooks.example"}, ("https", "hooks.example")),
        (PROXY, {PROTO: "https", HOST: "h", FORWARDED: "host=made.up;proto=http"}, ("https", "h")),
        # nobody who is believed says it
        (STRANGER, {PROTO: "https", HOST: "hooks.example"}, None),
        ("", {PROTO: "https", HOST: "hooks.example"}, None),
        (PROXY, {}, None),
        (PROXY, {PROTO: "https"}, None),
        (PROXY, {HOST: "hooks.example"}, None),
        (PROXY, {FORWARDED: "proto=https;host=hooks.example"}, None),
        # what is no address is not taken for one
        (PROXY, {PROTO: "gopher", HOST: "h"}, None),
        (PROXY, {PROTO: "https", HOST: "a/b?c"}, None),
        (PROXY, {PROTO: "", HOST: ""}, None),
        (PROXY, {PROTO: "https\xff", HOST: "h\xf6st"}, None),
    ],
)
def test_only_a_trusted_proxy_says_which_address_was_called(
    peer: str, said: dict[bytes, str], origin: tuple[str, str] | None
) -> None:
    """The nearest one, in its own way; what stands before its word, or in Host, the sender could have written."""
    proxies = TrustedProxies([ip_network("10.0.0.0/8")])
    fields = [(b"host", b"own:8080"), *((name, value.encode("latin-1")) for name, value in said.items())]

    assert proxies.origin_of(peer, Headers(fields)) == origin
    assert TrustedProxies(()).origin_of(PROXY, Headers(fields)) is None


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ('for=192.0.2.1;proto=https;host="hooks.example"', ("https", "hooks.example")),
        ("Proto=http;Host=made.up, for=x; Host=hooks.example ; Proto=https", ("https", "hooks.example")),
        ('proto=https;host="[2001:db8::1]:443"', ("https", "[2001:db8::1]:443")),
        ("proto=https", None),
        ("nohost=a;xproto=https", None),
        ('host="made.up;proto=https', None),
    ],
)
def test_forwarded_says_which_address_was_called(said: str, origin: tuple[str, str] | None) -> None:
    """Where the proxies write that; the other fields are the sender's then."""
    proxies = TrustedProxies([ip_network("10.0.0.0/8")], "forwarded")
    fields = [(PROTO, b"https"), (HOST, b"made.up"), (FORWARDED, said.encode())]

    assert proxies.origin_of(PROXY, Headers(fields)) == origin


@pytest.mark.parametrize("client", [STRANGER, "198.51.101.0", SENDER_6, "::1", "", "somebody"])
def test_only_allowed_addresses_come_in(client: str) -> None:
    """Nor does who cannot be told."""
    admission = AccessControl([ip_network("198.51.100.0/24"), ip_network("2001:db8:1::/48")])
    for allowed in (SENDER, f"::ffff:{SENDER}", "198.51.100.255", PROXY_6):
        admission.check(allowed)

    with pytest.raises(IpNotAllowed):
        admission.check(client)


@pytest.mark.parametrize("client", [SENDER, SENDER_6, ""])
def test_everybody_comes_in_where_nobody_is_named(client: str) -> None:
    """No networks are all networks."""
    AccessControl().check(client)


def test_handshakes_of_strangers_leave_others_theirs() -> None:
    """Each address has its own, one network of IPv6 together, and those who have proven who they are too."""
    now = 0.0
    admission = AccessControl(clock=lambda: now)

    def greet(*clients: str) -> list[bool]:
        passed = []
        for client in clients:
            try:
                admission.count_handshake(client)
            except RateLimited:
                passed.append(False)
            else:
                passed.append(True)
        return passed

    assert greet(*[STRANGER] * 21) == [True] * 20 + [False]
    assert greet(SENDER, STRANGER, f"::ffff:{STRANGER}") == [True, False, False]
    assert greet(*(f"2001:db8:3::{number:x}" for number in range(21))) == [True] * 20 + [False]
    admission.count_proven_handshake()
    now = 0.2
    assert greet(STRANGER, STRANGER) == [True, False]
    assert all(greet(*(f"198.51.{number // 250}.{number % 250}" for number in range(2_000))))
    assert admission.handshake_clients <= 1_024


def test_only_verified_events_count_towards_the_rate() -> None:
    """Or a forger could keep the sender out."""
    now = 0.0
    admission = AccessControl((), TokenBucket(EventRate(2, 1.0), lambda: now))
    for _ in range(10):
        admission.check(STRANGER)
    admission.count_verified()
    admission.check(SENDER)
    admission.count_verified()

    with pytest.raises(RateLimited):
        admission.check(SENDER)
    now = 0.5
    admission.check(SENDER)


def test_the_rate_is_that_of_the_configuration() -> None:
    """A burst of a second's events at most, however long it was quiet, and what came too much is made up for."""
    now = 0.0
    admission = AccessControl((), TokenBucket(EventRate(100, 1.0), lambda: now))
    passed = 0
    for step in range(1, 2_001):  # ten seconds with two events in each hundredth
        now = 1_000 + step // 2 / 100
        try:
            admission.check(SENDER)
        except RateLimited:
            continue
        admission.count_verified()
        passed += 1
    assert 1_090 <= passed <= 1_110

    for _ in range(300):  # that were let in before they were verified
        admission.count_verified()
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


async def test_a_socket_of_both_families_knows_ipv4(serve: Serve) -> None:
    """The address is what it would be at a socket of IPv4, for whoever reads it."""
    served = await serve(server={"bind": "[::]:0"}, provider={"allow_ips": ["127.0.0.1"]})

    assert (await (await served.call()).ask(webhook("1"))).word == (202, "accepted")
    assert [line["client"] for line in served.logs if line["event"] == "request"] == ["127.0.0.1"]


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
