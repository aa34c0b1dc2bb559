"""A sender to try the gateway with: requests signed as the provider signs them, and spoiled in given ways."""

from __future__ import annotations

import base64
import copy
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from gateway.errors import OperatorError
from gateway.samples import Sample
from providers import Headers, RawRequest
from providers.adapter import Adapter
from providers.schemes.scheme import NO_PARAMETERS, Signed
from providers.sources import (
    Delivery,
    compile_sources,
    header_name,
    places_of,
    pointer_steps,
    resolve,
    text_of,
)

Tampering = Literal["body", "signature", "timestamp", "replay"]

STALE_BY = 3600
"""Seconds that a request with a spoiled timestamp was signed too early."""

_MADE_UP = "simulated"
"""The member that tells events apart whose sender gives them no id."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its provider would send it.

    Attributes:
        event_id: the id that the gateway will know it by, of the first event where there are several.
        url: where it goes, with a query where the provider signs in there.
        headers: all header fields.
        body: the bytes of the body.
    """

    event_id: str
    url: str
    headers: dict[str, str]
    body: bytes


class Simulator:
    """Makes the requests of one provider.

    Args:
        adapter: what the provider does.
        secret: what it signs with.
        url: where it sends to.
        sample: what it sends; ids are made anew for each request.
        public_url: the address that it signs, where that is another one.
        parameters: what the adapter is told besides the secrets.
    """

    def __init__(
        self,
        adapter: Adapter,
        secret: str,
        url: str,
        sample: Sample,
        public_url: str | None = None,
        parameters: Mapping[str, str] = NO_PARAMETERS,
    ) -> None:
        self._adapter = adapter
        self._secret = secret
        self._url = url
        self._public_url = public_url or url
        self._parameters = parameters
        self._sample = sample
        self._body = _Body(sample, adapter.spec.form_json)
        self._event_id = compile_sources(adapter.spec.event_id) if adapter.spec.event_id else None
        telling = {*places_of(adapter.spec.event_type), *places_of(adapter.spec.event_action)}
        self._id_places = [place for place in places_of(adapter.spec.event_id) if place not in telling]

    def make(self, now: float, *, is_fresh: bool = True) -> SignedRequest:
        """One request signed at ``now`` (Unix seconds); a fresh one has ids of its own."""
        payload = copy.deepcopy(self._body.payload)
        headers = self._identifying_headers()
        if is_fresh and not self._renew_header(headers) and payload is not None:
            self._renew(payload)
        body = self._body.encode(payload) if is_fresh else self._sample.body
        return self._signed(headers, body, now)

    def tampered(self, tampering: Tampering, now: float) -> SignedRequest:
        """One request spoiled as told; ``replay`` spoils nothing, it is to be sent twice.

        Raises:
            OperatorError: the provider does not sign what is to be spoiled.
        """
        signature = self._adapter.spec.signature
        match tampering:
            case "body":
                if not signature.is_body_bound:
                    raise self._cannot("the body", "signature or replay")
                request = self.make(now)
                return replace(request, body=request.body + b" ")
            case "signature":
                request = self.make(now)
                other = self._sign(request.headers, request.body + b" ", now, self._secret[::-1] + "x")
                return self._sent(request.event_id, request.headers, other)
            case "timestamp":
                if not signature.has_moment:
                    raise self._cannot("the time", "body or replay")
                return self.make(now - STALE_BY)
            case "replay":
                return self.make(now)

    def _cannot(self, part: str, instead: str) -> OperatorError:
        return OperatorError(f"{self._adapter.name} does not sign {part}; try --tamper {instead}")

    def _identifying_headers(self) -> dict[str, str]:
        """The fields of the sample, and those that tell the type of the event."""
        spec, sample = self._adapter.spec, self._sample
        headers = {"Content-Type": sample.media_type} if sample.media_type else {}
        headers |= {"User-Agent": f"gateway-send ({self._adapter.name})", **sample.headers}
        for place in places_of(spec.event_type):
            if header_name(place) and not _has(headers, place):
                headers[_field(place)] = self._word()
                break
        return headers

    def _word(self) -> str:
        """What stands in a header: the type without the action that the body adds to it."""
        event_type = self._sample.event_type
        return event_type.partition(".")[0] if self._adapter.spec.event_action else event_type

    def _renew_header(self, headers: dict[str, str]) -> bool:
        """Give the fields that carry ids new ones; whether the event's own is among them."""
        is_renewed = False
        for sources, is_own in ((self._adapter.spec.delivery_id, False), (self._adapter.spec.event_id, True)):
            fields = [_field(place) for place in places_of(sources) if header_name(place)]
            if fields and (is_own or fields[-1] not in headers):
                name = fields[0] if isinstance(sources, list) else fields[-1]
                headers[name] = _like(headers.get(name), prefix="")
                is_renewed |= is_own
        return is_renewed

    def _renew(self, payload: Any) -> None:
        """Give each event in the payload an id of its own."""
        for item in self._items(payload):
            for place in self._id_places:
                root = item if place.startswith("item:") else payload
                steps = pointer_steps(place)
                if steps and text_of(resolve(root, steps)) is not None:
                    _set(root, steps, _like(resolve(root, steps)))
                    break
            else:
                if isinstance(item, dict):
                    item[_MADE_UP] = str(uuid.uuid4())

    def _items(self, payload: Any) -> Iterator[Any]:
        batch = self._adapter.spec.batch
        items = resolve(payload, pointer_steps(batch)) if batch else None
        yield from items if isinstance(items, list) else [payload]

    def _signed(self, headers: dict[str, str], body: bytes, now: float) -> SignedRequest:
        signed = self._sign(headers, body, now, self._secret)
        request = self._sent("", headers, signed)
        return replace(request, event_id=self._id_of(request))

    def _sign(self, headers: dict[str, str], body: bytes, now: float, secret: str) -> Signed:
        address = urlsplit(self._public_url)
        request = RawRequest(
            body=body,
            headers=_headers(headers),
            path=address.path or "/",
            query=address.query.encode(),
            url=self._public_url,
        )
        return self._adapter.scheme.sign(request, secret, now, self._parameters)

    def _sent(self, event_id: str, headers: dict[str, str], signed: Signed) -> SignedRequest:
        url = urlsplit(self._url)._replace(query=signed.query.decode()).geturl()
        return SignedRequest(event_id, url, headers | signed.headers, signed.body)

    def _id_of(self, request: SignedRequest) -> str:
        payload = self._body.decode(request.body)
        first = next(self._items(payload), None)
        delivery = Delivery(_headers(request.headers), urlsplit(request.url).query.encode(), payload, first)
        value = text_of(self._event_id(delivery)) if self._event_id else None
        return value or sha256(request.body).hexdigest()


class _Body:
    """The body of a sample, to be changed and written again as it was."""

    def __init__(self, sample: Sample, form_json: str | None) -> None:
        self._reading = sample.reading
        self._form_json = form_json
        self._original = sample.body
        self._separators_are_lines = b"\n" in sample.body.strip()
        self.payload = self.decode(sample.body)

    def decode(self, body: bytes) -> Any:
        if self._reading == "form":
            fields = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
            inner = dict(fields).get(self._form_json or "")
            return dict(fields) if inner is None else _json(inner.encode())
        if self._reading == "jwt" and body.count(b".") == 2 and not body.startswith(b"{"):
            claims = body.split(b".")[1]
            return _json(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
        return _json(body) if self._reading in {"json", "jwt"} else None

    def encode(self, payload: Any) -> bytes:
        if payload is None:
            return self._original
        if self._reading == "form":
            fields = dict(parse_qsl(self._original.decode("latin-1"), keep_blank_values=True))
            is_wrapped = self._form_json in fields
            changed = (
                fields | {str(self._form_json): orjson.dumps(payload).decode()} if is_wrapped else payload
            )
            return urlencode(changed).encode()
        return orjson.dumps(payload, option=orjson.OPT_INDENT_2 if self._separators_are_lines else None)


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _headers(fields: dict[str, str]) -> Headers:
    return Headers([(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()])


def _field(place: str) -> str:
    return place.partition(":")[2]


def _has(headers: dict[str, str], place: str) -> bool:
    return _field(place).lower() in map(str.lower, headers)


def _like(known: object, prefix: str | None = None) -> Any:
    """A new id of the kind of ``known``: a number, or a text with the same word before its underscore."""
    if type(known) is int:
        return uuid.uuid4().int % 10**15
    if isinstance(known, str) and known.isdigit():
        return str(uuid.uuid4().int % 10**15)
    word = known.rpartition("_")[0] if isinstance(known, str) and prefix is None else ""
    return (
        f"{word}_{uuid.uuid4().hex}" if word and re.fullmatch(r"[A-Za-z_]{1,20}", word) else str(uuid.uuid4())
    )


def _set(payload: Any, steps: list[str], value: object) -> None:
    parent: Any = resolve(payload, steps[:-1])
    parent[int(steps[-1]) if isinstance(parent, list) else steps[-1]] = value
