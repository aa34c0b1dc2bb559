"""The key of an event: which two requests bring the same event, and which only look alike.

The id is the provider's own, together with what it is unique within. If the signature does not cover those, anyone who
saw one request can resend it under any id, so the content is part of the key. An event without an id is identified by a
digest of what is signed, without the members that change from one attempt to the next.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from hashlib import sha256
from operator import is_
from typing import NamedTuple
from uuid import uuid4

import orjson

from gateway.adapters.adapter import BoundAdapter
from gateway.adapters.identity import Identity
from gateway.signatures.request import VerifiedRequest
from gateway.transport.topic_patterns import matches

_CONTENT_BYTES = 11
"""The bytes of a content digest in a claim: 88 bits, too many to find a collision by trial. The claim stays small."""

_CONTENT_LENGTH = -(-_CONTENT_BYTES * 4 // 3)
"""The characters of that digest in base64, without padding."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
"""The alphabet of base64 in URLs, for that of base64."""


class EventKey(NamedTuple):
    """What identifies an event.

    Attributes:
        event_id: The CloudEvents id.
        text: The text that the claim is made on.
        content: A digest of the content, which has to be the same too because the signature does not cover the id;
            empty if it does.
        mark: A digest of what a replay under another id has in common with the original; empty if there can be none.
        retention: Seconds that the event is remembered; None for the default of the store.
        is_id_enough: Whether the id alone identifies the event.
    """

    event_id: str
    text: str
    content: str = ""
    mark: str = ""
    retention: float | None = None
    is_id_enough: bool = True


class Part(NamedTuple):
    """One event of a request that brought several.

    Attributes:
        data: The bytes of the event.
        place: Its position in the request, from 0.
        context: What the lists around it add to its meaning, if there may be several lists.
    """

    data: bytes
    place: int
    context: bytes = b""


class EventKeys:
    """Makes the keys of one provider's events.

    Args:
        adapter: The provider's adapter.
        retention: Seconds that its events are remembered; None for the default of the store.
    """

    def __init__(self, adapter: BoundAdapter, retention: float | None = None) -> None:
        spec = adapter.spec
        self._adapter = adapter
        self._retention = retention
        # If not, what is signed is no event, or only a part of one.
        self._is_content_signed = spec.signature.is_body_bound
        self._is_type_in_body = adapter.has_type_in_body
        self._attempt_members = [_steps(pointer) for pointer in spec.attempt_members]
        self._window = spec.equal_events.window if spec.equal_events else None
        self._meant = tuple(spec.equal_events.meant) if spec.equal_events else ()

    def key_of(
        self,
        identity: Identity,
        request: VerifiedRequest,
        payload: object,
        received_at: float,
        part: Part | None = None,
    ) -> EventKey:
        """Return the key of an event.

        Args:
            identity: The id and the type that the adapter found.
            request: The request that brought the event.
            payload: The parsed JSON of the event.
            received_at: When the request came, in Unix seconds.
            part: The event's part of the request, if that brought several.
        """
        if identity.is_test:
            # Providers send each test event under the same id, and expect each to be handled.
            event_id = identity.event_id or str(uuid4())
            mark = sha256(self._captured(request, part)).hexdigest()
            return EventKey(event_id, f"{event_id}\n{uuid4().hex}", "", mark, self._retention, False)
        if identity.event_id is None:
            return self._derived_key(identity, request, payload, received_at, part)
        event_id, within = identity.event_id, identity.within
        text = f"{event_id}\n{within}" if within else event_id
        if self._adapter.signs_event_id:
            return EventKey(event_id, text, "", "", self._retention, not within)
        content = self._content_of(request, payload, part)
        captured = self._captured(request, part)
        digest = sha256(content).digest()
        marked = digest if captured is content else sha256(captured).digest()
        return EventKey(
            event_id,
            text,
            b2a_base64(digest[:_CONTENT_BYTES])[:_CONTENT_LENGTH].translate(_URL_SAFE).decode(),
            marked.hex(),
            self._retention,
            not within,
        )

    def _derived_key(
        self,
        identity: Identity,
        request: VerifiedRequest,
        payload: object,
        received_at: float,
        part: Part | None,
    ) -> EventKey:
        """Return the key of an event without an id, derived from its content."""
        window = self._window
        if window is not None and any(matches(pattern, identity.event_type) for pattern in self._meant):
            mark = sha256(self._captured(request, part)).hexdigest()
            own = str(uuid4())
            return EventKey(own, own, "", mark, window)
        content = self._content_of(request, payload, part)
        if not self._is_type_in_body:  # one change can be sent as two events of one body
            content = b"%b\0%b" % (identity.event_type.encode(), content)
        if identity.within:
            content = b"%b\0%b" % (identity.within.encode(), content)
        text = sha256(content).hexdigest()
        mark = ""
        is_partly_signed = request.signed is not None and not self._is_content_signed
        if is_partly_signed or not (self._adapter.signs_event_id and self._is_type_in_body):
            mark = sha256(self._captured(request, part)).hexdigest()
        if window is None:
            return EventKey(text, text, "", mark, self._retention)
        # Equal events that are more than a window apart are different events, and need different ids.
        return EventKey(f"{text}.{int(received_at // window)}", text, "", mark, window)

    def _content_of(self, request: VerifiedRequest, payload: object, part: Part | None) -> bytes:
        """Return what all attempts at the event have in common: what is signed of it, or all of it."""
        rest = payload
        for steps in self._attempt_members:
            rest = without(rest, steps)
        if rest is not payload:
            content = _canonical(rest)
            return content + part.context if part else content
        if part is not None:
            return part.data + part.context
        return request.body if request.signed is None or not self._is_content_signed else request.signed

    def _captured(self, request: VerifiedRequest, part: Part | None) -> bytes:
        """Return what a captured request shares with every request that can be forged from it."""
        if part is None:
            return request.body if request.signed is None else request.signed
        if request.signed_items is not None:
            return request.signed_items[part.place]
        if request.signed is None:
            return part.data + part.context
        # With the place: otherwise all events under one signature would look like replays of the first.
        return b"%b:%d" % (request.signed, part.place)


def without(value: object, steps: list[str]) -> object:
    """Return a JSON value without the members that ``steps`` lead to.

    Without such members the same object is returned, so that identity tells whether anything changed.
    """
    step, rest = steps[0], steps[1:]
    if isinstance(value, list) and step == "*":
        members = [without(member, rest) for member in value] if rest else []
        is_same = len(members) == len(value) and all(map(is_, members, value))
        return value if is_same else members
    if not isinstance(value, dict):
        return value
    names = list(value) if step == "*" else [step] if step in value else []
    if not rest:
        return {name: member for name, member in value.items() if name not in names} if names else value
    changed = {name: without(value[name], rest) for name in names}
    return value if all(changed[name] is value[name] for name in names) else {**value, **changed}


def _canonical(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(value, sort_keys=True).encode()


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
