"""Events as their provider sent them, signed anew as the provider signs.

So an application that verifies with the provider's own library works unchanged behind the gateway, with the endpoint's secret in
place of the provider's. The body is that of :mod:`gateway.outbound.original_body`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.identifying_headers import header_of, type_header
from gateway.adapters.resigning import SIGNED_HEADER
from gateway.outbound.envelope import NoSuchFormat, Original, read_original
from gateway.outbound.original_body import content_of, known_places, sample_of
from gateway.signatures.rejections import Rejection
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS
from gateway.signatures.secrets import SecretFormatError

Sender = tuple[Adapter, Mapping[str, str]]
"""Who is imitated: an adapter, and the parameters that its signature needs."""

Senders = Callable[[str, str], Sender]
"""Returns who is imitated, by the names of an adapter and of a provider of the configuration.

Raises:
    LookupError: There is no such adapter.
"""


class OriginalRequest(NamedTuple):
    """A request as a provider makes it.

    Attributes:
        url: Where it goes, with a query if the provider puts its signature there.
        headers: The header fields of the provider.
        body: The body.
    """

    url: str
    headers: dict[str, str]
    body: bytes


def bundled_sender(adapter: str, _provider: str = "") -> Sender:
    """Return an adapter that comes with the gateway, without parameters.

    Raises:
        LookupError: There is none of this name.
    """
    return _bundled(adapter), NO_PARAMETERS


@lru_cache(256)
def _bundled(name: str) -> Adapter:
    if name not in registry.names():
        raise LookupError(name)
    return registry.load(name)


def make_original(
    envelope: bytes, url: str, secret: str, now: float, senders: Senders, sign_as: str = ""
) -> OriginalRequest:
    """Make the request that the provider of an event would make at ``now`` to an endpoint.

    Args:
        envelope: The event.
        url: The URL of the endpoint, which some providers sign.
        secret: The secret of the endpoint, in the format of the provider.
        now: Unix seconds.
        senders: The adapters.
        sign_as: The adapter that signs; empty for that of the event.

    Raises:
        NoSuchFormat: The event is not one of a provider, or its request cannot be made again.
    """
    event, data = read_original(envelope)
    try:
        adapter, parameters = senders(sign_as or event.adapter, event.provider)
    except LookupError:
        raise NoSuchFormat(
            f"is to be signed as {sign_as or event.adapter}, which is no adapter here"
        ) from None
    body, media_type = content_of(adapter, event, data)
    headers = {"content-type": media_type, **_identifying(adapter, event)}
    headers |= _signed_fields(adapter, event, headers, now)
    try:
        signed = adapter.scheme.sign(_request(url, headers, body), secret, now, parameters)
    except (Rejection, ValueError) as error:
        reason = str(error) if isinstance(error, SecretFormatError) else "has no place for a signature"
        raise NoSuchFormat(f"cannot be signed as {adapter.name}: {reason}") from None
    address, query = urlsplit(url), signed.query.decode("latin-1")
    return OriginalRequest(
        url if query == address.query else address._replace(query=query).geturl(),
        headers | signed.headers,
        signed.body,
    )


def _request(url: str, headers: Mapping[str, str], body: bytes) -> RawRequest:
    address = urlsplit(url)
    return RawRequest(
        body=body,
        headers=Headers([(name.lower().encode(), value.encode()) for name, value in headers.items()]),
        path=address.path or "/",
        query=address.query.encode(),
        url=url,
    )


def _identifying(adapter: Adapter, event: Original) -> dict[str, str]:
    """Return the fields in which the provider has the event's type, its ids and its account."""
    fields = dict([field]) if (field := type_header(adapter.spec, event.eventtype)) else {}
    for sources, value in known_places(adapter, event)[1:]:
        name = header_of(sources)
        if name and value:
            fields[name] = value
    return {name: value for name, value in fields.items() if value.isascii() and value.isprintable()}


def _signed_fields(
    adapter: Adapter, event: Original, headers: Mapping[str, str], now: float
) -> dict[str, str]:
    """Return the fields that are signed and say nothing of the event: the moment in words, or a nonce."""
    known = {name.lower() for name in headers}
    fields = {}
    for name in SIGNED_HEADER.findall(adapter.spec.signature.template):
        if name.lower() not in known:
            sample = sample_of(adapter, event.eventtype)
            example = {each.lower(): value for each, value in sample.headers.items()} if sample else {}
            is_date = "GMT" in example.get(name.lower(), "")
            nonce = sha256(f"{event.id}\n{now}".encode()).hexdigest()[:32]
            fields[name] = formatdate(now, usegmt=True) if is_date else nonce
    return fields
