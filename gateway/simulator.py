"""A sender to try the gateway with: requests signed as the provider signs them, and spoiled in given ways."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

import orjson

from gateway.errors import OperatorError
from providers import Headers, RawRequest
from providers.adapter import Adapter
from providers.sources import Sources, header_name, pointer_steps

Tampering = Literal["body", "signature", "timestamp", "replay"]

STALE_BY = 3600
"""Seconds that a request with a spoiled timestamp was signed too early."""

_SAMPLES = resources.files("providers") / "samples"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its provider would send it.

    Attributes:
        event_id: the id that the gateway will know it by.
        headers: all header fields.
        body: the bytes of the body.
    """

    event_id: str
    headers: dict[str, str]
    body: bytes


def sample_names(adapter: str) -> list[str]:
    """The event types that there is a built-in sample of, sorted."""
    folder = _SAMPLES / adapter
    if not folder.is_dir():
        return []
    return sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))


def load_sample(adapter: Adapter, event_type: str | None) -> tuple[str, bytes]:
    """The event type and the body of a sample, the adapter's own choice when none is named.

    Raises:
        OperatorError: there is none.
    """
    known = sample_names(adapter.name)
    if not known:
        raise OperatorError(f"there is no sample for adapter {adapter.name}; name a file with --file")
    event_type = event_type or adapter.spec.sample or known[0]
    if event_type not in known:
        raise OperatorError(
            f"there is no sample {event_type!r} for adapter {adapter.name}; there are {', '.join(known)}"
        )
    return event_type, (_SAMPLES / adapter.name / f"{event_type}.json").read_bytes()


class Simulator:
    """Makes the requests of one provider.

    Args:
        adapter: what the provider does.
        secret: what it signs with.
        url: where it sends to.
        event_type: the type of the events; needed where it stands in a header.
        body: the body of the events; its id is made anew for each where it stands in the body and is JSON.
    """

    def __init__(self, adapter: Adapter, secret: str, url: str, event_type: str, body: bytes) -> None:
        self._adapter = adapter
        self._secret = secret
        self._url = url
        self._event_type = event_type
        self._body = body
        self._id_header, self._id_steps = _place(adapter.spec.event_id)
        self._type_header, _ = _place(adapter.spec.event_type)
        try:
            self._payload: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            self._payload = None

    def make(self, now: float, *, is_fresh: bool = True) -> SignedRequest:
        """One request signed at ``now`` (Unix seconds); a fresh one has an id of its own."""
        event_id, body = self._identify(is_fresh=is_fresh)
        headers = {"Content-Type": "application/json", "User-Agent": f"gateway-send ({self._adapter.name})"}
        if self._id_header:
            headers[self._id_header] = event_id
        if self._type_header:
            headers[self._type_header] = self._header_type()
        signed = self._adapter.scheme.sign(self._raw(body, headers), self._secret, now)
        return SignedRequest(event_id, headers | signed.headers, signed.body)

    def tampered(self, tampering: Tampering, now: float) -> SignedRequest:
        """One request spoiled as told; ``replay`` spoils nothing, it is to be sent twice.

        Raises:
            OperatorError: the provider signs no timestamp that could be spoiled.
        """
        match tampering:
            case "body":
                request = self.make(now)
                return replace(request, body=request.body + b" ")
            case "signature":
                return self._with_wrong_signature(self.make(now), now)
            case "timestamp":
                if not self._adapter.spec.signature.has_moment:
                    raise OperatorError(
                        f"{self._adapter.name} signs no timestamp; try --tamper body or replay"
                    )
                return self.make(now - STALE_BY)
            case "replay":
                return self.make(now)

    def _identify(self, *, is_fresh: bool) -> tuple[str, bytes]:
        if self._id_header:
            return str(uuid.uuid4()), self._body
        if not self._id_steps or self._payload is None:
            return "", self._body
        known = _get(self._payload, self._id_steps)
        if not is_fresh or not isinstance(known, str):
            return str(known), self._body
        prefix = known.rpartition("_")[0]
        event_id = f"{prefix}_{uuid.uuid4().hex}" if prefix else str(uuid.uuid4())
        payload = copy.deepcopy(self._payload)
        _get(payload, self._id_steps[:-1])[self._id_steps[-1]] = event_id
        return event_id, orjson.dumps(payload)

    def _header_type(self) -> str:
        """What stands in the header: the type without the action that the body adds to it."""
        if not self._adapter.spec.event_action:
            return self._event_type
        return self._event_type.partition(".")[0]

    def _with_wrong_signature(self, request: SignedRequest, now: float) -> SignedRequest:
        """The request with the signature of another body."""
        signed = self._adapter.scheme.sign(self._raw(request.body + b" ", request.headers), self._secret, now)
        return replace(request, headers=request.headers | signed.headers)

    def _raw(self, body: bytes, headers: dict[str, str]) -> RawRequest:
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        path = "/" + self._url.split("/", 3)[-1]
        return RawRequest(body=body, headers=Headers(fields), path=path, url=self._url)


def _place(sources: Sources | None) -> tuple[str | None, Sequence[str]]:
    """The header, or the steps within the body, where a value is to be put."""
    if sources is None:
        return None, ()
    source = sources if isinstance(sources, str) else sources[0]
    if header_name(source) is not None:
        return source.partition(":")[2], ()
    return None, pointer_steps(source)


def _get(payload: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        payload = payload[step] if isinstance(payload, dict) and step in payload else None
    return payload
