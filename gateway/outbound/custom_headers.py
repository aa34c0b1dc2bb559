"""The header fields that the owner of an endpoint adds to its requests, such as a token of their proxy."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_FIELDS = 16
"""The most fields of an endpoint."""

MAX_BYTES = 4096
"""The most bytes of their names and values together."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?")

_OURS = frozenset(
    {
        # framing and the connection, RFC 9110 section 7.6.1 and RFC 9112
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        # what a request is, and who sends it
        "accept-encoding", "content-encoding", "content-type", "cookie", "traceparent", "tracestate", "user-agent",
        "x-webhook-id", "x-webhook-signature",
    }
)  # fmt: skip
_OUR_PREFIXES = ("webhook-", "svix-", "proxy-")


class BadHeader(ValueError):
    """Raised for fields that an endpoint must not have. The text has the name of the field, and never its value."""


def check_headers(fields: Mapping[str, str]) -> None:
    """Check the fields of an endpoint.

    Raises:
        BadHeader: There are too many, or one is malformed or not the owner's to set.
    """
    if len(fields) > MAX_FIELDS:
        raise BadHeader(f"there are more than {MAX_FIELDS} header fields")
    if sum(len(name) + len(value) for name, value in fields.items()) > MAX_BYTES:
        raise BadHeader(f"the header fields have more than {MAX_BYTES} bytes")
    seen: set[str] = set()
    for name, value in fields.items():
        if not _NAME.fullmatch(name):
            raise BadHeader("a name is no name of a header field")
        lower = name.lower()
        if lower in seen:
            raise BadHeader(f"{name} stands there twice")
        seen.add(lower)
        if lower in _OURS or lower.startswith(_OUR_PREFIXES):
            raise BadHeader(f"{name} is set by the gateway alone")
        if not _VALUE.fullmatch(value):
            raise BadHeader(
                f"the value of {name} is empty, begins or ends with a space, or is not printable ASCII"
            )
