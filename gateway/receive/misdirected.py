"""Requests that lead nowhere: what was asked for, and what was probably meant. For the log alone; a client learns neither."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from difflib import get_close_matches

from typing_extensions import override

from gateway.observability.terminal import printable
from gateway.receive.context import RequestRecord
from gateway.receive.request import RequestHead
from gateway.signatures.request import Headers
from gateway.signatures.units import EventRate
from gateway.transport.token_bucket import TokenBucket

PREFIX = b"/webhooks/"
"""The beginning of the path of every provider."""

_MAX_PATH = 200
"""Characters of a path that are logged."""

_MAX_METHOD = 20
"""Characters of a method that are logged."""

_MAX_COMPARED = 64
"""Characters of a name that are compared: no provider has a longer one."""

_COMPARISONS = EventRate(20, 1.0)
"""Names that are compared with all providers: anyone can ask for names, and a comparison takes time."""

_NOT_LETTERS = re.compile(r"[^a-z0-9]+")


class RefusedRecord(RequestRecord, kw_only=True, eq=False):
    """The record of a request that was refused by its head.

    Attributes:
        head: The head.
    """

    head: RequestHead

    @property
    @override
    def headers(self) -> Headers:
        return self.head.headers

    def asked_for(self) -> dict[str, str]:
        """Return the method and the path, bounded and escaped; not the query, which may hold a secret."""
        return {
            "method": printable(self.head.method[:_MAX_METHOD]),
            "path": printable(self.head.path.decode("latin-1")[:_MAX_PATH]),
        }


class NearMisses:
    """Finds the provider that a path probably means.

    Args:
        names: The names of all providers.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._by_letters = {_letters(name): name for name in self._names}
        self._comparisons = TokenBucket(_COMPARISONS, time.monotonic)

    def explain(self, path: bytes) -> str:
        """Return why the path names no provider, with the one that is nearest."""
        text = path.decode("latin-1")
        name = text.removeprefix(PREFIX.decode()).rstrip("/")
        if not path.startswith(PREFIX):
            found = self._by_letters.get(_letters(name.rpartition("/")[2][:_MAX_COMPARED]))
            return f"no such path{f'; did you mean {PREFIX.decode()}{found}?' if found else ''}"
        near = self._nearest(name)
        return f"no provider {printable(name[:_MAX_COMPARED])!r}{f'; did you mean {near!r}?' if near else ''}"

    def _nearest(self, name: str) -> str | None:
        if len(name) > _MAX_COMPARED:
            return None
        if found := self._by_letters.get(_letters(name)):
            return found
        if self._comparisons.is_empty():
            return None
        self._comparisons.take()
        return next(iter(get_close_matches(name.lower(), self._names, n=1)), None)


def _letters(name: str) -> str:
    return _NOT_LETTERS.sub("", name.lower())
