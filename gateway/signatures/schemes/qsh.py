"""The query string hash (``qsh``), which binds Atlassian's tokens to method, path and query of a request.

Source: https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/
"""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, quote


def canonical_request(method: str, url: str) -> str:
    """Return the canonical request: parameters sorted by name, repeated values sorted and joined with commas."""
    # Not by urlsplit: it raises for invalid hosts, and the host is not part of the canonical request.
    address, _, query = url.partition("://")[2].partition("?")
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "jwt":  # the token itself, if it is in the query
            values.setdefault(_quote(name), []).append(_quote(value))
    parameters = "&".join(f"{name}={','.join(sorted(values[name]))}" for name in sorted(values))
    path = "/" + address.partition("/")[2].replace("&", "%26").rstrip("/")
    return f"{method}&{path}&{parameters}"


def query_string_hash(method: str, url: str) -> str:
    """Return the SHA-256 of the canonical request in hexadecimal."""
    return hashlib.sha256(canonical_request(method, url).encode()).hexdigest()


def _quote(text: str) -> str:
    return quote(text, safe="~")
