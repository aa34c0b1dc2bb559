"""A sender to try the gateway with: requests signed as the provider signs them, and spoiled in given ways."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from gateway.adapters.adapter import Adapter
from gateway.adapters.identity import clean_event_id
from gateway.devtools.samples import Sample
from gateway.errors import OperatorError
from gateway.events.xml import parse_xml
from gateway.signatures.batches import Batch
from gateway.signatures.extractors import (
    SourceContext,
    compile_sources,
    header_name,
    places_of,
    pointer_steps,
    resolve,
    text_of,
)
from gateway.signatures.forms import Fields, parse_form, write_form
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, WHOLE_BODY
from gateway.signatures.schemes.layout import listed
from gateway.signatures.schemes.signed import Signed

Tampering = Literal["body", "signature", "timestamp", "replay"]

STALE_BY = 30 * 24 * 3600
"""Seconds that a request with a spoiled timestamp was signed too early; some senders' are good for a day."""

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
        seed: what the ids are made from; the same ones for the same seed.
        changes: what is different in each event of the sample, its id too; objects are merged, all else is replaced.
    """

    def __init__(
        self,
        adapter: Adapter,
        secret: str,
        url: str,
        sample: Sample,
        public_url: str | None = None,
        parameters: Mapping[str, str] = NO_PARAMETERS,
        seed: int | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self._adapter = adapter
        self._random = Random(seed)  # noqa: S311 - the ids are no secrets
        self._secret = secret
        self._url = url
        self._public_url = public_url or url
        self._parameters = parameters
        self._sample = sample
        self._changes = changes
        self._batch = Batch(adapter.spec.batch) if adapter.spec.batch else None
        self._body = _Body(sample, adapter.spec.form_json)
        self._event_id = compile_sources(adapter.spec.event_id) if adapter.spec.event_id else None
        signature = adapter.spec.signature
        made = {*places_of(adapter.spec.event_type), *places_of(adapter.spec.event_action)}
        # The signature and its moment are ids at some, and are made when it is signed.
        made |= {*listed(getattr(signature, "place", None))}
        made |= {*listed(getattr(getattr(signature, "timestamp", None), "place", None))}
        self._id_places = [
            place
            for place in places_of(adapter.spec.event_id)
            if place not in made and place.startswith(("body:", "item:"))
        ]

    def make(self, now: float, *, is_fresh: bool = True) -> SignedRequest:
        """One request signed at ``now`` (Unix seconds); a fresh one has ids of its own.

        Raises:
            OperatorError: there are changes, and nothing in the body that has names.
        """
        return self._make(now, self._secret, is_fresh=is_fresh)

    def tampered(self, tampering: Tampering, now: float) -> SignedRequest:
        """One request spoiled as told; ``replay`` spoils nothing, it is to be sent twice.

        Raises:
            OperatorError: the provider does not sign what is to be spoiled; or as :meth:`make`.
        """
        signature = self._adapter.spec.signature
        match tampering:
            case "body":
                request = self.make(now)
                return replace(request, body=self._spoiled(request.body))
            case "signature":
                return self._make(now, signature.make_secret().sender)
            case "timestamp":
                if not signature.has_timestamp:
                    raise self._cannot("the time")
                return self.make(now - STALE_BY)
            case "replay":
                return self.make(now)

    def _make(self, now: float, secret: str, *, is_fresh: bool = True) -> SignedRequest:
        payload = copy.deepcopy(self._body.payload)
        headers = self._identifying_headers()
        is_renewed = self._renew_header(headers) or not is_fresh
        if not is_renewed and payload is not None:
            self._renew(payload)
        if self._changes:
            self._change(payload, self._changes)
        body = self._body.encode(payload) if is_fresh or self._changes else self._sample.body
        if not is_renewed and self._sample.reading == "xml":
            body = self._renew_xml(body)
        signed = self._sign(headers, body, now, secret)
        url = urlsplit(self._url)._replace(query=signed.query.decode()).geturl()
        request = SignedRequest("", url, headers | signed.headers, signed.body)
        return replace(request, event_id=self._id_of(request))

    def _spoiled(self, body: bytes) -> bytes:
        """The body with a change in what is signed of it."""
        places = self._adapter.spec.signature.signed_places
        if WHOLE_BODY in places:
            return body + b" "
        payload = self._body.decode(body)
        place = _first(places, payload, next(self._items(payload)))
        if place is None:
            raise self._cannot("anything in the body")
        text = str(resolve(*place))
        _set(*place, text[:-1] + ("1" if text.endswith("0") else "0"))
        return self._body.encode(payload)

    def _cannot(self, part: str) -> OperatorError:
        signature = self._adapter.spec.signature
        others = {"body": signature.signed_places, "timestamp": signature.has_timestamp}
        possible = [*(name for name, is_possible in others.items() if is_possible), "signature", "replay"]
        return OperatorError(
            f"{self._adapter.name} does not sign {part}; try --tamper {' or '.join(possible)}"
        )

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
            # What is named behind the first place is there for events that have nothing better.
            first = sources[:1] if isinstance(sources, list) else sources
            fields = [_field(place) for place in places_of(first) if header_name(place)]
            if fields and (is_own or fields[-1] not in headers):
                name = fields[0] if isinstance(sources, list) else fields[-1]
                headers[name] = self._like(headers.get(name), prefix="")
                is_renewed |= is_own
        return is_renewed

    def _renew(self, payload: Any) -> None:
        """Give each event in the payload an id of its own."""
        for item in self._items(payload):
            if place := _first(self._id_places, payload, item):
                _set(*place, self._like(resolve(*place)))
            elif isinstance(item, dict) and (field := self._adapter.spec.form_xml) in item:
                xml = base64.b64decode(item[field]) + f"<!-- {self._new_id()} -->".encode()
                item[field] = base64.b64encode(xml).decode()
            elif isinstance(item, dict):
                item[_MADE_UP] = self._new_id()

    def _renew_xml(self, body: bytes) -> bytes:
        """Give the event in XML an id of its own, or where it has none, a comment."""
        payload = parse_xml(body)
        if place := _first(self._id_places, payload, payload):
            known = text_of(resolve(*place)) or ""
            return body.replace(f">{known}<".encode(), f">{self._like(known)}<".encode(), 1)
        return body + f"<!-- {self._new_id()} -->".encode()

    def _change(self, payload: Any, changes: Mapping[str, Any]) -> None:
        for item in self._items(payload):
            if not isinstance(item, dict):
                raise OperatorError(
                    f"the body of {self._sample.event_type} of {self._adapter.name} has no names to change it by"
                )
            _merge(item, changes)

    def _items(self, payload: Any) -> Iterator[Any]:
        yield from self._batch.values(payload) if self._batch else [payload]

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

    def _id_of(self, request: SignedRequest) -> str:
        is_xml = self._sample.reading == "xml"
        payload = parse_xml(request.body) if is_xml else self._body.decode(request.body)
        first = next(self._batch.events(payload), None) if self._batch else None
        item, parent = (first.value, first.parent) if first else (payload, None)
        query = urlsplit(request.url).query.encode()
        delivery = SourceContext(_headers(request.headers), query, payload, item, parent)
        value = clean_event_id(self._event_id(delivery)) if self._event_id else None
        return value or sha256(request.body).hexdigest()

    def _new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _like(self, known: object, prefix: str | None = None) -> Any:
        """A new id of the kind of ``known``: a number, or a text with the same word before its underscore."""
        if type(known) is int:
            return self._random.randrange(10**15)
        if isinstance(known, str) and known.isdigit():
            return str(self._random.randrange(10**15))
        word = known.rpartition("_")[0] if isinstance(known, str) and prefix is None else ""
        is_word = re.fullmatch(r"[A-Za-z_]{1,20}", word)
        return f"{word}_{self._random.randbytes(16).hex()}" if is_word else self._new_id()


class _Body:
    """The body of a sample, to be changed and written again as it was."""

    def __init__(self, sample: Sample, form_json: str | None) -> None:
        self._reading = sample.reading
        self._content_type = sample.media_type.encode()
        self._form_json = form_json
        self._original = sample.body
        self._separators_are_lines = b"\n" in sample.body.strip()
        self.payload = self.decode(sample.body)

    def decode(self, body: bytes) -> Any:
        if self._reading == "form":
            fields = self._fields(body)
            inner = fields.get(self._form_json or "")
            return _json(inner.encode()) if isinstance(inner, str) else fields
        if self._reading == "jwt" and body.count(b".") == 2 and not body.startswith(b"{"):
            claims = body.split(b".")[1]
            return _json(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
        return _json(body) if self._reading in {"json", "json_list", "jwt"} else None

    def encode(self, payload: Any) -> bytes:
        if payload is None:
            return self._original
        if self._reading == "form":
            fields = self._fields(self._original)
            if self._form_json in fields:
                payload = fields | {self._form_json: orjson.dumps(payload).decode()}
            return write_form(payload, self._content_type)
        return orjson.dumps(payload, option=orjson.OPT_INDENT_2 if self._separators_are_lines else None)

    def _fields(self, body: bytes) -> Fields:
        try:
            return parse_form(body, self._content_type)
        except MalformedRequest:
            return {}


def _first(places: Sequence[str], payload: Any, item: Any) -> tuple[Any, list[str]] | None:
    """The first of the places at which a text or a number stands: what it is in, and the steps to it."""
    for place in places:
        root, steps = item if place.startswith("item:") else payload, pointer_steps(place)
        if steps and text_of(resolve(root, steps)):
            return root, steps
    return None


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


def _merge(item: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        known = item.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping):
            _merge(known, value)
        else:
            item[name] = value


def _set(payload: Any, steps: list[str], value: object) -> None:
    parent: Any = resolve(payload, steps[:-1])
    parent[int(steps[-1]) if isinstance(parent, list) else steps[-1]] = value
