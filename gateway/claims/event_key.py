"""What an event is known by: which two deliveries are one event, and which only look alike.

The id is the provider's own, together with what it is unique within. Where the signature does not cover those, anybody
who saw a delivery can send it under any id, so the content counts too. An event without an id is known by a digest of
what is signed, without what changes from one attempt to the next.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
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
"""Bytes of a digest that stand in a claim: too many to be met by trying, and the claim stays below 20 bytes."""


class EventKey(NamedTuple):
    """How one event is told from others.

    Attributes:
        event_id: the CloudEvents id.
        text: what the claim is made on.
        content: a digest of what has to be the same as well, since the signature does not cover the id; empty where it
            does.
        mark: a digest of what a replay under another id has in common with the first; empty where there can be none.
        retention: seconds that the event is remembered; None for as long as the store remembers by itself.
        is_id_enough: whether the id alone names the event.
    """

    event_id: str
    text: str
    content: str = ""
    mark: str = ""
    retention: float | None = None
    is_id_enough: bool = True


class Part(NamedTuple):
    """An event in a request that brought several.

    Attributes:
        data: its bytes.
        place: its position among them.
        context: what has to be told of the lists that it is in, where there may be several.
    """

    data: bytes
    place: int
    context: bytes = b""


class EventKeys:
    """Tells the events of one provider apart.

    Args:
        adapter: the provider's adapter.
        retention: seconds that its events are remembered; None for as long as the store remembers by itself.
    """

    def __init__(self, adapter: BoundAdapter, retention: float | None = None) -> None:
        spec = adapter.spec
        self._adapter = adapter
        self._retention = retention
        # Else what is signed is no event, or a part of one.
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
            identity: what it is.
            request: the request that brought it.
            payload: its parsed JSON.
            received_at: when it came, in Unix seconds.
            part: which of several in the request it is.
        """
        if identity.is_test:
            # Its provider means each of them, under one id.
            event_id = identity.event_id or str(uuid4())
            mark = sha256(self._captured(request, part)).hexdigest()
            return EventKey(event_id, f"{event_id}\n{uuid4().hex}", "", mark, self._retention, False)
        if identity.event_id is None:
            return self._made_up(identity, request, payload, received_at, part)
        event_id, within = identity.event_id, identity.within
        text = f"{event_id}\n{within}" if within else event_id
        if self._adapter.signs_event_id:
            return EventKey(event_id, text, "", "", self._retention, not within)
        content = self._content_of(request, payload, part)
        captured = self._captured(request, part)
        digest = sha256(content)
        marked = digest if captured is content else sha256(captured)
        return EventKey(
            event_id,
            text,
            urlsafe_b64encode(digest.digest()[:_CONTENT_BYTES]).rstrip(b"=").decode(),
            marked.hexdigest(),
            self._retention,
            not within,
        )

    def _made_up(
        self,
        identity: Identity,
        request: VerifiedRequest,
        payload: object,
        received_at: float,
        part: Part | None,
    ) -> EventKey:
        """Return the key of an event that has no id."""
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
        # Equal events that are more than a window apart are different ones, and need different ids.
        return EventKey(f"{text}.{int(received_at // window)}", text, "", mark, window)

    def _content_of(self, request: VerifiedRequest, payload: object, part: Part | None) -> bytes:
        """Return what all attempts at the event have in common: what is signed of it, else all of it."""
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
        """Return what one captured delivery has in common with all that can be made of it."""
        if part is None:
            return request.body if request.signed is None else request.signed
        if request.signed_items is not None:
            return request.signed_items[part.place]
        if request.signed is None:
            return part.data + part.context
        # With the place in it: else all events under one signature would look like replays of the first.
        return b"%b:%d" % (request.signed, part.place)


def without(value: object, steps: list[str]) -> object:
    """Return a JSON value without the members that the steps lead to; the value itself where there are none."""
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
