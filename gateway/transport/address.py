"""What the addresses of all servers have in common."""

from __future__ import annotations

import re

_ODD_IN_USER = re.compile(r"[\x00-\x20\x7f\\\[\]#]")


def check_address(url: str) -> None:
    """Refuse an address with a password of which a part could be taken for a host, and then be logged.

    Raises:
        ValueError: There is more than one ``@``, one behind the first ``/``, ``?`` or ``#``, or a character that no
            address has. The text has no part of the address.
    """
    _, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user = authority.rpartition("@")[0]
    if rest.count("@") > authority.count("@") or "@" in user or _ODD_IN_USER.search(user) or "#" in url:
        raise ValueError(
            "has a character in its user or password that has a meaning in addresses; percent-encode it "
            "(@ is %40, / is %2F, # is %23, ? is %3F, : is %3A)"
        )
