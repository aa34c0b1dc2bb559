"""An adapter answers two questions about its sender and nothing else: who sent this, and what is it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

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
from gateway.adapters.summary import compile_summaries
from gateway.signatures import request as _request
from gateway.signatures.extractors import (
    Parent,
    SourceContext,
    compile_by_type,
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
"""Gives an event without the values that nobody may see."""

_WHOLE = object()


class Adapter:
    """What is known of one sender.

    Args:
        name: the one in ``adapter:`` and in the event.
        spec: its description.
        family: the adapter that it is a variant of, whose samples and schemas are also its own; itself when left out.
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
        """The adapter with the secrets that its sender signs with, several while rotating, and its parameters.

        There may be none while the sender is still to tell its secret; then nothing verifies. With a ``mask``, all
        that is told of an event, but for its id and its type, is read behind that.

        Raises:
            SecretFormatError: a secret is not in the format that the sender gives them.
        """
        return BoundAdapter(self, secrets, parameters, handshake_token, mask)


class BoundAdapter:
    """An :class:`Adapter` bound to its secrets; the only maker of verified requests.

    Attributes:
        name: the adapter's name.
        spec: what it is described by.
        needs_url: whether the signature covers the address that the sender called.
        signs_event_id: whether it covers what the event is known by; else a captured delivery can be sent under
            another id.
        verifies_aside: whether :meth:`verify` may be called by another thread, since it remembers nothing.
        greeter: answers its sender's handshakes; None when it has none.
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
        self.greeter = (
            HandshakeResponder(spec.handshakes, spec.signature.template, secrets, parameters, handshake_token)
            if spec.handshakes
            else None
        )
        is_awaiting = spec.enrols and not secrets
        self._verifier: Verifier = _Nobody() if is_awaiting else adapter.scheme.bind(secrets, parameters)
        self.verifies_aside = isinstance(self._verifier, StaticVerifier)
        self.has_type_in_body = not any(map(header_name, places_of(spec.event_type)))
        ids = [spec.event_id] if isinstance(spec.event_id, str) else spec.event_id or []
        self._event_ids = list(map(compile_sources, ids))
        self._within = list(map(compile_sources, spec.unique_within))
        self._tests = [(compile_sources(place), value) for place, value in spec.test_events.items()]
        self._event_type = compile_sources(spec.event_type) if spec.event_type else None
        self._event_action = compile_sources(spec.event_action) if spec.event_action else None
        self._delivery_id = compile_sources(spec.delivery_id) if spec.delivery_id else None
        self._source = compile_sources(spec.source) if spec.source else None
        self._time = compile_by_type(spec.time) if spec.time else None
        self._subject = compile_by_type(spec.subject) if spec.subject else None
        self._account = compile_sources(spec.account) if spec.account else None
        self._actor = compile_sources(spec.actor) if spec.actor else None
        self._summary = compile_summaries(spec.summary) if spec.summary else None

    def verify(self, request: RawRequest, now: float) -> VerifiedRequest:
        """Prove who sent ``request``; ``now`` is in Unix seconds.

        Raises:
            SignatureRejected: it is not proven.
            KeyNeeded: a key has to be fetched first, and given to :meth:`learn`.
        """
        return VerifiedRequest(request, self._verifier.verify(request, now), proof=_request.PROOF)

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """Remember a key that was fetched at ``now`` (Unix seconds).

        Raises:
            ValueError: it is not the key that was asked for.
        """
        self._verifier.learn(request, content, now)

    @property
    def fetched(self) -> FetchedKeys | None:
        """The keys of the sender where they are fetched; None where they are configured."""
        return self._verifier.fetched

    def delivery_id(self, request: VerifiedRequest, payload: object) -> str | None:
        """The id of a delivery of several events, where its sender gives it one.

        Raises:
            MalformedRequest: a header or a parameter that it is in stands there twice.
        """
        delivery = SourceContext(request.headers, request.query, payload, None)
        return clean_attribute(self._delivery_id(delivery)) if self._delivery_id else None

    def identify(
        self,
        request: VerifiedRequest,
        payload: object,
        item: object = _WHOLE,
        parent: Parent | None = None,
    ) -> Identity:
        """What an event is; ``payload`` is the parsed body, ``item`` the event in it where it holds several.

        ``parent`` is what the list stands in that the event is of.

        Raises:
            MalformedRequest: a header or a parameter that identifies it stands there twice.
        """
        delivery = SourceContext(
            request.headers, request.query, payload, payload if item is _WHOLE else item, parent
        )
        event_type, is_typed = self._type_of(delivery)
        event_id = self._id_of(delivery)
        within = self._within_of(delivery) if self._within else ""
        is_test = any(fnmatchcase(text_of(place(delivery)) or "", value) for place, value in self._tests)
        if self._mask:
            masked = self._mask(delivery.item)
            hidden = parent.hidden() if parent else None
            # Of a body of several events nothing is read that is in another of them, as that is not masked there.
            around = hidden.outermost if hidden and isinstance(payload, dict) else None
            shown = masked if item is _WHOLE else around
            delivery = SourceContext(request.headers, request.query, shown, masked, hidden)
        identity = Identity(
            event_id,
            event_type,
            is_typed,
            clean_attribute(self._delivery_id(delivery)) if self._delivery_id else None,
            clean_attribute(self._source(delivery)) if self._source else None,
            clean_time(self._time(delivery, event_type)) if self._time else None,
            clean_attribute(self._subject(delivery, event_type)) if self._subject else None,
            clean_attribute(self._account(delivery)) if self._account else None,
            clean_attribute(self._actor(delivery)) if self._actor else None,
            within=within,
            is_test=is_test,
        )
        if self._summary:
            identity.summary = self._summary(delivery, identity)
        return identity

    def _id_of(self, delivery: SourceContext) -> str | None:
        """Return the first id that there is."""
        for place in self._event_ids:
            if (event_id := clean_event_id(place(delivery))) is not None:
                return event_id
        return None

    def _within_of(self, delivery: SourceContext) -> str:
        """Join what the id is unique within, so that no two lists of values are one text; empty where all are absent."""
        values = [text_of(place(delivery)) for place in self._within]
        if not any(values):
            return ""
        return "".join(f"{len(value)}:{value}" if value else "-" for value in values)

    def _type_of(self, delivery: SourceContext) -> tuple[str, bool]:
        if self._event_type is None:
            return UNKNOWN_TYPE, True
        word = clean_event_type(self._event_type(delivery))
        if word is None:
            return UNKNOWN_TYPE, False
        action = self._event_action(delivery) if self._event_action else None
        if action is None or action == "":
            return word, True
        refined = clean_event_type(f"{word}.{action}" if type(action) is str else None)
        return (refined, True) if refined else (word, False)


class _Nobody(StaticVerifier):
    """Proves nobody: the secret is not known yet."""

    def verify(self, request: RawRequest, now: float) -> int:
        raise SignatureRejected("signature_mismatch")
