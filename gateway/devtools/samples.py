"""The built-in samples: a body for each adapter as its sender sends it, and the header fields that go with it.

A file is called by its event type, percent-encoded where a file name cannot be that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from gateway.adapters.adapter import Adapter
from gateway.adapters.bundled import bundled
from gateway.adapters.registry import sample_files
from gateway.adapters.spec import BodyFormat
from gateway.errors import OperatorError
from gateway.signatures.forms import write_form

_FOLDER = bundled("providers") / "samples"
_HEADERS = "_headers.json"
_BOUNDARY = "------------------------4b1d7f0a93c25e68"
_READINGS: dict[str, tuple[BodyFormat, ...]] = {
    ".json": ("json", "jwt"),
    ".txt": ("form", "text"),
    ".xml": ("xml", "text"),
}
"""What a sample of that suffix can be read as; the first that its adapter reads."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one delivery carries.

    Attributes:
        event_type: as the gateway will know it.
        media_type: of the body; empty for none.
        reading: how the body is read.
        body: its bytes.
        headers: the fields that the sender adds, without those that identify and sign.
    """

    event_type: str
    media_type: str
    reading: BodyFormat
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def sample_names(adapter: Adapter) -> list[str]:
    """Return the event types of the built-in samples of an adapter, sorted."""
    return sorted(sample_files(adapter.family))


def load_sample(adapter: Adapter, event_type: str | None) -> Sample:
    """A built-in sample, the adapter's own choice when none is named.

    Raises:
        OperatorError: there is none.
    """
    known = sample_files(adapter.family)
    if not known:
        raise OperatorError(f"there is no sample for adapter {adapter.name}; name a file with --file")
    event_type = event_type or adapter.spec.sample or min(known)
    if event_type not in known:
        raise OperatorError(
            f"there is no sample {event_type!r} for adapter {adapter.name}; there are {', '.join(sorted(known))}"
        )
    file, headers = known[event_type], _FOLDER / adapter.family / _HEADERS
    suffix, body = "." + file.name.rpartition(".")[2], file.read_bytes()
    is_in_form = suffix == ".json" and "json" not in adapter.spec.content.values()
    media_type, reading = _content(adapter, ".txt" if is_in_form and adapter.spec.form_json else suffix)
    if is_in_form and adapter.spec.form_json:
        body = write_form({adapter.spec.form_json: body.decode()}, media_type.encode())
    fields = orjson.loads(headers.read_bytes()) if headers.is_file() else {}
    return Sample(event_type, media_type, reading, body, fields)


def sample_of(adapter: Adapter, event_type: str, body: bytes) -> Sample:
    """A sample of whatever ``body`` is: JSON, or the first that the adapter reads that is not."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        media_type, reading = _content(adapter, ".txt")
    else:
        media_type, reading = _content(adapter, ".json")
    return Sample(event_type, media_type, reading, body)


def stated(media_type: str) -> str:
    """The ``Content-Type`` of a body of that type: with a boundary where it has parts."""
    if media_type.startswith("multipart/"):
        return f"{media_type}; boundary={_BOUNDARY}"
    return media_type.replace("*/*", "application/octet-stream")


def _content(adapter: Adapter, suffix: str) -> tuple[str, BodyFormat]:
    content = adapter.spec.content
    for wanted in _READINGS[suffix]:
        for media_type, stated_reading in content.items():
            # One event is read alike where a list of them could come.
            reading: BodyFormat = "json" if stated_reading == "json_list" else stated_reading
            if reading == wanted:
                return stated(media_type), reading
    return next(iter(content.items()))
