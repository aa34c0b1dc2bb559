"""Adapters answer two questions about a request: who sent it, and what is it?

This module has more than 200 lines because an adapter and its bound form are documented together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate

from typing_extensions import override

from gateway.adapters.event_type import EventType
from gateway.adapters.handshake_replies import HandshakeResponder
from gateway.adapters.identity import (
    UNKNOWN_TYPE,
    Identity,
    clean_attribute,
    clean_event_id,
    clean_event_type,
    clean_time,
)
from gateway.adapters.spec import AdapterSpec
from gateway.signatures import request as _request
from gateway.signatures.extractors import (
    Parent,
    SourceContext,
    compile_sources,
    header_name,
    places_of,
    text_of,
)
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest, VerifiedRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, StaticVerifier, Verifier
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeyRequest

Mask = Callable[[object], object]
"""A function that returns an event without its secret values."""

_MAX_CACHED_TYPES = 1024
"""Event types that are compiled and kept. Senders have a few, but could make up any number."""

_WHOLE = object()


class Adapter:
    """The knowledge about one sender.

    Args:
        name: the name in ``adapter:`` and in the event.
        spec: its description.
        family: the adapter of which it is a variant and whose samples and schemas it uses; itself by default.
    """

    def __init__(self, name: str, spec: AdapterSpec, family: str | None = None) -> None:
        self.name = name
        self.family = family or name
        self.spec = spec
        self.scheme = spec.scheme()

    def bind(
        self,
        secrets: Sequence[str],
        parameters: Mapping[str, str] = NO_PARAMETERS,
        handshake_token: str | None = None,
        mask: Mask | None = None,
    ) -> BoundAdapter:
        """Bind the adapter to the secrets of its sender (several while rotating) and to its parameters.

        Without secrets nothing verifies, until the sender has sent its secret in a handshake. With a ``mask``, all fields
        of an identity except the id and the type are read from the masked event.

        Raises:
            SecretFormatError: A secret is not in the format of the sender.
        """
        return BoundAdapter(self, secrets, parameters, handshake_token, mask)


class BoundAdapter:
    """An :class:`Adapter` bound to its secrets; the only maker of verified requests.

    Attributes:
        name: the name of the adapter.
        spec: its description.
        needs_url: whether verifying needs the URL that the sender called.
        signs_event_id: whether the signature covers what identifies the event. If not, a captured request can be sent
            under another id.
        verifier: verifies requests with these secrets.
        verifies_aside: whether another thread may call :meth:`verify`, because it keeps no state.
        handshake_responder: answers the handshakes of the sender; None if it has none.
    """

    def __init__(
        self,
        adapter: Adapter,
        secrets: Sequence[str],
        parameters: Mapping[str, str],
        handshake_token: str | None,
        mask: Mask | None,
    ) -> None:
        spec = adapter.spec
        self.name = adapter.name
        self.spec = spec
        self._mask = mask
        self.needs_url = spec.needs_url
        self.signs_event_id = spec.signs_event_id
        self.handshake_responder = (
            HandshakeResponder(spec.handshakes, spec.signature.template, secrets, parameters, handshake_token)
            if spec.handshakes
            else None
        )
        is_awaiting = spec.enrols and not secrets
        self.verifier: Verifier = (
            _RejectingVerifier() if is_awaiting else adapter.scheme.bind(secrets, parameters)
        )
        self.verifies_aside = isinstance(self.verifier, StaticVerifier)
        self.has_type_in_body = not any(map(header_name, places_of(spec.event_type)))
        ids = [spec.event_id] if isinstance(spec.event_id, str) else spec.event_id or []
        self._event_ids = list(map(compile_sources, ids))
        self._within = list(map(compile_sources, spec.unique_within))
        self._tests = [
            (compile_sources(place), re.compile(translate(value)).match)
            for place, value in spec.test_events.items()
        ]
        self._event_type = compile_sources(spec.event_type) if spec.event_type else None
        self._event_action = compile_sources(spec.event_action) if spec.event_action else None
        self._delivery_id = compile_sources(spec.delivery_id) if spec.delivery_id else None
        self._source = compile_sources(spec.source) if spec.source else None
        self._account = compile_sources(spec.account) if spec.account else None
        self._actor = compile_sources(spec.actor) if spec.actor else None
        self._types: dict[str, EventType] = {}

    def verify(self, request: RawRequest, now: float) -> VerifiedRequest:
        """Prove who sent ``request``; ``now`` is in Unix seconds.

        Raises:
            SignatureRejected: The sender is not proven.
            KeyNeeded: A key has to be fetched first and passed to :meth:`learn`.
        """
        return VerifiedRequest(request, self.verifier.verify(request, now), proof=_request.PROOF)

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """Store a key that was fetched at ``now`` (Unix seconds).

        Raises:
            ValueError: The content is not the key that was requested.
        """
        self.verifier.learn(request, content, now)

    @property
    def fetched(self) -> FetchedKeys | None:
        """The cache of fetched keys; None if the keys are configured."""
        return self.verifier.fetched

    def delivery_id(self, request: VerifiedRequest, payload: object) -> str | None:
        """Return the delivery id of a batch, or None if its sender gives none.

        Raises:
            MalformedRequest: The header or parameter with the id is repeated.
        """
        context = SourceContext(request.headers, request.query, payload, None)
        return clean_attribute(self._delivery_id(context)) if self._delivery_id else None

    def identify(
        self,
        request: VerifiedRequest,
        payload: object,
        item: object = _WHOLE,
        parent: Parent | None = None,
    ) -> Identity:
        """Return the identity of an event.

        Args:
            request: the request that carries it.
            payload: the parsed body.
            item: the event in the body, if the body is a batch.
            parent: the place of the list that contains the event.

        Raises:
            MalformedRequest: A header or parameter that identifies the event is repeated.
        """
        context = SourceContext(
            request.headers, request.query, payload, payload if item is _WHOLE else item, parent
        )
        event_type, is_typed = self._type_of(context)
        event_id = self._id_of(context)
        within = self._within_of(context) if self._within else ""
        is_test = bool(self._tests) and self._is_test(context)
        if self._mask:
            masked = self._mask(context.item)
            hidden = parent.hidden() if parent else None
            # Other events of the batch are hidden, since only this one is masked.
            around = hidden.outermost if hidden and isinstance(payload, dict) else None
            shown = masked if item is _WHOLE else around
            context = SourceContext(request.headers, request.query, shown, masked, hidden)
        identity = Identity(
            event_id,
            event_type.name,
            is_typed,
            clean_attribute(self._delivery_id(context)) if self._delivery_id else None,
            clean_attribute(self._source(context)) if self._source else None,
            clean_time(event_type.time(context)) if event_type.time else None,
            clean_attribute(event_type.subject(context)) if event_type.subject else None,
            clean_attribute(self._account(context)) if self._account else None,
            clean_attribute(self._actor(context)) if self._actor else None,
            within=within,
            is_test=is_test,
        )
        if event_type.summarise:
            identity.summary = event_type.summarise(context, identity)
        return identity

    def _id_of(self, context: SourceContext) -> str | None:
        """Return the first id that is present."""
        for place in self._event_ids:
            if (event_id := clean_event_id(place(context))) is not None:
                return event_id
        return None

    def _within_of(self, context: SourceContext) -> str:
        """Join the values within which the id is unique, unambiguously. Return "" if all are absent."""
        joined = ""
        for place in self._within:
            value = text_of(place(context))
            joined += f"{len(value)}:{value}" if value else "-"
        return joined if joined.strip("-") else ""

    def _is_test(self, context: SourceContext) -> bool:
        for place, fits in self._tests:  # noqa: SIM110 -- a generator for each event costs more than the test
            if fits(text_of(place(context)) or ""):
                return True
        return False

    def _type_of(self, context: SourceContext) -> tuple[EventType, bool]:
        """Return the type of an event, and whether the event has one as it should."""
        if self._event_type is None:
            return self._type_named(UNKNOWN_TYPE), True
        word = clean_event_type(self._event_type(context))
        if word is None:
            return self._type_named(UNKNOWN_TYPE), False
        action = self._event_action(context) if self._event_action else None
        if action is None or action == "":
            return self._type_named(word), True
        refined = clean_event_type(f"{word}.{action}" if type(action) is str else None)
        return self._type_named(refined or word), refined is not None

    def _type_named(self, name: str) -> EventType:
        found = self._types.get(name)
        if found is None:
            if len(self._types) >= _MAX_CACHED_TYPES:
                self._types.clear()
            found = self._types[name] = EventType(name, self.spec)
        return found


class _RejectingVerifier(StaticVerifier):
    """A verifier that accepts nobody, because the sender has not sent its secret yet."""

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        raise SignatureRejected("signature_mismatch")
