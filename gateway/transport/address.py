"""What the addresses of all servers have in common."""

from __future__ import annotations

import re
import socket

_ODD_IN_USER = re.compile(r"[\x00-\x20\x7f\\\[\]#]")


def check_address(url: str) -> None:
    """Refuse an address with a password of which a part could be taken for a host, and then be logged.

    Raises:
        ValueError: There is more than one ``@``, one behind the first ``/``, ``?`` or ``#``, or a character that no
            address has. The text has no part of the address.
    """
    _, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, place = authority.rpartition("@")
    if rest.count("@") > authority.count("@") or "@" in user or _ODD_IN_USER.search(user) or "#" in url:
        raise ValueError(
            "has a character in its user or password that has a meaning in addresses; percent-encode it "
            "(@ is %40, / is %2F, # is %23, ? is %3F, : is %3A)"
        )
    if not is_host_name(place.rpartition(":")[0] or place):
        raise ValueError(
            "has a host that is no name: a part between its dots is empty, or over 63 characters"
        )


def is_host_name(host: str) -> bool:
    """Tell whether a host can be looked up; an address in brackets can, as far as this goes."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def explain_unreachable(error: OSError, server: str) -> str:
    """Say in one line why no connection to ``server``, ``host:port`` or a socket, was made, and what to look at."""
    cause = error.strerror or str(error) or type(error).__name__
    if isinstance(error, socket.gaierror):
        return f"the host of {server} cannot be looked up ({cause}); correct the address, or the name service"
    if isinstance(error, ConnectionRefusedError) or re.search("refused|Errno 111", str(error)):
        return f"nothing listens at {server}; start the server, or correct the address"
    if isinstance(error, FileNotFoundError):
        return f"there is no socket {server}; start the server, or correct the address"
    return f"{server} cannot be reached: {cause}"


def explain_end(error: Exception, server: str, scheme: str) -> str:
    """Say why a connection without TLS ended while we logged in: most often its server wants ``scheme``."""
    cause = re.sub(r"^\[Errno \d+\] ", "", str(error)) or type(error).__name__
    return f"{server} ended the connection ({cause}); should it want TLS, write {scheme}://"
