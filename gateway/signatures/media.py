"""The media type that a request declares."""

from __future__ import annotations

from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

_CONTENT_TYPE = b"content-type"


def content_type_of(headers: Headers) -> bytes | None:
    """Return the content type of a request, or None if it declares none.

    Some proxies repeat the header: repeated fields with equal media types are accepted.

    Raises:
        MalformedRequest: The request declares two different types; a proxy could have believed the other one.
    """
    is_repeated = headers.is_repeated(_CONTENT_TYPE)
    stated = None if is_repeated else headers.get(_CONTENT_TYPE)
    if not is_repeated and (stated is None or b"," not in stated):
        return stated
    values = [value for field in headers.all(_CONTENT_TYPE) for value in field.split(b",")]
    if len({value.partition(b";")[0].strip().lower() for value in values}) == 1:
        return values[0].strip()
    if is_repeated:
        raise MalformedRequest("two content types")
    return stated  # the comma is in a parameter, or the type is unknown anyway
