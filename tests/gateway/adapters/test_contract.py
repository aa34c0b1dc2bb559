"""The contract of every way of signing, for some of the providers and for generic ones.

The signatures come from an oracle in this module, which shares no code with what it tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import Rejection, SignatureRejected
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.standard_webhooks import StandardWebhooksSpec
from gateway.signatures.secrets import SecretFormatError

Field = tuple[bytes, bytes]

NOW = 1_736_942_400
BODY = b'{"id": "evt_1", "type": "order.paid", "note": "\xc3\xa9 \xe2\x98\x83", "amount": 41.50, "tags": []}'
METHOD, PATH, URL = "POST", "/hooks/acme%20ltd", "https://hooks.example.com/hooks/acme%20ltd?tenant=7"
EVENT_ID = b"evt_2rSample"
KEYS = [b"the key that is used first, of 32", b"the key that comes by rotation 32"]
RUBBISH = b"0"


def _encode(digest: bytes, encoding: str) -> bytes:
    if encoding == "hex":
        return "".join(f"{byte:02x}" for byte in digest).encode()
    encoded = base64.b64encode(digest)
    return encoded if encoding == "base64" else encoded.replace(b"+", b"-").replace(b"/", b"_")


def _secret_text(key: bytes, secret_format: str) -> str:
    match secret_format:
        case "hex":
            return key.hex()
        case "base64":
            return base64.b64encode(key).decode()
        case "whsec_":
            return "whsec_" + base64.b64encode(key).decode()
    return key.decode()


@dataclass(frozen=True)
class Case:
    """One way of signing.

    Attributes:
        name: how the test is called.
        adapter: what is tested.
        is_asymmetric: whether it is Ed25519 instead of HMAC.
    """

    name: str
    adapter: Adapter
    is_asymmetric: bool = False
    _memo: dict[bytes, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def spec(self) -> HmacSpec | StandardWebhooksSpec:
        """The description of the signature."""
        signature = self.adapter.spec.signature
        assert isinstance(signature, HmacSpec | StandardWebhooksSpec)
        return signature

    @property
    def is_standard(self) -> bool:
        """Whether it is Standard Webhooks."""
        return isinstance(self.spec, StandardWebhooksSpec)

    @cached_property
    def _family(self) -> str:
        assert isinstance(self.spec, StandardWebhooksSpec)
        return self.spec.header_prefixes[0]

    @property
    def signature_header(self) -> bytes:
        """The lower-case name of the header that carries the signature."""
        if isinstance(self.spec, HmacSpec):
            return self.spec.headers[0].lower().encode()
        return f"{self._family}signature".encode()

    @property
    def timestamp_header(self) -> bytes | None:
        """The lower-case name of the header that carries the timestamp."""
        if isinstance(self.spec, StandardWebhooksSpec):
            return f"{self._family}timestamp".encode()
        header = self.spec.timestamp.header if self.spec.timestamp else None
        return header.lower().encode() if header else None

    @property
    def timestamp_element(self) -> bytes | None:
        """How the element of the signature header begins that is the timestamp."""
        if isinstance(self.spec, HmacSpec) and self.spec.timestamp and self.spec.timestamp.element:
            return self.spec.timestamp.element.encode()
        return None

    @property
    def has_timestamp(self) -> bool:
        """Whether a timestamp is signed."""
        return bool(self.timestamp_header or self.timestamp_element)

    @property
    def units(self) -> int:
        """What the timestamp counts, per second."""
        spec = self.spec
        return 1000 if isinstance(spec, HmacSpec) and spec.timestamp and spec.timestamp.unit == "ms" else 1

    @property
    def tolerance(self) -> int:
        """The tolerance, in whole seconds."""
        if isinstance(self.spec, StandardWebhooksSpec):
            return int(self.spec.tolerance)
        return int(self.spec.timestamp.tolerance) if self.spec.timestamp else 0

    @property
    def separator(self) -> bytes | None:
        """What separates the elements of a list of signatures."""
        if isinstance(self.spec, StandardWebhooksSpec):
            return b" "
        return self.spec.separator.encode() if self.spec.separator else None

    @property
    def prefix(self) -> bytes:
        """What stands before each signature."""
        if isinstance(self.spec, HmacSpec):
            return self.spec.prefix.encode()
        return b"v1a," if self.is_asymmetric else b"v1,"

    @property
    def encoding(self) -> str:
        """How a signature is written."""
        return self.spec.encoding if isinstance(self.spec, HmacSpec) else "base64"

    @property
    def misshapen(self) -> str:
        """The fault of a signature that cannot be one: Standard Webhooks does not look at the length."""
        return "signature_mismatch" if self.is_standard else "signature_malformed"

    @property
    def unprefixed(self) -> str:
        """The fault of a header in which no element has the prefix."""
        is_hmac_list = bool(self.separator) and not self.is_standard
        return "signature_missing" if is_hmac_list and self.prefix else "signature_malformed"

    def secret(self, slot: int = 0) -> str:
        """The secret that is configured."""
        if self.is_asymmetric:
            public = self._private_key(KEYS[slot]).public_key().public_bytes_raw()
            return "whpk_" + base64.b64encode(public).decode()
        return _secret_text(KEYS[slot], self.secret_format)

    def signing_secret(self, slot: int = 0) -> str:
        """The secret that the sender signs with."""
        if not self.is_asymmetric:
            return self.secret(slot)
        private = self._private_key(KEYS[slot])
        pair = private.private_bytes_raw() + private.public_key().public_bytes_raw()
        return "whsk_" + base64.b64encode(pair).decode()

    @property
    def secret_format(self) -> str:
        """The format of its secrets."""
        return self.spec.secret_format

    @staticmethod
    def _private_key(key: bytes) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(key).digest())

    @property
    def context(self) -> list[Field]:
        """The header fields, other than timestamp and signature, that the signature covers."""
        if isinstance(self.spec, StandardWebhooksSpec):
            return [(f"{self._family}id".encode(), EVENT_ID)]
        named = re.findall(r"\{header:([^}]+)\}", self.spec.signed)
        fields = [(name.lower().encode(), b"value of " + name.encode()) for name in named]
        if "{id}" in self.spec.signed:
            assert isinstance(self.adapter.spec.event_id, str)
            fields.append((self.adapter.spec.event_id.removeprefix("header:").lower().encode(), EVENT_ID))
        return fields

    def moment(self, seconds: float = NOW) -> bytes:
        """A timestamp as the sender writes it; empty where none is signed."""
        return str(int(seconds * self.units)).encode() if self.has_timestamp else b""

    def candidate(self, body: bytes, moment: bytes, key: bytes = KEYS[0]) -> bytes:
        """The signature alone, without its prefix."""
        if isinstance(self.spec, StandardWebhooksSpec):
            message = b".".join([EVENT_ID, moment, body])
            if self.is_asymmetric:
                return base64.b64encode(self._private_key(key).sign(message))
            return _encode(hmac.new(key, message, hashlib.sha256).digest(), "base64")
        values = {
            b"{body}": body,
            b"{timestamp}": moment,
            b"{id}": EVENT_ID,
            b"{method}": METHOD.encode(),
            b"{url}": URL.encode(),
            b"{path}": PATH.encode(),
        }
        template = re.split(rb"(\{[^}]+\})", self.spec.signed.encode())
        context = dict(self.context)
        message = b"".join(
            context[piece[8:-1].lower()] if piece.startswith(b"{header:") else values.get(piece, piece)
            for piece in template
        )
        return _encode(hmac.new(key, message, self.spec.algorithm).digest(), self.encoding)

    def compose(self, candidates: list[bytes], moment: bytes | None, body: bytes = BODY) -> RawRequest:
        """A request with these signatures, whatever they are; no timestamp when ``moment`` is None."""
        elements = [self.prefix + candidate for candidate in candidates]
        if self.timestamp_element and moment is not None:
            elements.insert(0, self.timestamp_element + moment)
        fields = [*self.context, (self.signature_header, (self.separator or b"").join(elements))]
        if self.timestamp_header and moment is not None:
            fields.insert(0, (self.timestamp_header, moment))
        return as_request(fields, body)

    def signed(self, *, body: bytes = BODY, seconds: float = NOW, key: bytes = KEYS[0]) -> RawRequest:
        """A request that is as it should be."""
        moment = self.moment(seconds)
        return self.compose([self.candidate(body, moment, key)], moment, body)

    def signed_at(self, text: bytes) -> RawRequest:
        """A request whose timestamp is any text, properly signed."""
        return self.compose([self.candidate(BODY, text)], text)

    def verify(
        self, request: RawRequest, now: float = NOW, secrets: list[str] | None = None
    ) -> VerifiedRequest:
        """The request, its sender proven."""
        return self.adapter.bind([self.secret()] if secrets is None else secrets).verify(request, now)

    def fault(self, request: RawRequest, now: float = NOW, secrets: list[str] | None = None) -> str | None:
        """Why the request is refused; None when it is not."""
        try:
            self.verify(request, now, secrets)
        except SignatureRejected as rejection:
            return rejection.fault
        return None


def as_request(fields: list[Field], body: bytes = BODY) -> RawRequest:
    """A POST with these header fields."""
    return RawRequest(body=body, headers=Headers(fields), method=METHOD, path=PATH, url=URL)


def fields_of(request: RawRequest) -> list[Field]:
    """The header fields, in their order."""
    return list(request.headers.fields)


def with_body(request: RawRequest, body: bytes) -> RawRequest:
    """The same request with another body."""
    return as_request(fields_of(request), body)


def with_value(request: RawRequest, name: bytes, value: bytes) -> RawRequest:
    """The same request with another value of a header field."""
    return as_request([(key, value if key == name else old) for key, old in fields_of(request)], request.body)


def without(request: RawRequest, name: bytes) -> RawRequest:
    """The same request without a header field."""
    return as_request([(key, value) for key, value in fields_of(request) if key != name], request.body)


def generic(name: str, signature: dict[str, Any], **identity: Any) -> Case:
    """An adapter of the grammar of `adapter: hmac`."""
    spec = AdapterSpec.model_validate({"signature": {"header": "X-Acme-Signature"} | signature} | identity)
    return Case(name, Adapter(registry.GENERIC, spec))


BUNDLED = [
    Case(name, registry.load(name)) for name in ("github", "openai", "standard_webhooks", "stripe", "svix")
]
AT_HEADER = {"signed": "{timestamp}.{body}", "timestamp": {"header": "X-Acme-Time"}}
CASES = [
    *BUNDLED,
    Case("standard_webhooks-v1a", registry.load("standard_webhooks"), is_asymmetric=True),
    generic("prefixed-hex", {"prefix": "sha256="}),
    generic("bare-hex", {}),
    generic("base64", {"encoding": "base64"}),
    generic("base64url", {"encoding": "base64url", "prefix": "s:"}),
    generic("sha1", {"algorithm": "sha1", "prefix": "sha1="}),
    generic("sha384", {"algorithm": "sha384"}),
    generic("sha512", {"algorithm": "sha512", "encoding": "base64"}),
    generic("timestamp-header", AT_HEADER),
    generic(
        "timestamp-header-and-literals",
        {
            "prefix": "v0=",
            "signed": "v0:{timestamp}:{body}",
            "timestamp": {"header": "X-Acme-Time", "tolerance": "1m"},
        },
    ),
    generic("milliseconds", AT_HEADER | {"timestamp": {"header": "X-Acme-Time", "unit": "ms"}}),
    generic(
        "element-semicolon",
        {
            "prefix": "h1=",
            "separator": ";",
            "signed": "{timestamp}:{body}",
            "timestamp": {"element": "ts=", "tolerance": "5s"},
        },
    ),
    generic(
        "element-milliseconds-base64",
        {
            "prefix": "sign=",
            "separator": "&",
            "encoding": "base64",
            "signed": "{body}{timestamp}",
            "timestamp": {"element": "time=", "unit": "ms"},
        },
    ),
    generic("list", {"separator": ",", "prefix": "v1="}),
    generic("list-without-prefix", {"separator": " "}),
    generic(
        "whole-request",
        {"signed": "{method}\n{url}\n{path}\n{header:X-Acme-Nonce}\n{id}\n{body}"},
        event_id="header:X-Acme-Event",
    ),
    generic("hex-secret", {"secret_format": "hex"}),
    generic("base64-secret", {"secret_format": "base64"}),
    generic("whsec-secret", {"secret_format": "whsec_", "encoding": "base64"} | AT_HEADER),
]


def some(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test for each of these ways of signing."""
    assert cases
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


each = some(CASES)
each_timestamped = some([case for case in CASES if case.has_timestamp])
each_timestamp_header = some([case for case in CASES if case.timestamp_header])
each_timestamp_element = some([case for case in CASES if case.timestamp_element])
each_list = some([case for case in CASES if case.separator])
each_single = some([case for case in CASES if not case.separator])
each_prefixed = some([case for case in CASES if case.prefix])
each_hex = some([case for case in CASES if case.encoding == "hex"])
each_base64 = some([case for case in CASES if case.encoding == "base64"])
each_hmac = some([case for case in CASES if not case.is_asymmetric])
each_raw = some([case for case in CASES if not case.is_asymmetric and case.secret_format == "raw"])
each_encoded = some([case for case in CASES if not case.is_asymmetric and case.secret_format == "whsec_"])

STRIPE, GITHUB, STANDARD, SVIX = (
    next(case for case in BUNDLED if case.name == name)
    for name in ("stripe", "github", "standard_webhooks", "svix")
)
V1A = next(case for case in CASES if case.is_asymmetric)


# What is right


@each
def test_a_well_signed_request_is_proven(case: Case) -> None:
    """The verified request holds the bytes that were signed and the slot of the secret."""
    verified = case.verify(case.signed())
    assert (verified.body, verified.secret_slot) == (BODY, 0)


@each
def test_we_sign_as_the_oracle_does(case: Case) -> None:
    """The header fields that the simulator sends are those of the sender."""
    expected = case.signed()
    signed = case.adapter.scheme.sign(as_request(case.context), case.signing_secret(), NOW).headers
    fields = [(name.lower().encode(), value.encode()) for name, value in signed.items()]
    assert sorted(fields_of(expected)) == sorted([*case.context, *fields])


@each
@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff\xfe not UTF-8", b"{" * 100_000], ids=repr)
def test_any_bytes_can_be_signed(case: Case, body: bytes) -> None:
    """The body is never decoded before it is proven."""
    assert case.verify(case.signed(body=body)).body == body


@each
def test_other_headers_do_not_matter(case: Case) -> None:
    """Neither foreign ones nor repeated ones that the scheme does not read."""
    fields = [
        (b"accept", b"*/*"),
        (b"accept", b"text/html"),
        *fields_of(case.signed()),
        (b"x-other", b"\xff"),
    ]
    assert case.fault(as_request(fields)) is None


# The signature header


@each
def test_without_its_header_it_is_missing(case: Case) -> None:
    """An unsigned request is refused although everything else is there."""
    assert case.fault(without(case.signed(), case.signature_header)) == "signature_missing"


@each
def test_a_request_without_headers_is_refused(case: Case) -> None:
    """Nothing at all is no proof."""
    assert case.fault(as_request([])) == "signature_missing"


@each
def test_an_empty_header_is_a_missing_signature(case: Case) -> None:
    """The header stands there with nothing in it."""
    assert case.fault(with_value(case.signed(), case.signature_header, b"")) == "signature_missing"


@each
@pytest.mark.parametrize("value", [b" ", b"   ", b"\t", b"\x00"], ids=repr)
def test_a_header_of_white_space_is_refused(case: Case, value: bytes) -> None:
    """No candidate is found in it."""
    expected = "timestamp_missing" if case.timestamp_element else case.unprefixed
    assert expected == case.fault(with_value(case.signed(), case.signature_header, value))


@each
def test_a_prefix_alone_is_refused(case: Case) -> None:
    """An empty signature, with the timestamp in order."""
    request = case.compose([b""], case.moment())
    is_empty = (case.signature_header, b"") in fields_of(request)
    assert case.fault(request) == ("signature_missing" if is_empty else case.misshapen)


@each
@pytest.mark.parametrize("is_good_first", [True, False, None])
def test_a_repeated_header_is_ambiguous(case: Case, is_good_first: bool | None) -> None:
    """In both orders, and also when both are the same."""
    request = case.signed()
    good = (case.signature_header, dict(fields_of(request))[case.signature_header])
    bad = good if is_good_first is None else (case.signature_header, b"v1=" + RUBBISH)
    others = [entry for entry in fields_of(request) if entry != good]
    pair = [bad, good] if is_good_first is False else [good, bad]
    assert case.fault(as_request([*pair, *others])) == "signature_ambiguous"


@each
def test_a_garbled_signature_does_not_match(case: Case) -> None:
    """Of the right length and alphabet, but another at each place."""
    good = case.candidate(BODY, case.moment())
    for place in range(len(good)):
        if good[place : place + 1] == b"=":
            continue
        other = b"1" if good[place : place + 1] == b"0" else b"0"
        request = case.compose([good[:place] + other + good[place + 1 :]], case.moment())
        assert case.fault(request) == "signature_mismatch"


@each
@pytest.mark.parametrize("junk", [b"\xff", b"\x80", b"\x00", b"\xe2\x98\x83", b"\xc2\xa0"], ids=repr)
def test_bytes_that_are_not_ascii_are_refused(case: Case, junk: bytes) -> None:
    """Without an exception from the comparison: at the beginning, and all of it."""
    good = case.candidate(BODY, case.moment())
    for candidate in (junk + good[len(junk) :], (junk * len(good))[: len(good)]):
        assert case.fault(case.compose([candidate], case.moment())) == "signature_mismatch"


@each
def test_a_truncated_signature_is_refused(case: Case) -> None:
    """However much of it is right."""
    good = case.candidate(BODY, case.moment())
    for length in [1, 2, len(good) // 2, len(good) - 2, len(good) - 1]:
        assert case.fault(case.compose([good[:length]], case.moment())) == case.misshapen


@each
def test_an_oversized_signature_is_refused(case: Case) -> None:
    """A megabyte, also when the right one is its beginning."""
    for start in (b"", case.candidate(BODY, case.moment())):
        request = case.compose([start.ljust(1_000_000, b"a")], case.moment())
        assert case.fault(request) == case.misshapen


@each
@pytest.mark.parametrize("garbage", [b"x", b"0", b"=", b"\x00", b"\n", b"\xff", b"%00"], ids=repr)
def test_garbage_after_the_signature_is_refused(case: Case, garbage: bytes) -> None:
    """The right signature with something at its end is another one."""
    request = case.compose([case.candidate(BODY, case.moment()) + garbage], case.moment())
    assert case.misshapen == case.fault(request)


@each_single
@pytest.mark.parametrize("garbage", [b",extra", b" ", b", sha256=", b";v=1", b"&a"], ids=repr)
def test_a_single_signature_is_not_a_list(case: Case, garbage: bytes) -> None:
    """Where the header holds one signature, the whole of it counts, white space included."""
    for request in (
        case.compose([case.candidate(BODY, case.moment()) + garbage], case.moment()),
        case.compose([garbage + case.candidate(BODY, case.moment())], case.moment()),
    ):
        assert case.fault(request) == "signature_malformed"


@each
def test_another_spelling_of_the_header_name_is_ignored(case: Case) -> None:
    """Underscores for hyphens are another header, whatever a proxy makes of it."""
    renamed = [
        (name.replace(b"-", b"_") if name == case.signature_header else name, value)
        for name, value in fields_of(case.signed())
    ]
    assert case.fault(as_request(renamed)) == "signature_missing"


# The prefix


@each_prefixed
def test_a_wrong_prefix_is_refused(case: Case) -> None:
    """None, in the wrong case, with something before it, with a space behind it, or of another version."""
    request = case.signed()
    good = dict(fields_of(request))[case.signature_header]
    for wrong in (
        b"",
        case.prefix.swapcase(),
        b"xx" + case.prefix,
        b"sha1=" if case.prefix != b"sha1=" else b"sha256=",
        b"v9=",
    ):
        value = good.replace(case.prefix, wrong)
        if value != good:
            assert case.fault(with_value(request, case.signature_header, value)) == case.unprefixed


@each_prefixed
def test_a_doubled_prefix_is_refused(case: Case) -> None:
    """It is taken off once."""
    request = case.compose([case.prefix + case.candidate(BODY, case.moment())], case.moment())
    assert case.fault(request) == case.misshapen


def test_the_older_header_of_github_proves_nothing() -> None:
    """A valid SHA-1 signature is not accepted in place of SHA-256, in either header."""
    digest = hmac.new(KEYS[0], BODY, hashlib.sha1).hexdigest().encode()
    assert GITHUB.fault(as_request([(b"x-hub-signature", b"sha1=" + digest)])) == "signature_missing"
    for prefix in (b"sha1=", b"sha256="):
        request = as_request([(b"x-hub-signature-256", prefix + digest)])
        assert GITHUB.fault(request) == "signature_malformed"


# How a digest is written


@each_hex
def test_upper_case_hexadecimal_is_accepted(case: Case) -> None:
    """It is the same digest; some senders write it so."""
    good = case.candidate(BODY, case.moment())
    mixed = good[:20].upper() + good[20:]
    for candidate in (good.upper(), mixed):
        assert case.fault(case.compose([candidate], case.moment())) is None


@each_hex
def test_hexadecimal_with_anything_else_in_it_is_refused(case: Case) -> None:
    """Spaces, colons, 0x, an odd number of digits, full-width digits."""
    good = case.candidate(BODY, case.moment())
    spaced = good[:2] + b" " + good[2:] if case.separator != b" " else good[:2] + b"\x0b" + good[2:]
    for candidate in (
        spaced,
        b":".join([good[:2], good[2:]]),
        b"0x" + good,
        good[1:],
        "\uff10".encode() * 64,
    ):
        assert case.fault(case.compose([candidate], case.moment())) == "signature_malformed"
    same_length = [b"0x" + good[2:], b"+" + good[1:], good[:-1] + b"g", good[:10] + b"_" + good[11:]]
    for candidate in same_length:
        assert case.fault(case.compose([candidate], case.moment())) == "signature_mismatch"


def _body_with(case: Case, pattern: bytes) -> bytes:
    """A body whose signature matches, since not every one has the characters that a test is about."""
    bodies = (BODY + b" " * count for count in range(1000))
    return next(body for body in bodies if re.search(pattern, case.candidate(body, case.moment())))


@each_base64
def test_lenient_base64_is_refused(case: Case) -> None:
    """Junk, no padding, more of it, line breaks, and another spelling of the last character."""
    good = case.candidate(BODY, case.moment())
    padding = good.count(b"=")
    variants = [
        b"-" + good,
        good[:4] + b"!" + good[4:],
        good[:4] + b"\n" + good[4:],
        good[:4] + b"\r\n" + good[4:],
    ]
    if padding:
        variants += [good.rstrip(b"="), good + b"=", good[:-1] + b"\x00="]
        last = good.rstrip(b"=")[-1:]
        alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        other = alphabet[alphabet.index(last) ^ 1 :][:1]
        uncanonical = good[: -padding - 1] + other + b"=" * padding
        assert base64.b64decode(uncanonical) == base64.b64decode(good)
        variants.append(uncanonical)
    faults = {case.fault(case.compose([variant], case.moment())) for variant in variants}
    assert faults <= {"signature_mismatch", case.misshapen}


@each_base64
def test_the_alphabet_of_urls_is_not_that_of_base64(case: Case) -> None:
    """The same digest in the other alphabet is refused."""
    body = _body_with(case, rb"[+/]")
    good = case.candidate(body, case.moment())
    other = good.replace(b"+", b"-").replace(b"/", b"_")
    request = case.compose([other], case.moment(), body)
    assert case.fault(request) == "signature_mismatch"


def test_the_alphabet_of_base64_is_not_that_of_urls() -> None:
    """Nor the other way round."""
    case = next(case for case in CASES if case.encoding == "base64url")
    body = _body_with(case, rb"[-_]")
    good = case.candidate(body, case.moment())
    other = good.replace(b"-", b"+").replace(b"_", b"/")
    assert case.fault(case.compose([other], case.moment(), body)) == "signature_mismatch"


@each_hmac
def test_the_digest_in_another_encoding_is_refused(case: Case) -> None:
    """Hexadecimal where base64 is due, and the other way round."""
    good = case.candidate(BODY, case.moment())
    if case.encoding == "hex":
        other = base64.b64encode(bytes.fromhex(good.decode()))
    else:
        other = base64.urlsafe_b64decode(good.replace(b"+", b"-").replace(b"/", b"_")).hex().encode()
    assert case.fault(case.compose([other], case.moment())) == case.misshapen


# The body


@each
def test_a_body_with_one_flipped_bit_is_refused(case: Case) -> None:
    """At every byte of it."""
    request = case.signed()
    bound = case.adapter.bind([case.secret()])
    for place in range(len(BODY)):
        flipped = bytearray(BODY)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(SignatureRejected) as caught:
            bound.verify(with_body(request, bytes(flipped)), NOW)
        assert caught.value.fault == "signature_mismatch"


@each
def test_a_body_that_means_the_same_is_refused(case: Case) -> None:
    """The bytes count: a line break, a byte order mark, other line ends, parsed and dumped again, shorter, none."""
    body = b'{"a": 1,\n "b": 1.0}'
    request = case.signed(body=body)
    for other in (
        body + b"\n",
        b"\n" + body,
        b"\xef\xbb\xbf" + body,
        body.replace(b"\n", b"\r\n"),
        body.replace(b"\n", b""),
        json.dumps(json.loads(body)).encode(),
        json.dumps(json.loads(body), separators=(",", ":")).encode(),
        body.decode().encode("utf-16"),
        body + b"\x00",
        body[:-1],
        body * 2,
        b"",
    ):
        assert case.fault(with_body(request, other)) == "signature_mismatch"


# The secret


@each
def test_a_signature_of_another_secret_is_refused(case: Case) -> None:
    """Such as that of another endpoint at the same provider."""
    assert case.fault(case.signed(key=b"the secret of somebody else")) == "signature_mismatch"


@each
@pytest.mark.parametrize("slot", [0, 1])
def test_while_rotating_either_secret_is_accepted(case: Case, slot: int) -> None:
    """And the slot of the one that matched is told."""
    secrets = [case.secret(0), case.secret(1)]
    assert case.verify(case.signed(key=KEYS[slot]), secrets=secrets).secret_slot == slot


@each
def test_after_the_rotation_the_old_secret_is_refused(case: Case) -> None:
    """It is no longer configured."""
    assert case.fault(case.signed(key=KEYS[0]), secrets=[case.secret(1)]) == "signature_mismatch"


@each
def test_of_two_secrets_that_match_the_first_is_told(case: Case) -> None:
    """The sender signs with both while it rotates; the slot does not depend on their order."""
    both = [case.secret(1), case.secret(0), case.secret(0)]
    assert case.verify(case.signed(), secrets=both).secret_slot == 1
    if case.separator:
        moment = case.moment()
        candidates = [case.candidate(BODY, moment, key) for key in (KEYS[0], KEYS[1])]
        assert case.verify(case.compose(candidates, moment), secrets=both).secret_slot == 0


@each
def test_without_secrets_everything_is_refused(case: Case) -> None:
    """No secret is not a secret that fits all."""
    for key in (KEYS[0], b""):
        assert case.fault(case.signed(key=key), secrets=[]) in {"signature_mismatch", "signature_malformed"}


@each_hmac
def test_a_signature_of_the_empty_key_is_refused(case: Case) -> None:
    """Anybody can compute it."""
    assert case.fault(case.signed(key=b"")) == "signature_mismatch"


@each
def test_an_empty_secret_cannot_be_bound(case: Case) -> None:
    """Not alone, not beside a good one, not behind its prefix."""
    empty = [""] if case.secret_format != "whsec_" else ["", "whsec_", "whpk_"]
    if case.secret_format != "whsec_" or not case.is_standard:
        empty = [text for text in empty if text != "whpk_"]
    for text in empty:
        for secrets in ([text], [case.secret(), text]):
            with pytest.raises(SecretFormatError):
                case.adapter.bind(secrets)
        with pytest.raises(SecretFormatError):
            case.adapter.scheme.sign(as_request(case.context), text, NOW)


@each_raw
def test_white_space_around_the_secret_makes_another(case: Case) -> None:
    """It is taken as it is."""
    for key in (KEYS[0] + b"\n", b" " + KEYS[0], KEYS[0] + b"\r\n"):
        assert case.fault(case.signed(key=key)) == "signature_mismatch"


@each_encoded
def test_the_text_of_an_encoded_secret_is_not_the_key(case: Case) -> None:
    """Neither with its prefix nor without."""
    for text in (case.secret(), case.secret().removeprefix("whsec_")):
        assert case.fault(case.signed(key=text.encode())) == "signature_mismatch"


def test_the_prefix_of_the_secret_of_stripe_belongs_to_the_key() -> None:
    """It looks like that of Standard Webhooks and is not decoded."""
    text = "whsec_" + base64.b64encode(KEYS[0]).decode()
    assert STRIPE.fault(STRIPE.signed(key=text.encode()), secrets=[text]) is None
    assert STRIPE.fault(STRIPE.signed(key=KEYS[0]), secrets=[text]) == "signature_mismatch"


# The timestamp

MALFORMED = [
    b"abc",
    b"1e9",
    b"nan",
    b"inf",
    b"-1",
    b"+1736942400",
    b"17 36942400",
    b"1_736_942_400",
    b"1736942400.0",
    b"1736942400.5",
    "\uff11\uff17\uff13\uff16\uff19\uff14\uff12\uff14\uff10\uff10".encode(),
    "\u0661\u0667\u0663\u0666\u0669\u0664\u0662\u0664\u0660\u0660".encode(),
    b"\xb2\xb3",
    b"0x6787A500",
    b"1" * 30,
    b"1" * 5000,
    b"1=2",
    b"1736942400\x00",
    b"2025-01-15T12:00:00Z",
    b"\xff",
]


@each_timestamped
@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: repr(text[:32]))
def test_a_timestamp_that_is_not_digits_is_malformed(case: Case, text: bytes) -> None:
    """Although it is properly signed: number parsers disagree about such texts."""
    assert case.fault(case.signed_at(text)) == "timestamp_malformed"


@each_timestamp_header
@pytest.mark.parametrize("text", [b" 1736942400", b"1736942400 ", b"1736942400\n", b"\t1736942400"], ids=repr)
def test_white_space_around_a_timestamp_is_malformed(case: Case, text: bytes) -> None:
    """In a header of its own, the whole of it is signed."""
    assert case.fault(case.signed_at(text)) == "timestamp_malformed"


@each_timestamped
def test_without_its_timestamp_it_is_refused(case: Case) -> None:
    """The signature is there, and of any message."""
    for moment in (b"", case.moment()):
        request = case.compose([case.candidate(BODY, moment)], None)
        assert case.fault(request) == "timestamp_missing"


@each_timestamped
def test_an_empty_timestamp_is_missing(case: Case) -> None:
    """Properly signed as empty."""
    assert case.fault(case.signed_at(b"")) == "timestamp_missing"


@each_timestamp_header
def test_a_repeated_timestamp_header_is_ambiguous(case: Case) -> None:
    """In both orders, and also when both are the same."""
    request = case.signed()
    assert case.timestamp_header
    for moment in (case.moment(NOW - 1), case.moment()):
        extra = (case.timestamp_header, moment)
        for fields in ([extra, *fields_of(request)], [*fields_of(request), extra]):
            assert case.fault(as_request(fields)) == "signature_ambiguous"


@each_timestamp_element
def test_two_timestamps_in_one_header_are_ambiguous(case: Case) -> None:
    """In both orders, with spaces, and also when both are the same."""
    request = case.signed()
    value = dict(fields_of(request))[case.signature_header]
    assert case.timestamp_element
    assert case.separator
    for moment in (case.moment(NOW - 1), case.moment(), b""):
        extra = case.timestamp_element + moment
        for both in (
            extra + case.separator + value,
            value + case.separator + extra,
            value + case.separator + b" " + extra,
        ):
            assert case.fault(with_value(request, case.signature_header, both)) == "signature_ambiguous"


@each_timestamped
def test_a_timestamp_in_another_unit_is_refused(case: Case) -> None:
    """Milliseconds for seconds are too many digits, seconds for milliseconds are long ago."""
    if case.units == 1:
        assert case.fault(case.signed_at(str(NOW * 1000).encode())) == "timestamp_malformed"
    else:
        assert case.fault(case.signed_at(str(NOW).encode())) == "timestamp_too_old"


@each_timestamped
def test_at_the_edge_of_the_tolerance_it_is_accepted(case: Case) -> None:
    """Exactly as old, and as far ahead, as is tolerated."""
    for seconds in (NOW - case.tolerance, NOW, NOW + case.tolerance):
        assert case.fault(case.signed(seconds=seconds)) is None


@each_timestamped
def test_the_fraction_of_our_clock_does_not_count(case: Case) -> None:
    """The timestamp has none to compare it with."""
    assert case.fault(case.signed(seconds=NOW - case.tolerance), now=NOW + 0.999) is None
    assert case.fault(case.signed(seconds=NOW + case.tolerance), now=NOW + 0.999) is None


@each_timestamped
def test_one_unit_beyond_the_tolerance_is_refused(case: Case) -> None:
    """With the word for its direction."""
    unit = 1 / case.units
    assert case.fault(case.signed(seconds=NOW - case.tolerance - unit)) == "timestamp_too_old"
    assert case.fault(case.signed(seconds=NOW + case.tolerance + unit)) == "timestamp_in_future"


@each_timestamped
def test_the_beginning_of_time_is_too_old(case: Case) -> None:
    """A second after it."""
    assert case.fault(case.signed_at(b"1")) == "timestamp_too_old"


@each_timestamped
def test_the_end_of_time_is_in_the_future(case: Case) -> None:
    """The largest number that is read at all."""
    assert case.fault(case.signed_at(b"9" * (12 if case.units == 1 else 15))) == "timestamp_in_future"


@each_timestamped
def test_a_stale_request_that_is_not_signed_tells_nothing_of_its_age(case: Case) -> None:
    """The signature comes first."""
    moment = case.moment(NOW - 10 * case.tolerance)
    request = case.compose([case.candidate(BODY, moment, b"another secret")], moment)
    assert case.fault(request) == "signature_mismatch"


@each_timestamped
def test_a_timestamp_moved_within_the_tolerance_is_refused(case: Case) -> None:
    """It is signed, and was not signed anew."""
    candidate = case.candidate(BODY, case.moment())
    for seconds in (NOW - 1, NOW + 1):
        assert case.fault(case.compose([candidate], case.moment(seconds))) == "signature_mismatch"


@each_timestamped
def test_a_leading_zero_in_a_timestamp_is_malformed_though_it_is_signed(case: Case) -> None:
    """It could be the end of what is signed before it."""
    for text in (b"0", b"00000000001", b"0" + case.moment()):
        assert case.fault(case.signed_at(text)) == "timestamp_malformed"


# What else is signed


@some([case for case in CASES if case.context])
def test_a_signed_header_is_needed_once_and_unchanged(case: Case) -> None:
    """It is missing, empty, changed, or repeated."""
    request = case.signed()
    for name, value in case.context:
        assert case.fault(without(request, name)) == "signed_header_missing"
        assert case.fault(with_value(request, name, b"")) == "signed_header_missing"
        assert case.fault(with_value(request, name, value + b"x")) == "signature_mismatch"
        for fields in ([(name, b"other"), *fields_of(request)], [*fields_of(request), (name, value)]):
            assert case.fault(as_request(fields)) == "signature_ambiguous"


def test_all_that_the_template_names_is_covered() -> None:
    """Method, address and path are not only there to be written down."""
    case = next(case for case in CASES if case.name == "whole-request")
    headers = case.signed().headers
    for changed in (
        RawRequest(body=BODY, headers=headers, method="PUT", path=PATH, url=URL),
        RawRequest(body=BODY, headers=headers, method=METHOD, path=PATH + "/", url=URL),
        RawRequest(body=BODY, headers=headers, method=METHOD, path=PATH, url=URL + "&admin=1"),
    ):
        assert case.fault(changed) == "signature_mismatch"


@each
def test_an_adapter_tells_whether_it_needs_the_address(case: Case) -> None:
    """So that nobody has to know it whose signature does not cover it."""
    expected = isinstance(case.spec, HmacSpec) and "{url}" in case.spec.signed
    assert expected == case.adapter.bind([case.secret()]).needs_url


# Lists of signatures


@each_list
def test_one_good_signature_among_five_is_enough(case: Case) -> None:
    """Wherever it stands."""
    good = case.candidate(BODY, case.moment())
    bad = [case.candidate(BODY, case.moment(), bytes([number])) for number in range(4)]
    for place in range(5):
        assert case.fault(case.compose([*bad[:place], good, *bad[place:]], case.moment())) is None


@each_list
def test_five_bad_signatures_do_not_make_a_good_one(case: Case) -> None:
    """All of them are looked at, and none matches."""
    bad = [case.candidate(BODY, case.moment(), bytes([number])) for number in range(5)]
    assert case.fault(case.compose(bad, case.moment())) == "signature_mismatch"


@each_list
@pytest.mark.parametrize("count", [6, 20, 10_000])
def test_too_many_signatures_are_not_looked_at(case: Case, count: int) -> None:
    """Although the good one is the first."""
    good = case.candidate(BODY, case.moment())
    candidates = [good, *[RUBBISH * len(good)] * (count - 1)]
    assert case.fault(case.compose(candidates, case.moment())) == "too_many_signatures"


@each_list
def test_misshapen_signatures_count_too(case: Case) -> None:
    """Or a header of any length could be had."""
    good = case.candidate(BODY, case.moment())
    assert case.fault(case.compose([good, *[b"x"] * 5], case.moment())) == "too_many_signatures"


@some([case for case in CASES if case.separator and case.prefix])
def test_signatures_of_other_versions_are_skipped(case: Case) -> None:
    """Any number of them, before and after the one that counts."""
    request = case.signed()
    assert case.separator
    value = dict(fields_of(request))[case.signature_header]
    others = [b"v9" + case.prefix[-1:] + b"00"] * 20 + [b"", b"v9"]
    for elements in ([*others, value], [value, *others]):
        assert case.fault(with_value(request, case.signature_header, case.separator.join(elements))) is None


@some([case for case in CASES if case.separator and not case.is_standard])
def test_spaces_around_the_elements_of_a_list_are_allowed(case: Case) -> None:
    """As after the commas of other HTTP headers."""
    request = case.signed()
    assert case.separator
    value = dict(fields_of(request))[case.signature_header]
    spaced = b" " + value.replace(case.separator, b" " + case.separator + b" ") + b" "
    assert case.fault(with_value(request, case.signature_header, spaced)) is None


# Stripe


def test_a_v0_signature_of_stripe_proves_nothing() -> None:
    """Valid or not, it is of test mode and another scheme."""
    moment = STRIPE.moment()
    value = b"t=" + moment + b",v0=" + STRIPE.candidate(BODY, moment)
    request = as_request([(b"stripe-signature", value)])
    assert STRIPE.fault(request) == "signature_missing"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"v1=%s", "timestamp_missing"),
        (b"t=1736942400", "signature_missing"),
        (b"t=1736942400,v1=", "signature_malformed"),
        (b"t=1736942400,v1", "signature_missing"),
        (b"t=1736942400,V1=%s", "signature_missing"),
        (b"t=1736942400,v1=v1=%s", "signature_malformed"),
        (b"T=1736942400,v1=%s", "timestamp_missing"),
        (b"t =1736942400,v1=%s", "timestamp_missing"),
        (b"t= 1736942400,v1=%s", "timestamp_malformed"),
        (b"t=1=2,v1=%s", "timestamp_malformed"),
        (b"t=,v1=%s", "timestamp_missing"),
        (b"t=1736942400,t=1736942400,v1=%s", "signature_ambiguous"),
        (b"t=1736942400;v1=%s", "signature_missing"),
        (b"t=1736942400 v1=%s", "signature_missing"),
        (b"%s", "timestamp_missing"),
        (b",,,", "timestamp_missing"),
    ],
)
def test_an_odd_header_of_stripe_is_refused(value: bytes, fault: str) -> None:
    """Each with the word for what is wrong; the signature in it is the right one."""
    good = STRIPE.candidate(BODY, b"1736942400")
    request = as_request([(b"stripe-signature", value.replace(b"%s", good))])
    assert STRIPE.fault(request) == fault


# Standard Webhooks


def test_an_ed25519_signature_is_not_accepted_under_v1() -> None:
    """Neither with the public key configured nor with a shared secret."""
    moment = V1A.moment()
    request = STANDARD.compose([V1A.candidate(BODY, moment)], moment)
    assert V1A.fault(request) == "signature_malformed"
    assert STANDARD.fault(request) == "signature_mismatch"


def test_an_hmac_is_not_accepted_under_v1a() -> None:
    """Neither with the public key configured nor with a shared secret."""
    moment = V1A.moment()
    request = V1A.compose([STANDARD.candidate(BODY, moment)], moment)
    assert V1A.fault(request) == "signature_mismatch"
    assert STANDARD.fault(request) == "signature_malformed"


def test_a_public_key_is_never_a_shared_secret() -> None:
    """Everybody knows it: an HMAC made with it, decoded or as text, is refused under both versions."""
    public = V1A.secret()
    decoded = base64.b64decode(public.removeprefix("whpk_"))
    for key in (decoded, public.encode(), public.removeprefix("whpk_").encode()):
        forged = STANDARD.candidate(BODY, STANDARD.moment(), key)
        under_v1 = STANDARD.compose([forged], STANDARD.moment())
        under_v1a = V1A.compose([forged], V1A.moment())
        assert V1A.fault(under_v1) == "signature_malformed"
        assert V1A.fault(under_v1a) == "signature_mismatch"


@some(
    [case for case in CASES if not case.is_asymmetric and case.secret_format in {"whsec_", "base64", "hex"}]
)
def test_a_public_key_cannot_be_bound_as_an_encoded_secret(case: Case) -> None:
    """It is refused at once, or else tried on v1a alone."""
    if case.is_standard:
        forged = case.signed(key=base64.b64decode(V1A.secret().removeprefix("whpk_")))
        assert case.fault(forged, secrets=[V1A.secret()]) == "signature_malformed"
    else:
        with pytest.raises(SecretFormatError, match="is not"):
            case.adapter.bind([V1A.secret()])


def test_a_private_key_is_refused_at_a_receiver() -> None:
    """It should never have left the sender."""
    with pytest.raises(SecretFormatError, match="private key"):
        STANDARD.adapter.bind([V1A.signing_secret()])


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_public_key_of_another_size_is_refused(size: int) -> None:
    """Ed25519 has 32 bytes."""
    with pytest.raises(SecretFormatError, match="32 bytes"):
        STANDARD.adapter.bind(["whpk_" + base64.b64encode(bytes(size)).decode()])


def test_a_shared_secret_and_a_public_key_stand_side_by_side() -> None:
    """While a sender moves from one to the other."""
    secrets = [STANDARD.secret(), V1A.secret()]
    assert STANDARD.verify(STANDARD.signed(), secrets=secrets).secret_slot == 0
    assert V1A.verify(V1A.signed(), secrets=secrets).secret_slot == 1


@some([case for case in CASES if case.is_standard])
@pytest.mark.parametrize("message_id", [b"a.b", b".", b"evt.1736942400", b"..."], ids=repr)
def test_an_id_with_a_dot_is_refused(case: Case, message_id: bytes) -> None:
    """It could stand for another id with another timestamp, although it is properly signed."""
    request = with_value(case.signed(), case.context[0][0], message_id)
    assert case.fault(request) == "signature_malformed"


def test_the_older_header_names_are_only_for_those_who_send_them() -> None:
    """svix- headers prove nothing where webhook- ones are due."""
    assert STANDARD.fault(SVIX.signed()) == "signature_missing"


def test_the_newer_header_names_are_accepted_from_svix() -> None:
    """The webhook- headers count when the svix- ones are not there."""
    assert SVIX.fault(STANDARD.signed()) is None


def test_where_both_header_names_are_there_the_older_count() -> None:
    """Good ones beside bad ones are good, bad ones beside good ones are bad."""
    svix_bad, standard_bad = SVIX.signed(key=b"another"), STANDARD.signed(key=b"another")
    assert SVIX.fault(as_request([*fields_of(SVIX.signed()), *fields_of(standard_bad)])) is None
    assert (
        SVIX.fault(as_request([*fields_of(svix_bad), *fields_of(STANDARD.signed())])) == "signature_mismatch"
    )


def test_header_names_are_not_mixed() -> None:
    """Id, timestamp and signature are of one family."""
    for name in (b"id", b"timestamp", b"signature"):
        mixed = [
            (b"webhook-" + name if key == b"svix-" + name else key, value)
            for key, value in fields_of(SVIX.signed())
        ]
        assert SVIX.fault(as_request(mixed)) is not None


def test_an_unsigned_id_beside_signed_headers_is_refused() -> None:
    """Or a recorded delivery could be repeated under any number of ids, each of them new."""
    fields = [*fields_of(STANDARD.signed()), (b"svix-id", b"evt_new")]
    assert SVIX.fault(as_request(fields)) == "signature_missing"


@some([case for case in CASES if case.is_standard])
@pytest.mark.parametrize(
    "value", [b"v1", b"v1a", b",", b"v1,v1,", b"v1 , x", b"v2,AAAA", b"v1=AAAA"], ids=repr
)
def test_an_odd_signature_of_standard_webhooks_is_refused(case: Case, value: bytes) -> None:
    """None of these is a signature of a known version, or it is of nothing."""
    request = with_value(case.signed(), case.signature_header, value)
    assert case.fault(request) in {"signature_malformed", "signature_mismatch"}


# How it is done


@some([case for case in CASES if not case.is_asymmetric])
def test_all_is_compared_with_all_in_constant_time(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first match nor the first mismatch ends it, so that time tells nothing."""
    compared = []
    original = hmac.compare_digest

    def recorded(left: bytes, right: bytes) -> bool:
        compared.append(len(left))
        return original(left, right)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    moment = case.moment()
    candidates = [case.candidate(BODY, moment), case.candidate(BODY, moment, b"another")]
    candidates = candidates if case.separator else candidates[:1]
    assert case.fault(case.compose(candidates, moment), secrets=[case.secret(0), case.secret(1)]) is None
    assert len(compared) == 2 * len(candidates)


# Anything at all


def _verdict(case: Case, request: RawRequest) -> object:
    try:
        return case.verify(request).secret_slot
    except Rejection as rejection:
        return type(rejection), rejection.args


def _names_of(case: Case) -> list[bytes]:
    names = [name for name, _ in fields_of(case.signed())]
    return [*names, b"webhook-id", b"webhook-signature", b"content-type"]


@each
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_arbitrary_requests_raise_nothing_but_rejections(case: Case, data: st.DataObject) -> None:
    """And the verdict on the same request is always the same."""
    names = st.sampled_from(_names_of(case)) | st.binary(max_size=20)
    pieces = st.sampled_from(
        [b"t=", b"v1=", b"v1,", b"v1a,", b",", b" ", b"=", case.prefix, case.moment(), b"."]
    )
    values = st.binary(max_size=200) | st.lists(pieces | st.binary(max_size=5), max_size=12).map(b"".join)
    fields = data.draw(st.lists(st.tuples(names, values), max_size=8))
    request = as_request(fields, data.draw(st.binary(max_size=100)))
    first = _verdict(case, request)
    assert isinstance(first, tuple)
    assert first == _verdict(case, request)


@each
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_nearly_good_requests_raise_nothing_but_rejections(case: Case, data: st.DataObject) -> None:
    """One header of a good request is spoiled somewhere; it is refused, unless the bytes are read the same."""
    fields = fields_of(case.signed())
    place = data.draw(st.integers(0, len(fields) - 1))
    name, value = fields[place]
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(start + 3, len(value))))
    spoiled = value[:start] + data.draw(st.binary(max_size=4)) + value[end:]
    fields[place] = (name, spoiled)
    first = _verdict(case, as_request(fields))
    assert first == _verdict(case, as_request(fields))
    is_same = spoiled.lower() == value.lower() if case.encoding == "hex" else spoiled == value
    if not case.separator and not is_same:
        assert isinstance(first, tuple)


@each
@settings(max_examples=20, deadline=None)
@given(body=st.binary(max_size=300), other=st.binary(max_size=300), age=st.integers(-5, 5))
def test_only_the_signed_body_is_proven(case: Case, body: bytes, other: bytes, age: int) -> None:
    """Whatever it is, and whatever the other one is."""
    request = case.signed(body=body, seconds=NOW - age)
    assert case.verify(request).body == body
    assert case.fault(with_body(request, other)) == (None if body == other else "signature_mismatch")
