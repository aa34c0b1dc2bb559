"""A simulated provider: requests signed as the provider signs them, and tampered with on demand.

The module is long because one class makes the ids, the bodies and the signatures of all kinds of providers.
"""

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
from gateway.adapters.identifying_headers import field_of, type_header
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

STALE_AGE = 30 * 24 * 3600
"""Age in seconds of a request with a tampered timestamp; some providers' signatures are valid for a day."""

_ID_FIELD = "simulated"
"""The field that distinguishes events of a provider that gives them no id."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its provider would send it.

    Attributes:
        event_id: The id that the gateway will derive; in a batch, that of the first event.
        url: The target, with a query if the provider puts its signature there.
        headers: All headers.
        body: The body.
    """

    event_id: str
    url: str
    headers: dict[str, str]
    body: bytes


class Simulator:
    """Makes the requests of one provider.

    Args:
        adapter: The provider's adapter.
        secret: What the provider signs with.
        url: The URL to send to.
        sample: The content; each request gets new ids.
        public_url: The URL that is signed, if it differs from ``url``.
        parameters: The parameters of the adapter.
        seed: The seed of the ids; the same seed gives the same ids.
        changes: Changes to each event of the sample, ids included. Objects are merged, other values are replaced.
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
        self._random = Random(seed)  # noqa: S311 - ids are not secrets
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
        computed = {*places_of(adapter.spec.event_type), *places_of(adapter.spec.event_action)}
        # Some providers use the signature or its timestamp as the id; those are computed when signing.
        computed |= {*listed(getattr(signature, "place", None))}
        computed |= {*listed(getattr(getattr(signature, "timestamp", None), "place", None))}
        self._id_places = [
            place
            for place in places_of(adapter.spec.event_id)
            if place not in computed and place.startswith(("body:", "item:"))
        ]

    def make(self, now: float, *, is_fresh: bool = True) -> SignedRequest:
        """Return a request signed at ``now`` (Unix seconds). Unless ``is_fresh`` is false, it has new ids.

        Raises:
            OperatorError: There are changes, but the body has no named fields.
        """
        return self._make(now, self._secret, is_fresh=is_fresh)

    def tampered(self, tampering: Tampering, now: float) -> SignedRequest:
        """Return a request with one fault injected; ``replay`` injects none: send it twice.

        Raises:
            OperatorError: The provider does not sign that part; or as :meth:`make`.
        """
        signature = self._adapter.spec.signature
        match tampering:
            case "body":
                request = self.make(now)
                return replace(request, body=self._altered(request.body))
            case "signature":
                return self._make(now, signature.make_secret().sender)
            case "timestamp":
                if not signature.has_timestamp:
                    raise self._unsigned("the timestamp")
                return self.make(now - STALE_AGE)
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
        if not is_renewed and self._sample.body_format == "xml":
            body = self._renew_xml(body)
        signed = self._sign(headers, body, now, secret)
        url = urlsplit(self._url)._replace(query=signed.query.decode()).geturl()
        request = SignedRequest("", url, headers | signed.headers, signed.body)
        return replace(request, event_id=self._id_of(request))

    def _altered(self, body: bytes) -> bytes:
        """Return the body with a change in a signed part."""
        places = self._adapter.spec.signature.signed_places
        if WHOLE_BODY in places:
            return body + b" "
        payload = self._body.decode(body)
        place = _first(places, payload, next(self._items(payload)))
        if place is None:
            raise self._unsigned("anything in the body")
        text = str(resolve(*place))
        _set(*place, text[:-1] + ("1" if text.endswith("0") else "0"))
        return self._body.encode(payload)

    def _unsigned(self, part: str) -> OperatorError:
        signature = self._adapter.spec.signature
        others = {"body": signature.signed_places, "timestamp": signature.has_timestamp}
        possible = [*(name for name, is_possible in others.items() if is_possible), "signature", "replay"]
        return OperatorError(
            f"{self._adapter.name} does not sign {part}; try --tamper {' or '.join(possible)}"
        )

    def _identifying_headers(self) -> dict[str, str]:
        """Return the headers of the sample, and the one that names the event type."""
        spec, sample = self._adapter.spec, self._sample
        headers = {"Content-Type": sample.media_type} if sample.media_type else {}
        headers |= {"User-Agent": f"gateway-send ({self._adapter.name})", **sample.headers}
        field = type_header(spec, sample.event_type)
        if field and field[0].lower() not in map(str.lower, headers):
            headers[field[0]] = field[1]
        return headers

    def _renew_header(self, headers: dict[str, str]) -> bool:
        """Set new ids in the headers. Return whether the event id is one of them."""
        is_renewed = False
        for sources, is_own in ((self._adapter.spec.delivery_id, False), (self._adapter.spec.event_id, True)):
            # The places after the first are fallbacks.
            first = sources[:1] if isinstance(sources, list) else sources
            fields = [field_of(place) for place in places_of(first) if header_name(place)]
            if fields and (is_own or fields[-1] not in headers):
                name = fields[0] if isinstance(sources, list) else fields[-1]
                headers[name] = self._like(headers.get(name), prefix="")
                is_renewed |= is_own
        return is_renewed

    def _renew(self, payload: Any) -> None:
        """Give each event in the payload a new id."""
        for item in self._items(payload):
            if place := _first(self._id_places, payload, item):
                _set(*place, self._like(resolve(*place)))
            elif isinstance(item, dict) and (field := self._adapter.spec.form_xml) in item:
                xml = base64.b64decode(item[field]) + f"<!-- {self._new_id()} -->".encode()
                item[field] = base64.b64encode(xml).decode()
            elif isinstance(item, dict):
                item[_ID_FIELD] = self._new_id()

    def _renew_xml(self, body: bytes) -> bytes:
        """Give the event in XML a new id, or a comment if it has none."""
        payload = parse_xml(body)
        if place := _first(self._id_places, payload, payload):
            known = text_of(resolve(*place)) or ""
            return body.replace(f">{known}<".encode(), f">{self._like(known)}<".encode(), 1)
        return body + f"<!-- {self._new_id()} -->".encode()

    def _change(self, payload: Any, changes: Mapping[str, Any]) -> None:
        for item in self._items(payload):
            if not isinstance(item, dict):
                raise OperatorError(
                    f"the body of {self._sample.event_type} of {self._adapter.name} has no named fields to change"
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
        is_xml = self._sample.body_format == "xml"
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
        """Return a new id like ``known``: a number, or a string with the same prefix before the underscore."""
        if type(known) is int:
            return self._random.randrange(10**15)
        if isinstance(known, str) and known.isdigit():
            return str(self._random.randrange(10**15))
        word = known.rpartition("_")[0] if isinstance(known, str) and prefix is None else ""
        is_word = re.fullmatch(r"[A-Za-z_]{1,20}", word)
        return f"{word}_{self._random.randbytes(16).hex()}" if is_word else self._new_id()


class _Body:
    """The body of a sample, decoded to be changed and encoded again in the same format."""

    def __init__(self, sample: Sample, form_json: str | None) -> None:
        self._format = sample.body_format
        self._content_type = sample.media_type.encode()
        self._form_json = form_json
        self._original = sample.body
        self._separators_are_lines = b"\n" in sample.body.strip()
        self.payload = self.decode(sample.body)

    def decode(self, body: bytes) -> Any:
        if self._format == "form":
            fields = self._fields(body)
            inner = fields.get(self._form_json or "")
            return _json(inner.encode()) if isinstance(inner, str) else fields
        if self._format == "jwt" and body.count(b".") == 2 and not body.startswith(b"{"):
            claims = body.split(b".")[1]
            return _json(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
        return _json(body) if self._format in {"json", "json_list", "jwt"} else None

    def encode(self, payload: Any) -> bytes:
        if payload is None:
            return self._original
        if self._format == "form":
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
    """Return the first place that holds a string or number, as its root and the steps from there."""
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
