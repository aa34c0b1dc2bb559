"""What a request says that its body is."""

from __future__ import annotations

from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

_CONTENT_TYPE = b"content-type"


def content_type_of(headers: Headers) -> bytes | None:
    """Return the content type of a request, None when it says none; proxies that repeat an equal one are borne with.

    Raises:
        MalformedRequest: It says two, of which a proxy and we could believe different ones.
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
    return stated  # the comma stands in a parameter, or nobody knows the type
