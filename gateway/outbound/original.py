"""Events as their provider sent them, signed anew as the provider signs.

So an application that verifies with the provider's own library works unchanged behind the gateway, with the endpoint's secret in
place of the provider's. Bodies are the bytes that came, but for three cases: a form is written anew from its fields, an event out
of a list becomes a list of one, and secret values stay masked.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.identifying_headers import header_of, type_header
from gateway.devtools.samples import Sample, load_sample, sample_names
from gateway.errors import OperatorError
from gateway.events.xml import parse_xml
from gateway.outbound.envelope import NoSuchFormat, Original, read_original
from gateway.signatures.batches import Batch
from gateway.signatures.extractors import Sources, places_of, pointer_steps, resolve
from gateway.signatures.forms import write_form
from gateway.signatures.rejections import Rejection
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS
from gateway.signatures.secrets import SecretFormatError

_JSON = "application/json"
_SIGNED_HEADER = re.compile(r"\{header:([A-Za-z0-9-]+)\}")
_EVENTS = "\0events"
"""Stands for a list of events until its bytes are put there."""

_PROBE = Original(id="evt_1", eventtype="example", deliveryid="evt_1", account="example")
"""An event to try a signature with."""

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
    body, media_type = _content(adapter, event, data)
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


def check_original(secret: str, sender: Sender) -> None:
    """Check that requests can be signed as a provider signs, with the secret of an endpoint.

    Raises:
        SecretFormatError: The secret is not in the provider's format.
        NoSuchFormat: The provider signs with keys that it publishes, which nobody else can do.
    """
    adapter, parameters = sender
    if adapter.spec.signature.fetches_keys:
        raise NoSuchFormat(
            f"cannot be signed as {adapter.name}, whose receivers fetch its public keys; set sign_as: standard_webhooks"
        )
    fields = _identifying(adapter, _PROBE)
    fields |= _signed_fields(adapter, _PROBE, fields, 0.0)
    try:
        adapter.scheme.sign(_request("https://example.com/", fields, b"{}"), secret, 0.0, parameters)
    except SecretFormatError:
        raise
    except (Rejection, ValueError):
        pass  # the probe has no content that could be signed, so that nothing follows about real events


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
    for sources, value in _known(adapter, event)[1:]:
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
    for name in _SIGNED_HEADER.findall(adapter.spec.signature.template):
        if name.lower() not in known:
            sample = _sample_of(adapter, event.eventtype)
            example = {each.lower(): value for each, value in sample.headers.items()} if sample else {}
            is_date = "GMT" in example.get(name.lower(), "")
            nonce = sha256(f"{event.id}\n{now}".encode()).hexdigest()[:32]
            fields[name] = formatdate(now, usegmt=True) if is_date else nonce
    return fields


def _content(adapter: Adapter, event: Original, data: bytes) -> tuple[bytes, str]:
    """Return the body of an event as its provider sends it, and the media type."""
    if event.data_base64:
        return event.content, event.datacontenttype
    if not data:
        raise NoSuchFormat("consists of header fields, which are not kept")
    sample = _sample_of(adapter, event.eventtype)
    if sample is None:
        return data, _JSON
    if sample.body_format != "form":
        return _listed(adapter, event, data, sample.body), sample.media_type
    if (name := adapter.spec.form_json) is not None:
        text = _listed(adapter, event, data, b"[]")
        return write_form({name: text.decode()}, sample.media_type.encode()), sample.media_type
    return write_form(_fields(adapter, data), sample.media_type.encode()), sample.media_type


@lru_cache(1024)
def _sample_of(adapter: Adapter, event_type: str) -> Sample | None:
    """Return the sample of an event type, or that of its adapter: it shows the format of the body."""
    known = sample_names(adapter)
    if not known:
        return None
    try:
        return load_sample(adapter, event_type)
    except OperatorError:
        return load_sample(adapter, None)


def _listed(adapter: Adapter, event: Original, data: bytes, sample: bytes) -> bytes:
    """Return an event as a list of one where its provider sends lists, with what is known of the objects around it.

    Raises:
        NoSuchFormat: The list was inside of other objects, which are gone.
    """
    batch = Batch(adapter.spec.batch) if adapter.spec.batch else None
    if batch is None or not batch.is_in(_json(sample)):
        return data
    if batch.steps is None:
        raise NoSuchFormat("was one of several in a request, whose other parts are not kept")
    if not batch.steps:
        return b"[%b]" % data
    outer: dict[str, Any] = {}
    for sources, value in _known(adapter, event):
        for place in places_of(sources)[:1]:
            if place.startswith("body:/") and value:
                _set(outer, pointer_steps(place), value)
    _set(outer, batch.steps, _EVENTS)
    return orjson.dumps(outer).replace(orjson.dumps(_EVENTS), b"[%b]" % data)


def _known(adapter: Adapter, event: Original) -> list[tuple[Sources | None, str]]:
    """Return what is known of an event, and where its provider has it."""
    spec = adapter.spec
    return [
        (spec.event_type, event.eventtype),
        (spec.account, event.account),
        (spec.delivery_id, event.deliveryid),
        (spec.event_id, event.id),
    ]


def _set(value: dict[str, Any], steps: Sequence[str], member: Any) -> None:
    for step in steps[:-1]:
        value = value.setdefault(step, {})
    value[steps[-1]] = member


def _fields(adapter: Adapter, data: bytes) -> dict[str, Any]:
    """Return the fields of a form, without the XML that was read out of one of them."""
    fields = _json(data)
    if not isinstance(fields, dict):
        raise NoSuchFormat("is no form, though its provider sends forms")
    name = adapter.spec.form_xml
    if name and isinstance(text := resolve(fields, [name]), str):
        try:
            read = parse_xml(base64.b64decode(text))
        except (Rejection, ValueError):
            return fields
        return {key: value for key, value in fields.items() if key not in read}
    return fields


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
