"""The body of an event as its provider sends it.

It is the bytes that came, but for three cases: a form is written anew from its fields, an event out of a list becomes a list of
one, and secret values stay masked.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from gateway.adapters.adapter import Adapter
from gateway.devtools.samples import Sample, load_sample, sample_names
from gateway.errors import OperatorError
from gateway.events.xml import parse_xml
from gateway.outbound.envelope import NoSuchFormat, Original
from gateway.signatures.batches import Batch
from gateway.signatures.extractors import Sources, places_of, pointer_steps, resolve
from gateway.signatures.forms import write_form
from gateway.signatures.rejections import Rejection

_JSON = "application/json"

_EVENTS = "\0events"
"""Stands for a list of events until its bytes are put there."""


def content_of(adapter: Adapter, event: Original, data: bytes) -> tuple[bytes, str]:
    """Return the body of an event as its provider sends it, and the media type.

    Args:
        adapter: The adapter of the provider.
        event: The event.
        data: Its data in JSON; empty if they are not JSON.

    Raises:
        NoSuchFormat: The body cannot be made again.
    """
    if event.data_base64:
        return event.content, event.datacontenttype
    if not data:
        raise NoSuchFormat("consists of header fields, which are not kept")
    sample = sample_of(adapter, event.eventtype)
    if sample is None:
        return data, _JSON
    if sample.body_format != "form":
        return _listed(adapter, event, data, sample.body), sample.media_type
    if (name := adapter.spec.form_json) is not None:
        text = _listed(adapter, event, data, b"[]")
        return write_form({name: text.decode()}, sample.media_type.encode()), sample.media_type
    return write_form(_fields(adapter, data), sample.media_type.encode()), sample.media_type


@lru_cache(1024)
def sample_of(adapter: Adapter, event_type: str) -> Sample | None:
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
    for sources, value in known_places(adapter, event):
        for place in places_of(sources)[:1]:
            if place.startswith("body:/") and value:
                _set(outer, pointer_steps(place), value)
    _set(outer, batch.steps, _EVENTS)
    return orjson.dumps(outer).replace(orjson.dumps(_EVENTS), b"[%b]" % data)


def known_places(adapter: Adapter, event: Original) -> list[tuple[Sources | None, str]]:
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
