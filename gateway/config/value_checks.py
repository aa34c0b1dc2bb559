"""Checks of single values of the configuration, for the models that have them as fields."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.redis_url import RedisUrl

EMBEDDED = "embedded"
"""The value of a ``url`` that selects the store in SQLite, which comes with the gateway."""

_URL_PATH = re.compile(r"(?=.{2,200}$)(/[A-Za-z0-9._~-]+)+")
_PUBLIC_URL = re.compile(r"https?://[!-\"$-~]+")


def check_redis_url(text: str) -> str:
    """Check the URL of Redis, or that of the embedded store.

    Raises:
        ValueError: It is not one.
    """
    if text != EMBEDDED:
        RedisUrl.parse(text)
    return text


def check_redis_node(text: str) -> str:
    """Check the URL of a Sentinel, or of a node of a Redis Cluster.

    Raises:
        ValueError: It is not one.
    """
    parts = RedisUrl.parse(text)
    if parts.path:
        raise ValueError("is a socket; write redis://host:port or rediss://host:port")
    if parts.database:
        raise ValueError("has a database, which neither a Sentinel nor a cluster has")
    return text


def check_amqp_url(text: str) -> str:
    """Check the URL of RabbitMQ, or that of the embedded queue.

    Raises:
        ValueError: It is not one.
    """
    if text != EMBEDDED:
        BrokerUrl.parse(text)
    return text


def check_amqp_node(text: str) -> str:
    """Check the URL of one node of a RabbitMQ cluster.

    Raises:
        ValueError: It is not one.
    """
    BrokerUrl.parse(text)
    return text


def check_management_url(text: str) -> str:
    """Check the URL of RabbitMQ's management API; empty for none.

    Raises:
        ValueError: It is not one.
    """
    parts = urlsplit(text)
    if text and (
        parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment
    ):
        raise ValueError("is not the address of RabbitMQ's management API; write http://host:15672")
    return text


def check_proxy_url(text: str) -> str:
    """Check the URL of an egress proxy; empty for none.

    Raises:
        ValueError: It is not one.
    """
    parts = urlsplit(text)
    if text and (
        parts.scheme != "http"
        or not parts.hostname
        or not parts.port
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError("is not the address of a proxy; write http://host:3128")
    return text


def check_postgres_url(text: str) -> str:
    """Check the URL of PostgreSQL, or that of the embedded store.

    Raises:
        ValueError: It is not one.
    """
    if text != EMBEDDED and urlsplit(text).scheme not in {"postgresql", "postgres"}:
        raise ValueError(
            "is not an address of PostgreSQL; write postgresql://user:password@host:5432/database, or embedded"
        )
    return text


def check_public_url(text: str) -> str:
    """Check the URL that a provider calls.

    Raises:
        ValueError: It is not one.
    """
    if not _PUBLIC_URL.fullmatch(text) or not urlsplit(text).hostname:
        raise ValueError(
            "is not a URL; write it as the provider calls it, such as https://hooks.example.com/webhooks/acme"
        )
    return text


def check_url_path(text: str) -> str:
    """Check a path at which a provider may call.

    Raises:
        ValueError: It is not one.
    """
    if not _URL_PATH.fullmatch(text) or {".", ".."} & set(text.split("/")):
        raise ValueError(
            "is not a path; write segments of letters, digits and -._~, without a slash at the end, such as /stripe/hook"
        )
    return text


def check_exchange(text: str) -> str:
    """Check the name of the exchange.

    Raises:
        ValueError: It is not one.
    """
    if text.startswith("amq."):
        raise ValueError("must not begin with amq., which RabbitMQ reserves")
    return text


def parse_network(text: object) -> IPv4Network | IPv6Network:
    """Parse an IP network, or a single address.

    Raises:
        ValueError: It is not one.
    """
    try:
        network = ip_network(text if isinstance(text, str) else "", strict=False)
    except ValueError:
        raise ValueError("is not a network; write an address, or a network such as 192.0.2.0/24") from None
    if str(network.network_address) != str(ip_address(str(text).partition("/")[0])):
        raise ValueError(f"is an address within a network; write {network}, or the address alone")
    return network


def check_path(path: object) -> object:
    """Check that the path of a file is not empty.

    Raises:
        ValueError: It is not one.
    """
    if path == "":
        raise ValueError("is empty; leave it out, or name a file")
    return path
