"""Adapters answer two questions about a request: who sent it, and what is it?

This module has more than 200 lines because an adapter and its bound form are documented together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import translate

from typing_extensions import override

from gateway.adapters.event_type import EventTypes
from gateway.adapters.generated import FunctionWriter
from gateway.adapters.handshake_replies import HandshakeResponder
from gateway.adapters.identity import (
    UNKNOWN_TYPE,
    Identity,
    clean_attribute,
    clean_event_id,
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
        self._delivery_id = compile_sources(spec.delivery_id) if spec.delivery_id else None
        self._read_type = _type_reader(spec)
        self._read_key = _key_reader(spec)
        self._types = EventTypes(spec)

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
        event_type = self._types.find(*self._read_type(context))
        event_id, within, is_test = self._read_key(context)
        if self._mask:
            masked = self._mask(context.item)
            hidden = parent.hidden() if parent else None
            # Other events of the batch are hidden, since only this one is masked.
            around = hidden.outermost if hidden and isinstance(payload, dict) else None
            shown = masked if item is _WHOLE else around
            context = SourceContext(request.headers, request.query, shown, masked, hidden)
        name, is_typed, text, action, describe = event_type
        delivery_id, source, time, subject, account, actor, summary = describe(context, text, action)
        return Identity(  # by position, which takes a third of the time
            event_id,
            name,
            is_typed,
            delivery_id,
            source,
            time,
            subject,
            account,
            actor,
            summary,
            within,
            is_test,
        )


def _type_reader(spec: AdapterSpec) -> Callable[[SourceContext], tuple[object, object]]:
    """Generate what reads the type and the finer type of an event, as they stand in the request."""
    writer = FunctionWriter("read_type")
    if spec.event_type is None:
        writer.line(f"return {UNKNOWN_TYPE!r}, None")
    else:
        word = writer.read(spec.event_type)
        action = writer.read(spec.event_action) if spec.event_action else "None"
        writer.line(f"return {word}, {action}")
    return writer.build()


def _key_reader(spec: AdapterSpec) -> Callable[[SourceContext], tuple[str | None, str, bool]]:
    """Generate what reads the key of an event: its id, what that is unique within, and whether the event is a test."""
    writer = FunctionWriter("read_key")
    writer.line("event_id = None")
    with ExitStack() as blocks:
        for number, place in enumerate(
            [spec.event_id] if isinstance(spec.event_id, str) else spec.event_id or []
        ):
            if number:
                blocks.enter_context(writer.block("if event_id is None:"))
            writer.line(f"event_id = {writer.read(place)}")
            writer.clean("event_id", clean_event_id)
    parts = []
    for place in spec.unique_within:
        parts.append(part := writer.variable())
        value = writer.read(place)
        writer.line(f"if type({value}) is not str: {value} = {writer.constant(text_of)}({value})")
        writer.line(f"{part} = '%s:%s' % (len({value}), {value}) if {value} else '-'")  # unambiguous
    writer.line(f"within = {' + '.join(parts) or repr('')}")
    if parts:
        writer.line(f"if within == {'-' * len(parts)!r}: within = ''")
    tests = []
    for place, value in spec.test_events.items():
        text = f"{writer.constant(text_of)}({writer.read(place)}) or ''"
        tests.append(f"{writer.constant(re.compile(translate(value)).match)}({text}) is not None")
    writer.line(f"return event_id, within, {' or '.join(tests) or False}")
    return writer.build()


class _RejectingVerifier(StaticVerifier):
    """A verifier that accepts nobody, because the sender has not sent its secret yet."""

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        raise SignatureRejected("signature_mismatch")
