"""URLs and addresses of endpoints: what is refused, what is allowed, and what an operator can open."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbound.addresses import (
    MAX_ADDRESSES,
    AddressRefused,
    AddressRules,
    Target,
    is_openable,
    judge_address,
    judge_addresses,
    judge_url,
)
from support.hostile_hosts import ADDRESSES, hostile_urls

STRICT = AddressRules()
PRIVATE = AddressRules(
    allow_networks=tuple(map(ip_network, ("0.0.0.0/0", "::/0"))),
    allow_http=True,
    ports=frozenset({22, 6379}),
)
"""Whatever a setting can open."""


@pytest.mark.parametrize("url", hostile_urls(), ids=ascii)
def test_a_hostile_url_is_refused(url: str) -> None:
    """The text is one line that tells the reason."""
    with pytest.raises(AddressRefused) as refusal:
        judge_url(url, STRICT)

    reason = str(refusal.value)
    assert reason.startswith(("has ", "is ", "does "))
    assert reason.isprintable()
    assert len(reason) < 200


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.acme.dev", Target(True, "hooks.acme.dev", 443, None)),
        ("https://hooks.acme.dev/a/b?token=x&y=%20z", Target(True, "hooks.acme.dev", 443, None)),
        ("https://hooks.acme.dev:8443/", Target(True, "hooks.acme.dev", 8443, None)),
        ("https://xn--bcher-kva.example.com/", Target(True, "xn--bcher-kva.example.com", 443, None)),
        ("https://8.8.8.8/", Target(True, "8.8.8.8", 443, IPv4Address("8.8.8.8"))),
        (
            "https://[2606:4700::1111]:8443/",
            Target(True, "2606:4700::1111", 8443, ip_address("2606:4700::1111")),
        ),
        ("https://1.hooks.acme.dev/@me/?q=a@b", Target(True, "1.hooks.acme.dev", 443, None)),
    ],
)
def test_a_public_url_is_allowed(url: str, target: Target) -> None:
    """With the parts that its grammar has."""
    assert judge_url(url, STRICT) == target


def test_a_long_url_is_refused() -> None:
    """Beyond 2,048 characters."""
    url = "https://hooks.acme.dev/"
    judge_url(url + "a" * (2048 - len(url)), STRICT)

    with pytest.raises(AddressRefused, match="more than 2048 characters"):
        judge_url(url + "a" * (2049 - len(url)), STRICT)


def test_http_and_ports_are_opened_by_settings() -> None:
    """`http://` has port 80 then, and no others than HTTPS has besides."""
    rules = AddressRules(allow_http=True, ports=frozenset({9000}))

    assert judge_url("http://hooks.acme.dev/", rules) == Target(False, "hooks.acme.dev", 80, None)
    assert judge_url("http://hooks.acme.dev:9000/", rules).port == 9000
    assert judge_url("https://hooks.acme.dev:9000/", rules).port == 9000
    for url in ("https://hooks.acme.dev:80/", "http://hooks.acme.dev:8080/"):
        with pytest.raises(AddressRefused, match="has the port 80"):
            judge_url(url, rules)


@pytest.mark.parametrize("text", ["10.1.2.3", "127.0.0.1", "192.168.0.9", "100.64.0.1", "::1", "fd12::1"])
def test_private_networks_are_opened_one_by_one(text: str) -> None:
    """An address of a private network passes where that is opened; the refusal names the setting."""
    prefix = 128 if ":" in text else 32
    rules = AddressRules(allow_networks=(ip_network(f"{text}/{prefix}"),))
    elsewhere = AddressRules(allow_networks=(ip_network("172.16.0.0/12"),))

    judge_address(text, rules)

    for other in (STRICT, elsewhere):
        with pytest.raises(AddressRefused, match=r"outbound\.allow_networks can open"):
            judge_address(text, other)


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "224.0.0.1", "255.255.255.255",
        "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fd12::1%eth0", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "2002:a00:1::", "ff02::1", "nonsense", "",
    ],
)  # fmt: skip
def test_nothing_opens_metadata_services_and_wrapped_addresses(text: str) -> None:
    """Not even if all networks are allowed."""
    with pytest.raises(AddressRefused):
        judge_address(text, PRIVATE)


def test_one_refused_address_refuses_the_name() -> None:
    """Wherever it stands, and so do too many addresses."""
    judge_addresses(["8.8.8.8", "2606:4700::1111"], STRICT)
    judge_addresses(["8.8.8.8"] * MAX_ADDRESSES, STRICT)

    for addresses in (["8.8.8.8", "10.0.0.1"], ["::ffff:10.0.0.1", "8.8.8.8"], ["8.8.8.8"] * 300):
        with pytest.raises(AddressRefused):
            judge_addresses(addresses, STRICT)


def test_an_operator_can_close_all_hosts_but_some() -> None:
    """A host that is written out may also be a name of the own network; a wildcard cannot open one."""
    rules = AddressRules(
        allow_hosts=frozenset({"redis", "hooks.acme.dev", "*.acme.com", "*.internal", "8.8.8.8"})
    )

    for host in ("redis", "hooks.acme.dev", "a.b.acme.com", "8.8.8.8"):
        judge_url(f"https://{host}/", rules)
    for host in ("acme.com", "evil-acme.com", "other.dev", "8.8.4.4", "db.internal", "acme.com.evil.dev"):
        with pytest.raises(AddressRefused, match=f"has the host {host}"):
            judge_url(f"https://{host}/", rules)


def test_the_gateway_is_no_endpoint_of_its_own() -> None:
    """Its events would come back as requests."""
    rules = AddressRules(own_hosts=frozenset({"hooks.acme.dev"}), allow_hosts=frozenset({"hooks.acme.dev"}))

    with pytest.raises(AddressRefused, match="this gateway's own"):
        judge_url("https://hooks.acme.dev/webhooks/stripe", rules)


@pytest.mark.parametrize(
    ("network", "can_open"),
    [
        ("10.0.0.0/8", True),
        ("192.168.7.0/24", True),
        ("127.0.0.0/8", True),
        ("fc00::/7", True),
        ("0.0.0.0/0", False),
        ("169.254.0.0/16", False),
        ("100.100.100.200/32", False),
        ("fd00:ec2::/32", False),
        ("8.8.8.0/24", False),
        ("2000::/3", False),
    ],
)
def test_a_setting_that_opens_nothing_can_be_told(network: str, can_open: bool) -> None:
    """So that the configuration can refuse it."""
    assert is_openable(ip_network(network)) is can_open


@given(st.ip_addresses(v=6))
def test_ipv6_addresses_are_allowed_only_if_they_are_global(address: object) -> None:
    """What passes begins with 2 or 3, and the library calls it global, too."""
    try:
        judge_address(str(address), STRICT)
    except AddressRefused:
        return

    assert str(address)[0] in "23"
    assert ip_address(str(address)).is_global


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF), max_size=60))
def test_whatever_is_written_is_judged_or_refused(text: str) -> None:
    """Never anything else, with or without a scheme; what passes has a host that the URL has literally."""
    for url in (text, f"https://{text}", f"https://hooks.acme.dev{text}"):
        try:
            target = judge_url(url, STRICT)
        except AddressRefused:
            continue
        assert f"https://{target.host}" in url


def test_the_list_has_what_the_library_lets_pass() -> None:
    """`is_global` alone would not do, which is why it is not asked."""
    passed = []
    for host in ADDRESSES:
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            continue
        passed += [host] if address.is_global else []

    assert len(passed) >= 5
