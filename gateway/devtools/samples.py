"""The built-in samples: bodies as the providers send them, with the headers that accompany them.

The name of a file is its event type, percent-encoded where a file system would not allow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

import orjson

from gateway.adapters.adapter import Adapter
from gateway.adapters.bundled import bundled
from gateway.adapters.registry import sample_files
from gateway.adapters.spec import BodyFormat
from gateway.errors import OperatorError
from gateway.signatures.forms import write_form
from gateway.transport.topic_patterns import key_segment

_FOLDER = bundled("providers") / "samples"
_HEADERS = "_headers.json"
_BOUNDARY = "------------------------4b1d7f0a93c25e68"
_FORMATS_BY_SUFFIX: dict[str, tuple[BodyFormat, ...]] = {
    ".json": ("json", "jwt"),
    ".txt": ("form", "text"),
    ".xml": ("xml", "text"),
}
"""The body formats that a sample with this suffix can have; the first one that its adapter accepts is used."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The content of one request.

    Attributes:
        event_type: The event type that the gateway will derive.
        media_type: The ``Content-Type`` of the body; empty for none.
        body_format: How the body is parsed.
        body: The body.
        headers: The provider's additional headers, without those for ids and signatures.
    """

    event_type: str
    media_type: str
    body_format: BodyFormat
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def sample_names(adapter: Adapter) -> list[str]:
    """Return the event types of the built-in samples of an adapter, sorted."""
    return sorted(sample_files(adapter.family))


def load_sample(adapter: Adapter, event_type: str | None) -> Sample:
    """Return a built-in sample; by default the one that the adapter names as its sample.

    Raises:
        OperatorError: The adapter has no sample, or none of this type.
    """
    known = sample_files(adapter.family)
    if not known:
        raise OperatorError(f"there is no sample for adapter {adapter.name}; pass a body with --file")
    event_type = _own_spelling(event_type or adapter.spec.sample or min(known), known)
    if event_type not in known:
        close = get_close_matches(event_type, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
        raise OperatorError(f"there is no sample {event_type!r} for adapter {adapter.name}; {hint}")
    file, headers = known[event_type], _FOLDER / adapter.family / _HEADERS
    suffix, body = "." + file.name.rpartition(".")[2], file.read_bytes()
    is_in_form = suffix == ".json" and "json" not in adapter.spec.content.values()
    media_type, body_format = _content(adapter, ".txt" if is_in_form and adapter.spec.form_json else suffix)
    if is_in_form and adapter.spec.form_json:
        body = write_form({adapter.spec.form_json: body.decode()}, media_type.encode())
    fields = orjson.loads(headers.read_bytes()) if headers.is_file() else {}
    return Sample(event_type, media_type, body_format, body, fields)


def _own_spelling(event_type: str, known: Iterable[str]) -> str:
    """Return the provider's own spelling of an event type that may be spelled as in routing keys."""
    return next((each for each in known if key_segment(each) == event_type), event_type)


def sample_of(adapter: Adapter, event_type: str, body: bytes) -> Sample:
    """Return ``body`` as a sample: as JSON if it is JSON, else in the first other format that the adapter accepts."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        media_type, body_format = _content(adapter, ".txt")
    else:
        media_type, body_format = _content(adapter, ".json")
    return Sample(event_type, media_type, body_format, body)


def content_type_of(media_type: str) -> str:
    """Return the ``Content-Type`` for a media type of an adapter; multipart types get a boundary."""
    if media_type.startswith("multipart/"):
        return f"{media_type}; boundary={_BOUNDARY}"
    return media_type.replace("*/*", "application/octet-stream")


def _content(adapter: Adapter, suffix: str) -> tuple[str, BodyFormat]:
    content = adapter.spec.content
    for wanted in _FORMATS_BY_SUFFIX[suffix]:
        for media_type, accepted in content.items():
            # A single event is valid JSON where a list of events is accepted.
            body_format: BodyFormat = "json" if accepted == "json_list" else accepted
            if body_format == wanted:
                return content_type_of(media_type), body_format
    return next(iter(content.items()))
