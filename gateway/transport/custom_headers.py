"""The header fields that the owner of an endpoint adds to its requests, such as a token of their proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MAX_FIELDS = 16
"""The most fields of an endpoint."""

MAX_BYTES = 4096
"""The most bytes of their names and values together."""

NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"
"""The name of a field (RFC 9110, section 5.6.2)."""

_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?")

_OURS = frozenset(
    {
        # framing and the connection, RFC 9110 section 7.6.1 and RFC 9112
        "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
        # what a request is, and who sends it
        "accept-encoding", "content-encoding", "content-type", "cookie", "traceparent", "tracestate", "user-agent",
    }
)  # fmt: skip
_OUR_PREFIXES = ("webhook-", "x-webhook-", "svix-", "proxy-")


def header_problems(fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the fields of an endpoint, whose names are known to match :data:`NAME`.

    Each is the name of a field, empty for all of them together, and the text, which has no value in it.
    """
    seen: set[str] = set()
    for name, value in fields.items():
        lower = name.lower()
        if lower in _OURS or lower.startswith(_OUR_PREFIXES):
            yield name, "is a header that the gateway writes itself; remove it"
        elif lower in seen:
            yield name, "stands there twice, since the names of headers have no case; remove one"
        elif not value:
            yield name, "is empty; remove it, or give it a value"
        elif not _VALUE.fullmatch(value):
            yield name, "has characters other than printable ASCII, or blanks around it"
        seen.add(lower)
    if sum(len(name) + len(value) for name, value in fields.items()) > MAX_BYTES:
        yield "", f"are larger than {MAX_BYTES} bytes"
