"""HMAC over a template of the request: the scheme of most senders, described wholly in YAML.

Covers the plain ``sha256=<hex of the body>`` of GitHub, the ``t=…,v1=…`` list of Stripe and nearly all in
between. The signature covers what its ``signed`` template names and nothing else: the headers that are not
in the template can be changed by whoever relays the request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from providers.rejections import SignatureRejected
from providers.request import RawRequest
from providers.schemes.scheme import (
    MAX_CANDIDATES,
    NO_PARAMETERS,
    SchemeSpec,
    Signed,
    StaticVerifier,
    check_tolerance,
    longest_timestamp,
    read_timestamp,
    single,
)
from providers.secrets import SecretFormat, decode_secret
from providers.units import Duration

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Affix = Annotated[str, StringConstraints(pattern=r"^[!-~]{0,32}$")]

_FIELD = re.compile(r"\{(body|timestamp|id|method|url|path|header:[A-Za-z0-9-]{1,64})\}")
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
}
_UNITS_PER_SECOND = {"s": 1, "ms": 1000}


class TimestampSpec(BaseModel):
    """The signed moment: in a header of its own, or an element of the signature header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: HeaderName | None = Field(None, description="The header that carries the timestamp.")
    element: Affix | None = Field(
        None,
        min_length=1,
        description="How the element of the signature header that is the timestamp begins, such as `t=`.",
    )
    unit: Literal["s", "ms"] = Field(
        "s", description="What the timestamp counts since 1970: seconds or milliseconds."
    )
    tolerance: Duration = Field(
        300.0, description="How far the timestamp may be from our clock, before or after."
    )

    @model_validator(mode="after")
    def _one_place(self) -> TimestampSpec:
        if (self.header is None) == (self.element is None):
            raise ValueError("needs either header or element, to say where the timestamp is")
        return self


class HmacSpec(SchemeSpec):
    """How a sender signs with HMAC."""

    scheme: Literal["hmac"] = Field("hmac", description="The family of the scheme.")
    header: HeaderName = Field(description="The header that carries the signature.")
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = Field(
        "sha256", description="The digest in the HMAC."
    )
    encoding: Literal["hex", "base64", "base64url"] = Field("hex", description="How the digest is written.")
    prefix: Affix = Field("", description="What stands before each signature, such as `sha256=` or `v1=`.")
    separator: Literal[",", " ", ";", "&"] | None = Field(
        None,
        description="What separates the elements, when the header is a list; those without the prefix are skipped.",
    )
    signed: str = Field(
        "{body}",
        max_length=256,
        description="What is signed, from {body} {timestamp} {id} {method} {url} {path} {header:NAME} and literal text.",
    )
    secret_format: SecretFormat = Field("raw", description="How the secret's text becomes the key.")
    timestamp: TimestampSpec | None = Field(
        None, description="Where the signed timestamp is; without it, replays pass."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> HmacSpec:
        fields = _FIELD.findall(self.signed)
        if re.search(r"[{}]", _FIELD.sub("", self.signed)):
            raise ValueError(
                "signed has an unknown field in braces; there are {body} {timestamp} {id} {method} {url} {path} "
                "{header:NAME}"
            )
        if "body" not in fields:
            raise ValueError(
                "signed must contain {body}, or the signature would prove nothing about the event"
            )
        if ("timestamp" in fields) != (self.timestamp is not None):
            raise ValueError("signed must contain {timestamp} exactly when a timestamp is described")
        if self.timestamp and self.timestamp.element and not self.separator:
            raise ValueError("timestamp.element needs a separator that splits the signature header")
        return self

    @property
    def signs_id(self) -> bool:
        """Whether the event id is among what is signed."""
        return "{id}" in self.signed

    def signs_headers(self, names: Sequence[bytes]) -> bool:
        """Whether the first of these fields that is present is signed; ``{id}`` stands for the first of them.

        Nothing verifies without the fields that are signed, so no other can stand in for a signed first one.
        """
        signed = {field.removeprefix("header:").lower().encode() for field in _FIELD.findall(self.signed)}
        return not names or self.signs_id or names[0] in signed

    @property
    def needs_url(self) -> bool:
        """See :attr:`providers.schemes.scheme.SchemeSpec.needs_url`."""
        return "{url}" in self.signed

    @property
    def has_moment(self) -> bool:
        """See :attr:`providers.schemes.scheme.SchemeSpec.has_moment`."""
        return self.timestamp is not None

    def scheme_for(self, id_header: bytes | None) -> HmacScheme:
        """See :meth:`providers.schemes.scheme.SchemeSpec.scheme_for`."""
        return HmacScheme(self, id_header)

    def describe(self) -> str:
        """See :meth:`providers.schemes.scheme.SchemeSpec.describe`."""
        return f"HMAC-{self.algorithm} of {self.signed}, {self.encoding} in {self.header}"


class HmacScheme:
    """The scheme of an :class:`HmacSpec`; ``id_header`` is the header that ``{id}`` stands for."""

    def __init__(self, spec: HmacSpec, id_header: bytes | None = None) -> None:
        self.spec = spec
        self.template = _Template(spec.signed, id_header)

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> HmacVerifier:
        """See :meth:`providers.schemes.scheme.Scheme.bind`."""
        return HmacVerifier(self, [decode_secret(secret, self.spec.secret_format) for secret in secrets])

    def sign(self, request: RawRequest, secret: str, now: float) -> Signed:
        """See :meth:`providers.schemes.scheme.Scheme.sign`."""
        spec = self.spec
        fields, elements, moment = {}, [], b""
        if spec.timestamp:
            moment = str(int(now * _UNITS_PER_SECOND[spec.timestamp.unit])).encode()
            if spec.timestamp.header:
                fields[spec.timestamp.header] = moment.decode()
            else:
                elements.append(f"{spec.timestamp.element}{moment.decode()}")
        key = decode_secret(secret, spec.secret_format)
        digest = hmac.digest(key, self.template.render(request, moment), spec.algorithm)
        elements.append(spec.prefix + _ENCODERS[spec.encoding](digest).decode())
        signature = (spec.separator or "").join(elements)
        return Signed(fields | {spec.header: signature}, request.body, request.query)


class HmacVerifier(StaticVerifier):
    """An :class:`HmacScheme` bound to its keys, with all that a request does not change worked out."""

    def __init__(self, scheme: HmacScheme, keys: list[bytes]) -> None:
        spec = scheme.spec
        self._keys = keys
        self._render = scheme.template.render
        self._header = spec.header.lower().encode()
        self._prefix = spec.prefix.encode()
        self._separator = spec.separator.encode() if spec.separator else None
        self._algorithm = spec.algorithm
        self._encode = _ENCODERS[spec.encoding]
        self._folds_case = spec.encoding == "hex"
        self._length = len(self._encode(hmac.digest(b"k", b"", spec.algorithm)))
        self._timestamp_header = self._timestamp_element = None
        if spec.timestamp:
            self._units_per_second = _UNITS_PER_SECOND[spec.timestamp.unit]
            self._longest_timestamp = longest_timestamp(self._units_per_second)
            self._tolerance = spec.timestamp.tolerance
            self._timestamp_header = spec.timestamp.header.lower().encode() if spec.timestamp.header else None
            self._timestamp_element = spec.timestamp.element.encode() if spec.timestamp.element else None
        self._has_timestamp = spec.timestamp is not None

    def verify(self, request: RawRequest, now: float) -> int:
        """See :meth:`providers.schemes.scheme.Verifier.verify`."""
        candidates, moment = self._read(request)
        timestamp = read_timestamp(moment, self._longest_timestamp) if self._has_timestamp else 0
        message = self._render(request, moment)
        matched = -1
        # All keys against all candidates, without an early end: neither how many were tried nor which one
        # matched can be seen from the time that it takes.
        for slot in range(len(self._keys) - 1, -1, -1):
            expected = self._encode(hmac.digest(self._keys[slot], message, self._algorithm))
            for candidate in candidates:
                if hmac.compare_digest(expected, candidate):
                    matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if self._has_timestamp:
            check_tolerance(timestamp / self._units_per_second, now, self._tolerance)
        return matched

    def _read(self, request: RawRequest) -> tuple[list[bytes], bytes]:
        """The candidate signatures and the text of the timestamp (empty when the scheme has none)."""
        value = single(request.headers, self._header, "signature_missing")
        moment = b""
        if self._timestamp_header:
            moment = single(request.headers, self._timestamp_header, "timestamp_missing")
        if self._separator is None:
            return self._candidates([value]), moment
        elements = value.split(self._separator)
        if b" " in value or b"\t" in value:
            elements = [element.strip(b" \t") for element in elements]
        if self._timestamp_element:
            moments = [element for element in elements if element.startswith(self._timestamp_element)]
            if len(moments) != 1:
                raise SignatureRejected("signature_ambiguous" if moments else "timestamp_missing")
            moment = moments[0].removeprefix(self._timestamp_element)
        return self._candidates(elements), moment

    def _candidates(self, elements: list[bytes]) -> list[bytes]:
        start = len(self._prefix)
        found = [element[start:] for element in elements if element.startswith(self._prefix)]
        if len(found) > MAX_CANDIDATES:
            raise SignatureRejected("too_many_signatures")
        whole = [
            candidate.lower() if self._folds_case else candidate
            for candidate in found
            if len(candidate) == self._length
        ]
        if not whole:
            raise SignatureRejected(
                "signature_malformed" if found or not self._separator else "signature_missing"
            )
        return whole


class _Template:
    """A ``signed`` template, split once into literal pieces and the functions that fill in the others."""

    def __init__(self, template: str, id_header: bytes | None) -> None:
        pieces = _FIELD.split(template)
        self._pieces: list[bytes | Callable[[RawRequest, bytes], bytes]] = [
            _filler(piece, id_header) if position % 2 else piece.encode()
            for position, piece in enumerate(pieces)
            if piece
        ]
        self.render = _COMMON_TEMPLATES.get(template, self._join)

    def _join(self, request: RawRequest, moment: bytes) -> bytes:
        return b"".join(
            [piece if isinstance(piece, bytes) else piece(request, moment) for piece in self._pieces]
        )


_COMMON_TEMPLATES: dict[str, Callable[[RawRequest, bytes], bytes]] = {
    "{body}": lambda request, _: request.body,
    "{timestamp}.{body}": lambda request, moment: b"%b.%b" % (moment, request.body),
}
"""What most senders sign, without the detour over pieces."""


def _filler(field: str, id_header: bytes | None) -> Callable[[RawRequest, bytes], bytes]:
    match field.partition(":"):
        case ("body", _, _):
            return lambda request, _: request.body
        case ("timestamp", _, _):
            return lambda _, moment: moment
        case ("method", _, _):
            return lambda request, _: request.method.encode()
        case ("url", _, _):
            return lambda request, _: request.url.encode("latin-1")
        case ("path", _, _):
            return lambda request, _: request.path.encode("latin-1")
        case ("id", _, _):
            if id_header is None:
                raise ValueError(
                    "{id} in signed needs event_id: header:…, since nothing is parsed before it is verified"
                )
            name = id_header
        case (_, _, header):
            name = header.lower().encode()
    return lambda request, _: single(request.headers, name, "signed_header_missing")
