"""The heads of responses, as bytes."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus

from gateway.receive.responses import NO_CONTENT, Fields

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim response to ``Expect: 100-continue``."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@lru_cache(maxsize=4096)
def render_head(status: int, fields: Fields, length: int, keep_alive: float | None) -> bytes:
    """Render the head of a response, without the ``Date`` field and the empty line.

    ``keep_alive`` is how many seconds the connection stays open for another request; None closes it.
    """
    phrase = _PHRASES.get(status, "")
    lines = [b"HTTP/1.1 %d %b" % (status, phrase.encode())]
    lines += [b"%b: %b" % field for field in fields]
    if status != NO_CONTENT:
        lines.append(b"content-length: %d" % length)
    if keep_alive is None:
        lines.append(b"connection: close")
    elif keep_alive >= 1:
        lines.append(b"keep-alive: timeout=%d" % keep_alive)
    return b"\r\n".join([*lines, b""])
