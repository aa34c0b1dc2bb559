"""Replies to handshakes, as pure functions of requests.

An unauthenticated client may have chosen the challenge that is echoed or signed. So a challenge has to match its pattern, and a text that
could be an event is never signed.

This module has more than 200 lines because a handshake is recognised, checked and answered in one place.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from gateway.adapters.handshake import ChallengeSignatureSpec, HandshakeSpec, ReplySpec, split_fields
from gateway.signatures.extractors import Getter, SourceContext, compile_sources, pointer_steps, text_of
from gateway.signatures.forms import MAX_PARAMETERS, read_pairs
from gateway.signatures.rejections import HandshakeRefused, MalformedRequest
from gateway.signatures.request import RawRequest, VerifiedRequest
from gateway.signatures.schemes.signed_forms import FORM, media_type
from gateway.signatures.secrets import decode_secret

_MAX_BODY_BYTES = 2048
"""Bytes of an unsigned handshake, which is parsed before its sender is proven."""

_MAX_TEXT = 2048
"""Characters of a text that is echoed, fetched or stored."""

_URL = re.compile(r"https://([a-z0-9.-]{1,253})/[!-~]{0,2000}")
_OFFERED_SECRET = re.compile(r"[!-~]{16,256}")
_ENCODERS: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
}

Values = Mapping[str, str]
"""The values of the fields in braces."""


@dataclass(frozen=True, slots=True)
class HandshakeReply:
    """The reply to a handshake.

    Attributes:
        status: the HTTP status.
        fields: the header fields, without the length of the body.
        body: the bytes of the body.
        confirm: a URL to fetch before the reply is sent; its host is pinned.
        enrol: the secret that the sender offered.
        is_proven: whether the handshake is signed, or contained the token that the operator gave to the sender.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    confirm: str | None = None
    enrol: str | None = field(default=None, repr=False)
    is_proven: bool = False


class HandshakeResponder:
    """The handshakes of one sender, bound to its configuration.

    Args:
        handshakes: the descriptions of the handshakes.
        signed: the template of its signatures; a challenge of this form is never signed.
        secrets: the secrets that it signs with.
        parameters: the parameters of the adapter.
        token: the ``handshake_token``.

    Attributes:
        methods: the HTTP methods of handshakes, without POST.
    """

    def __init__(
        self,
        handshakes: Sequence[HandshakeSpec],
        signed: str,
        secrets: Sequence[str],
        parameters: Mapping[str, str],
        token: str | None,
    ) -> None:
        self.methods = frozenset(spec.method for spec in handshakes) - {"POST"}
        bound = [_Handshake(spec, signed, secrets, parameters, token) for spec in handshakes]
        self._signed = [handshake for handshake in bound if handshake.spec.is_signed]
        self._unsigned: dict[str, list[_Handshake]] = {}
        for handshake in bound:
            if not handshake.spec.is_signed:
                self._unsigned.setdefault(handshake.spec.method, []).append(handshake)

    def answer_unsigned(self, request: RawRequest) -> HandshakeReply | None:
        """Answer an unsigned handshake. Return None if ``request`` has to be verified as an event.

        Raises:
            HandshakeRefused: The request is not a handshake of this sender.
            MalformedRequest: A header or parameter that matters is repeated.
        """
        context = SourceContext(request.headers, request.query, None, None)
        for handshake in self._unsigned.get(request.method, ()):
            if not handshake.fits_head(context):
                continue
            read = context
            if handshake.needs_body:
                if not handshake.may_be(request):
                    continue
                payload = _read(request.body, handshake.spec.content, is_whole=handshake.spec.is_whole)
                read = SourceContext(request.headers, request.query, payload, payload)
            if handshake.fits_body(read):
                return handshake.answer(read, 0, request.url.partition("?")[0])
        if request.method != "POST":
            raise HandshakeRefused("handshake_refused")
        return None

    def answer_signed(self, request: VerifiedRequest, payload: object) -> HandshakeReply | None:
        """Answer a signed handshake. Return None if ``request`` carries an event.

        Raises:
            HandshakeRefused: The request is not a handshake of this sender.
            MalformedRequest: A header or parameter that matters is repeated.
        """
        if not self._signed:
            return None
        context = SourceContext(request.headers, request.query, payload, payload)
        for handshake in self._signed:
            if handshake.fits_head(context) and handshake.fits_body(context):
                return handshake.answer(context, request.secret_slot, "")
        return None


class _Handshake:
    """One kind of handshake, bound."""

    def __init__(
        self,
        spec: HandshakeSpec,
        signed: str,
        secrets: Sequence[str],
        parameters: Mapping[str, str],
        token: str | None,
    ) -> None:
        self.spec = spec
        conditions = [(source, compile_sources(source), text_of(text)) for source, text in spec.when.items()]
        self._of_head = [(getter, text) for source, getter, text in conditions if not _is_in_body(source)]
        self._of_body = [(getter, text) for source, getter, text in conditions if _is_in_body(source)]
        places = [*spec.when, *(place for place in (spec.token, spec.challenge, spec.enrol) if place)]
        self.needs_body = any(map(_is_in_body, places))
        named = [
            pointer_steps(place)[:1] for place in places if _is_in_body(place) and spec.when.get(place) != ""
        ]
        self._names = frozenset(steps[0] for steps in named if steps)
        self._token = _compile(spec.token)
        self._challenge = _compile(spec.challenge)
        self._enrol = _compile(spec.enrol)
        self._confirm = _compile(spec.confirm)
        self._pattern = re.compile(spec.pattern, re.ASCII)
        self._hosts = re.compile("|".join(map(_host_pattern, spec.confirm_hosts)))
        self._expected_token = token
        self._sign = _Signature(spec.sign, signed, secrets) if spec.sign else None
        self._parameters = {f"parameter:{name}": value for name, value in parameters.items()}

    def may_be(self, request: RawRequest) -> bool:
        """Return whether a body may be this handshake, without parsing it."""
        headers = request.headers
        if self.spec.content == "form" and (
            headers.is_repeated(b"content-type") or media_type(headers) not in ("", FORM)
        ):
            return False
        return len(request.body) <= _MAX_BODY_BYTES and all(
            name.encode() in request.body for name in self._names
        )

    def fits_head(self, context: SourceContext) -> bool:
        """Return whether the request has all that the handshake requires outside its body."""
        return all(_is_there(getter(context), text) for getter, text in self._of_head)

    def fits_body(self, context: SourceContext) -> bool:
        """Return whether the body has all that the handshake requires in it."""
        if self.spec.is_whole and not (
            isinstance(context.payload, dict) and self._names == frozenset(context.payload)
        ):
            return False
        return all(_is_there(getter(context), text) for getter, text in self._of_body)

    def answer(self, context: SourceContext, slot: int, url: str) -> HandshakeReply:
        """Make the reply, signed with the secret in ``slot``. ``url`` is the called URL without its query.

        Raises:
            HandshakeRefused: The request is not a handshake of this sender.
        """
        values = dict(self._parameters)
        if self.spec.needs_token:
            values["token"] = self._check_token(context)
        if self._challenge:
            values["challenge"] = self._read(self._challenge, context, self._pattern)
        if self._sign:
            values["url"] = url
            signature = self._sign.make(values, slot)
            if signature is None:
                raise HandshakeRefused("handshake_refused", self.spec.refuse)
            values["signature"] = signature
        confirm = self._read(self._confirm, context, _URL) if self._confirm else None
        if confirm and not self._hosts.fullmatch(confirm.split("/")[2]):
            raise HandshakeRefused("handshake_refused", self.spec.refuse)
        offered = self._read(self._enrol, context, _OFFERED_SECRET) if self._enrol else None
        is_proven = self.spec.is_signed or self._token is not None
        return _reply(self.spec.respond, values, confirm, offered, is_proven=is_proven)

    def _check_token(self, context: SourceContext) -> str:
        """Return the configured token, after checking the one in the request."""
        expected = self._expected_token
        shown = self._token(context) if self._token else expected
        if (
            expected is None
            or type(shown) is not str
            or not hmac.compare_digest(_bytes(expected), _bytes(shown))
        ):
            raise HandshakeRefused("handshake_token_mismatch", self.spec.refuse)
        return expected

    def _read(self, getter: Getter, context: SourceContext, pattern: re.Pattern[str]) -> str:
        """Read a text at a place, which has to be printable ASCII and match the whole ``pattern``."""
        text = getter(context)
        is_plain = type(text) is str and len(text) <= _MAX_TEXT and text.isascii() and text.isprintable()
        if not is_plain or not pattern.fullmatch(str(text)):
            raise HandshakeRefused("handshake_refused", self.spec.refuse)
        return str(text)


class _Signature:
    """The signature of a challenge."""

    def __init__(self, spec: ChallengeSignatureSpec, signed: str, secrets: Sequence[str]) -> None:
        self._spec = spec
        self._prefix = signed.partition("{")[0]
        self._pieces = split_fields(spec.signed)
        is_keyed = spec.construction == "hmac"
        self._keys = [decode_secret(secret, spec.secret_format) for secret in secrets] if is_keyed else None

    def make(self, values: Values, slot: int) -> str | None:
        """Sign with the secret in ``slot``. Return None without a secret, or if the signature would prove an event."""
        text = _fill(self._pieces, values)
        if self._keys is None:
            digest = hashlib.new(self._spec.algorithm, text.encode()).digest()
        elif slot >= len(self._keys) or _is_json(text) or _is_json(text.removeprefix(self._prefix)):
            return None
        else:
            digest = hmac.digest(self._keys[slot], text.encode(), self._spec.algorithm)
        return _ENCODERS[self._spec.encoding](digest)


def _compile(source: str | None) -> Getter | None:
    return compile_sources(source) if source else None


def _is_in_body(source: str) -> bool:
    return any(kind in source for kind in ("body:", "item:", "member:"))


def _is_there(value: object, expected: str | None) -> bool:
    is_empty = value is None or value in ("", [], {})
    if expected == "*":
        return not is_empty
    return is_empty if expected == "" else text_of(value) == expected


def _host_pattern(host: str) -> str:
    return re.escape(host).replace(r"\*", "[a-z0-9-]+")


def _read(body: bytes, content: str, *, is_whole: bool) -> object:
    """Parse the body of an unsigned handshake. Return None if that is impossible."""
    if content == "form":
        try:
            pairs = read_pairs(body, MAX_PARAMETERS)
        except MalformedRequest:
            return None
        fields = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}
        return None if is_whole and len(fields) != len(pairs) else fields
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _is_json(text: str) -> bool:
    """Return whether any reader could take a text for JSON; json is more lenient than orjson (NaN, big integers)."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _fill(pieces: list[str], values: Values) -> str:
    return "".join(values.get(piece, "") if position % 2 else piece for position, piece in enumerate(pieces))


def _filled(value: object, values: Values) -> object:
    """Return a JSON value with the fields in all its strings filled in."""
    match value:
        case str():
            return _fill(split_fields(value), values)
        case dict():
            return {name: _filled(member, values) for name, member in value.items()}
        case list():
            return [_filled(member, values) for member in value]
    return value


def _reply(
    spec: ReplySpec, values: Values, confirm: str | None, offered: str | None, *, is_proven: bool
) -> HandshakeReply:
    fields = {
        name.lower().encode(): _fill(split_fields(text), values).encode("latin-1")
        for name, text in spec.headers.items()
    }
    if spec.body_json is not None:
        body = orjson.dumps(_filled(spec.body_json, values))
        fields[b"content-type"] = b"application/json"
    else:
        body = _fill(split_fields(spec.body), values).encode()
        if body or "content_type" in spec.model_fields_set:
            fields[b"content-type"] = spec.content_type.encode()
    if body:
        fields[b"x-content-type-options"] = b"nosniff"
    return HandshakeReply(spec.status, tuple(fields.items()), body, confirm, offered, is_proven)
