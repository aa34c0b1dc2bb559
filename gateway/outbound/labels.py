"""What people call an endpoint. Its URL is not for everybody: path and query may hold a token."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.outbound.models import Endpoint

_MAX_TITLE = 48
"""Characters of a description that stands for a name; of a longer one the host is clearer."""

_TAIL = 4
"""Characters of an id that tell apart endpoints with one title."""


def title_of(endpoint: Endpoint | None) -> str:
    """Return the name of an endpoint, or a short description, or the host of its URL; empty if it is gone."""
    return (
        ""
        if endpoint is None
        else title_from(endpoint.name, endpoint.description, endpoint.url) or endpoint.id
    )


def title_from(name: str, description: str, url: str) -> str:
    """Return a name, or a description that is short, or the host of a URL; empty if there is none of them."""
    return name or (description if len(description) <= _MAX_TITLE else "") or host_of(url)


def label_of(endpoint: Endpoint) -> str:
    """Return the title of an endpoint such that no other has it, for the journal.

    Those of the configuration have names of their own. Others may share one, and get the end of their id.
    """
    if endpoint.is_configured:
        return endpoint.name
    return f"{title_of(endpoint)} ({endpoint.id[-_TAIL:]})"


def host_of(url: str) -> str:
    """Return host and port of a URL; empty if it has none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
