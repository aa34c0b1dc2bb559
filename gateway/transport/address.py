"""What the addresses of all servers have in common: parts, checks and error texts."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

_UNESCAPED_IN_USER = re.compile(r"[\x00-\x20\x7f\\\[\]#]")
"""Characters that have to be percent-encoded in a user or a password, as RFC 3986 has it, but for the delimiters."""

_PARAMETER_NAME = re.compile(r"[a-z_]{1,40}")
"""A parameter name that may be shown in an error text. Anything else can be a part of a password."""


def split_url(url: str, form: str) -> tuple[SplitResult, int | None]:
    """Split an address into its parts and its port.

    A password that contains a delimiter would be cut in two, and its second part be taken for a host and be logged.
    Such an address is refused, and no error text quotes an address.

    Args:
        url: The address.
        form: The error text for an address that cannot be split.

    Raises:
        ValueError: There is more than one ``@``, one behind the first ``/``, ``?`` or ``#``, a character that no
            address has, a host that is no name, or a port that is no number.
    """
    _, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, place = authority.rpartition("@")
    if rest.count("@") > authority.count("@") or "@" in user or _UNESCAPED_IN_USER.search(user) or "#" in url:
        raise ValueError(
            "has a character in its user or password that has a meaning in addresses; percent-encode it "
            "(@ is %40, / is %2F, # is %23, ? is %3F, : is %3A)"
        )
    if not is_host_name(place.rpartition(":")[0] or place):
        raise ValueError(
            "has a host that is no name: a part between its dots is empty, or over 63 characters"
        )
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:  # its text can quote a part of the password
        raise ValueError(form) from None


def parse_parameters(query: str, known: Mapping[str, str], ca: str) -> dict[str, str]:
    """Read the parameters of an address, and refuse those that would be ignored.

    Args:
        query: The part behind the ``?``.
        known: The parameters that are supported. One with a value has to have that value.
        ca: The parameter that names the certificate authority, for the error text.

    Raises:
        ValueError: A parameter is unknown, empty or repeated, or has another value than it has to have.
    """
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            shown = f"the parameter {name}" if _PARAMETER_NAME.fullmatch(name) else "a parameter"
            raise ValueError(f"has {shown}, which is not supported; there are {', '.join(known)}")
        if name in parameters or not value:
            raise ValueError(f"has {name} twice or empty")
        if known[name] and value.lower() != known[name]:
            raise ValueError(
                f"has {name} other than {known[name]}; a certificate is always verified, with its name, by the "
                f"authority that {ca} names"
            )
        parameters[name] = value
    return parameters


def add_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Return the address with these parameters added, those with an empty value excepted."""
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in parameters.items() if value)
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


def host_and_port(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_host_name(host: str) -> bool:
    """Return whether a host can be looked up. An address in brackets counts as one that can."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def explain_unreachable(error: OSError, server: str) -> str:
    """Explain why there is no connection to ``server``, and what to do, in one line.

    Args:
        error: What the attempt to connect raised.
        server: ``host:port``, or the path of a socket.
    """
    cause = error.strerror or str(error) or type(error).__name__
    if isinstance(error, socket.gaierror):
        return f"the host of {server} cannot be looked up ({cause}); correct the address, or the name service"
    if isinstance(error, ConnectionRefusedError) or re.search("refused|Errno 111", str(error)):
        return f"nothing listens at {server}; start the server, or correct the address"
    if isinstance(error, FileNotFoundError):
        return f"there is no socket {server}; start the server, or correct the address"
    return f"{server} cannot be reached: {cause}"


def explain_end(error: Exception, server: str, scheme: str) -> str:
    """Explain why a connection without TLS ended during the login.

    Most often the server expects TLS, with an address of the given ``scheme``.
    """
    cause = re.sub(r"^\[Errno \d+\] ", "", str(error)) or type(error).__name__
    return f"{server} ended the connection ({cause}); if it expects TLS, write {scheme}://"
