"""How attempts end: the words of attempts, journal, metrics and logs."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt ended. Everything but `delivered` is a failure."""

    DELIVERED = "delivered"
    """A 2xx response."""
    STATUS = "status"
    """A response of another status."""
    REDIRECT = "redirect"
    """A 3xx response, which is never followed."""
    ADDRESS_REFUSED = "address_refused"
    """The URL or an address of its name is one that endpoints must not have."""
    DNS = "dns"
    """The name has no address."""
    CONNECT = "connect"
    """Nothing accepted the connection."""
    RESET = "reset"
    """The connection ended before the response was complete."""
    TLS_EXPIRED = "tls_expired"
    TLS_NAME = "tls_name"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS = "tls"
    """Another failure of TLS, such as a version that is too old."""
    TIMEOUT_DNS = "timeout_dns"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_TLS = "timeout_tls"
    TIMEOUT_HEAD = "timeout_head"
    """No complete head of a response within the deadline."""
    PROTOCOL = "protocol"
    """What came was no HTTP response, or its head was too large."""
    INTERRUPTED = "interrupted"
    """The gateway ended meanwhile; the attempt does not count."""
    FORMAT = "format"
    """The event has no body of the wanted format, such as `original` for an event of an agent."""
