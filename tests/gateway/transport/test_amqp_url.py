"""Addresses of RabbitMQ: their parts and defaults, and what is refused."""

from __future__ import annotations

import pytest

from gateway.transport.amqp_url import BrokerUrl


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://h", BrokerUrl("h", 5672, "guest", "guest", "/", is_tls=False)),
        ("amqps://h", BrokerUrl("h", 5671, "guest", "guest", "/", is_tls=True)),
        ("amqp://u:p@h:1/v", BrokerUrl("h", 1, "u", "p", "v", is_tls=False)),
        ("amqp://u%40x:p%2F%3A@h/a%2Fb", BrokerUrl("h", 5672, "u@x", "p/:", "a/b", is_tls=False)),
        ("amqp://u:p@[::1]:2/", BrokerUrl("::1", 2, "u", "p", "/", is_tls=False)),
    ],
)
def test_the_parts_of_an_address(url: str, expected: BrokerUrl) -> None:
    """With the usual defaults, and percent-encoding undone."""
    assert expected == BrokerUrl.parse(url)


@pytest.mark.parametrize(
    "url",
    ["", "h", "http://h", "amqp://", "amqp:///v", "redis://h", "amqp://u:hunter2/x@h", "amqp://h:70000"],
)
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    """A slash in a password that is not percent-encoded must not put the password into the error text."""
    with pytest.raises(ValueError, match=r"is not an address of RabbitMQ|percent-encode it") as caught:
        BrokerUrl.parse(url)
    assert "hunter2" not in str(caught.value)
