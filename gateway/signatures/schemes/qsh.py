"""The digest of method, path and query by which Atlassian's tokens are bound to a request (``qsh``)."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, quote


def canonical_request(method: str, url: str) -> str:
    """What is digested: parameters sorted by name, the values of one sorted and joined with commas."""
    # Not by urlsplit: it raises for hosts that are none, and which one was called does not matter here.
    address, _, query = url.partition("://")[2].partition("?")
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "jwt":  # the token itself, where it stands in the query
            values.setdefault(_quote(name), []).append(_quote(value))
    parameters = "&".join(f"{name}={','.join(sorted(values[name]))}" for name in sorted(values))
    path = "/" + address.partition("/")[2].replace("&", "%26").rstrip("/")
    return f"{method}&{path}&{parameters}"


def query_string_hash(method: str, url: str) -> str:
    """The SHA-256 of the canonical request in hexadecimal."""
    return hashlib.sha256(canonical_request(method, url).encode()).hexdigest()


def _quote(text: str) -> str:
    return quote(text, safe="~")
