"""The contract of every scheme, wherever its signature is: it accepts what it signs, and refuses everything else.

Whether signatures are those of the senders is told by the vectors and by the senders' own packages.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SIGNATURE_FAULTS, SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.secrets import SecretFormatError

NOW = 1_790_000_000.5
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
FORM_CONTENT = {"application/x-www-form-urlencoded": "form"}
BODY = b'{"id": "evt_1", "amount": 41.50}'


@dataclass(frozen=True)
class Case:
    """One way of signing.

    Attributes:
        name: how the test is called.
        signature: its description.
        body: what is sent.
        headers: what is sent beside it.
        query: the parameters of the address.
        identity: the rest of the description.
        secrets: two that are in its format.
        is_body_bound: whether any change of the body is noticed.
    """

    name: str
    signature: dict[str, Any]
    body: bytes = BODY
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    query: bytes = b""
    identity: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, str] = ("a shared secret", "another shared secret")
    is_body_bound: bool = True

    @property
    def adapter(self) -> Adapter:
        """What is tested."""
        return Adapter("hmac", AdapterSpec.model_validate({"signature": self.signature} | self.identity))

    def request(
        self, body: bytes | None = None, headers: dict[str, str] | None = None, query: bytes | None = None
    ) -> RawRequest:
        """What is sent, or something else."""
        query = self.query if query is None else query
        fields = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in (headers or self.headers).items()
        ]
        return as_request(fields, self.body if body is None else body, query)

    def signed(self, secret: str | None = None, now: float = NOW) -> RawRequest:
        """What is sent, signed."""
        signed = self.adapter.scheme.sign(self.request(), secret or self.secrets[0], now)
        return self.request(signed.body, self.headers | signed.headers, signed.query)

    def fault(self, request: RawRequest, now: float = NOW) -> str | None:
        """Why a request is refused; None when it is not."""
        try:
            self.adapter.bind([self.secrets[0]]).verify(request, now)
        except SignatureRejected as rejection:
            return rejection.fault
        return None


def as_request(fields: list[tuple[bytes, bytes]], body: bytes, query: bytes) -> RawRequest:
    """A POST to one address."""
    url = "https://hooks.example.com/in%20here" + (f"?{query.decode('latin-1')}" if query else "")
    return RawRequest(body=body, headers=Headers(fields), path="/in%20here", query=query, url=url)


ADYEN_ITEM = b'{"Item": {"reference": "r%d", "amount": {"value": 3}, "success": "true"}}'
BATCH = b'{"live": "false", "items": [' + ADYEN_ITEM % 1 + b", " + ADYEN_ITEM % 2 + b"]}"
CASES = [
    Case(
        "in-body",
        {
            "place": "body:/signature/signature",
            "binds_body": False,
            "signed": "{timestamp}{body:/signature/token}",
            "timestamp": {"place": "body:/signature/timestamp"},
        },
        b'{"signature": {"token": "abc", "timestamp": "1"}, "event-data": {"id": "1"}}',
        is_body_bound=False,
    ),
    Case(
        "in-form",
        {
            "place": "body:/signature",
            "binds_body": False,
            "signed": "{timestamp}{body:/token}",
            "timestamp": {"place": "body:/timestamp"},
        },
        b"token=a%20b&other=%C3%A9",
        FORM,
        identity={"content": FORM_CONTENT},
        is_body_bound=False,
    ),
    Case(
        "in-json-in-form",
        {
            "place": "body:/event/event_hash",
            "binds_body": False,
            "signed": "{timestamp}{body:/event/event_type}",
            "timestamp": {"place": "body:/event/event_time"},
        },
        b"json=%7B%22event%22%3A%7B%22event_type%22%3A%22x%22%7D%7D&other=1",
        FORM,
        identity={"content": FORM_CONTENT, "form_json": "json"},
        is_body_bound=False,
    ),
    Case(
        "items",
        {
            "place": "item:/Item/additionalData/hmacSignature",
            "encoding": "base64",
            "secret_format": "hex",
            "binds_body": False,
            "signed": "{item:/Item/reference}:{item:/Item/absent}:{item:/Item/amount/value}:{item:/Item/success}",
        },
        BATCH,
        identity={"batch": "body:/items"},
        secrets=("00ff", "ff00"),
        is_body_bound=False,
    ),
    Case("in-query", {"place": "query:signature"}, query=b"a=1&signature=old&b=%20"),
    Case(
        "moment-in-body",
        {"header": "X-S", "timestamp": {"place": "body:/at", "unit": "ms", "tolerance": "60s"}},
        b'{"at": 1, "id": 2}',
    ),
    Case(
        "digest",
        {
            "header": "X-S",
            "construction": "hash",
            "algorithm": "sha1",
            "signed": "{body}{timestamp}{secret}",
            "timestamp": {"header": "X-T", "tolerance": "2h"},
        },
    ),
    Case(
        "groups",
        {
            "header": "X-S",
            "prefix": "v1=",
            "separator": ",",
            "group_separator": " ",
            "signed": "{timestamp}.{body}",
            "timestamp": {"element": "t="},
        },
    ),
    Case(
        "position",
        {
            "header": "X-S",
            "separator": ",",
            "signed": "{timestamp}.{body}",
            "timestamp": {"position": 0, "unit": "auto"},
        },
    ),
    Case(
        "position-behind",
        {"header": "X-S", "separator": ";", "signed": "{body}{timestamp}", "timestamp": {"position": 1}},
    ),
    Case(
        "iso8601",
        {"header": "X-S", "signed": "{timestamp}{body}", "timestamp": {"header": "X-T", "unit": "iso8601"}},
    ),
    Case("several-headers", {"header": ["X-S-1", "X-S-2", "X-S-3"], "encoding": "base64"}),
    Case(
        "address",
        {"header": "X-S", "signed": "{method}{url:decoded}{path}{query}{query:a}{body}"},
        query=b"a=%3A%2f&b=1",
    ),
    Case("form", {"header": "X-S", "signed": "{url}{form}"}, b"b=%C3%A9&a=1+2&c=", FORM),
    Case("base64url-unpadded", {"header": "X-S", "encoding": "base64url-unpadded", "secret_format": "sha1"}),
    Case("prefix-with-space", {"header": "Authorization", "prefix": "HMAC ", "secret_suffix": "&"}),
    Case(
        "standard-raw",
        {"scheme": "standard_webhooks", "secret_format": "raw"},
        headers=JSON | {"webhook-id": "m1"},
    ),
    Case("token-header", {"scheme": "token", "header": "X-Token"}, is_body_bound=False),
    Case(
        "token-bearer",
        {"scheme": "token", "header": "Authorization", "prefix": "Bearer "},
        is_body_bound=False,
    ),
    Case("token-query", {"scheme": "token", "place": "query:token"}, query=b"a=1", is_body_bound=False),
    Case(
        "token-items",
        {"scheme": "token", "place": "item:/state"},
        b'{"value": [{"id": 1}, {"id": 2}]}',
        identity={"batch": "body:/value"},
        is_body_bound=False,
    ),
    Case("basic", {"scheme": "basic"}, secrets=("user:pass:word", "user:password"), is_body_bound=False),
    Case("twilio", {"scheme": "twilio"}, b"b=%C3%A9&a=1+2&a=3", FORM, b"x=1"),
    Case("twilio-json", {"scheme": "twilio"}, query=b"x=1"),
    Case("plivo", {"scheme": "plivo"}, b"b=%C3%A9&a=1+2&a=3", FORM, b"y=2&x=1"),
    Case("plivo-v2", {"scheme": "plivo", "version": "v2"}, b"b=1", FORM, is_body_bound=False),
    Case(
        "mercado_pago",
        {"scheme": "mercado_pago"},
        headers=JSON | {"x-request-id": "abc-1"},
        query=b"data.id=AB12&type=payment",
        is_body_bound=False,
    ),
    Case(
        "contentful",
        {"scheme": "contentful"},
        headers=JSON | {"x-contentful-topic": "Entry.publish"},
        query=b"a=1",
    ),
    Case("coinbase_cdp", {"scheme": "coinbase_cdp"}),
    Case(
        "braintree",
        {"scheme": "braintree"},
        b"bt_payload=PG5vdGlm%0AaW9uPg%3D%3D%0A",
        FORM,
        identity={"content": FORM_CONTENT},
        is_body_bound=False,
    ),
]


def some(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test for each of these ways of signing."""
    assert cases
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


each = some(CASES)
each_dated = some([case for case in CASES if case.adapter.spec.signature.has_timestamp])
each_bound = some([case for case in CASES if case.is_body_bound])


@each
def test_what_is_signed_is_accepted(case: Case) -> None:
    """While rotating with either secret, whose slot is told."""
    bound = case.adapter.bind(case.secrets)
    for slot, secret in enumerate(case.secrets):
        assert bound.verify(case.signed(secret), NOW).secret_slot == slot


@each
def test_another_secret_is_refused(case: Case) -> None:
    """For the signature, not for its shape."""
    assert case.fault(case.signed(case.secrets[1])) == "signature_mismatch"


@each
def test_what_is_not_signed_is_refused(case: Case) -> None:
    """Nothing at all, and everything but the signature."""
    assert case.fault(as_request([], b"", b"")) is not None
    assert case.fault(case.request()) is not None


@each
def test_an_empty_secret_is_refused(case: Case) -> None:
    """Everybody could sign with it."""
    with pytest.raises(SecretFormatError):
        case.adapter.bind(["", case.secrets[0]])


@each
def test_it_is_told_whether_the_body_is_bound(case: Case) -> None:
    """A scheme must not promise what it does not do, nor do less than it promises for a body that it covers in part."""
    promised = case.adapter.spec.signature.is_body_bound
    assert promised == (case.is_body_bound or case.name == "braintree")
    assert case.adapter.spec.signature.describe()


@each_bound
def test_a_body_with_a_flipped_bit_is_refused(case: Case) -> None:
    """At every place of it; a form may be spelled in two ways, so that there only what it says counts."""
    request = case.signed()
    fields = list(request.headers.fields)
    bound = case.adapter.bind([case.secrets[0]])
    for place in range(len(request.body)):
        body = bytearray(request.body)
        body[place] ^= 1
        if case.headers != FORM or chr(request.body[place]) in string.ascii_lowercase:
            with pytest.raises(SignatureRejected):
                bound.verify(as_request(fields, bytes(body), request.query), NOW)


@each_dated
def test_a_moment_too_far_away_is_refused(case: Case) -> None:
    """On either side, and only for that."""
    request = case.signed()
    assert case.fault(request, NOW + 10_000) == "timestamp_too_old"
    assert case.fault(request, NOW - 10_000) == "timestamp_in_future"


@each
def test_repeated_headers_are_ambiguous(case: Case) -> None:
    """Each that the signature added, in both orders."""
    request = case.signed()
    fields = list(request.headers.fields)
    added = [(name, value) for name, value in fields if name.decode() not in case.headers]
    for name, value in added:
        for repeated in ([(name, b"x"), *fields], [*fields, (name, value)]):
            assert case.fault(as_request(repeated, request.body, request.query)) == "signature_ambiguous"


@some([case for case in CASES if "place" in case.signature and case.signature["place"].startswith("query:")])
def test_a_repeated_parameter_is_ambiguous(case: Case) -> None:
    """In both orders, however it is spelled."""
    request = case.signed()
    name = case.signature["place"].partition(":")[2].encode()
    spelled = b"%%%02x" % name[0] + name[1:]
    fields = list(request.headers.fields)
    for query in (name + b"=x&" + request.query, request.query + b"&" + spelled + b"=x"):
        assert case.fault(as_request(fields, request.body, query)) == "signature_ambiguous"


@some([case for case in CASES if case.name in ("in-form", "form", "braintree")])
def test_a_repeated_field_is_ambiguous(case: Case) -> None:
    """Where the verdict depends on it."""
    request = case.signed()
    name = {"in-form": b"token", "form": b"a", "braintree": b"bt_payload"}[case.name]
    body = request.body + b"&" + name + b"=x"
    assert case.fault(as_request(list(request.headers.fields), body, request.query)) == "signature_ambiguous"


@some([case for case in CASES if case.name in ("in-form", "form", "twilio", "plivo", "braintree")])
def test_a_form_that_says_it_is_something_else_is_refused(case: Case) -> None:
    """Or it would be read in another way than it was proven in."""
    request = case.signed()
    for media_type in (
        b"application/json",
        b"multipart/form-data",
        b"",
        b"text/plain; application/x-www-form-urlencoded",
    ):
        fields = [
            (name, media_type if name == b"content-type" else value) for name, value in request.headers.fields
        ]
        if media_type or case.name != "in-form":
            assert case.fault(as_request(fields, request.body, request.query)) is not None


@some([case for case in CASES if case.name in ("items", "token-items")])
def test_every_event_of_a_batch_must_be_signed(case: Case) -> None:
    """One that is not spoils all; none at all is no proof."""
    request = case.signed()
    fields = list(request.headers.fields)
    first = request.body.index(b"[")
    for body in (
        request.body[: first + 1] + b'{"id": 9},' + request.body[first + 1 :],
        request.body[:-2] + b',{"id": 9}]}',
        request.body[:-2] + b",null]}",
        request.body[:-2] + b",[]]}",
        request.body[: first + 1] + b"]}",
        b"[]",
        b"null",
    ):
        assert case.fault(as_request(fields, body, request.query)) == "signature_missing"


@pytest.mark.parametrize(
    "value", [b'["a"]', b'{"a": 1}', b"null", b"[]", b'""', b"1e400", b"\xff", b'"\\ud800"']
)
def test_a_signature_in_the_body_is_text(value: bytes) -> None:
    """Nothing else is one, and none of it is an error of ours."""
    case = CASES[0]
    for name in ("signature", "timestamp", "token"):
        parts = {"signature": b'"00"', "timestamp": b'"1"', "token": b'"abc"', name: value}
        body = b'{"signature": {%b}}' % b", ".join(
            b'"%b": %b' % (key.encode(), text) for key, text in parts.items()
        )
        assert case.fault(as_request([(b"content-type", b"application/json")], body, b"")) is not None


def test_of_several_places_the_first_that_is_used_counts() -> None:
    """One that is used twice, or for something else, is not passed over."""
    spec = {"place": ["body:/a", "body:/b"], "binds_body": False, "signed": "{body:/id}"}
    case = Case("places", spec, b"id=1", FORM, identity={"content": FORM_CONTENT})
    signature = case.signed().body.rpartition(b"=")[2]
    for body, expected in [
        (b"id=1&a=" + signature, None),
        (b"id=1&b=" + signature, None),
        (b"id=1&a=&b=" + signature, None),
        (b"id=1&a=x&b=" + signature, "signature_malformed"),
        (b"id=1&a=x&a=y&b=" + signature, "signature_ambiguous"),
        (b"id=1", "signature_missing"),
    ]:
        assert case.fault(case.request(body)) == expected


def test_an_old_group_does_not_lend_its_moment_to_another() -> None:
    """Each group is checked with the timestamp that stands in it, and there are few of them."""
    case = next(case for case in CASES if case.name == "groups")
    fresh, stale, other = (
        dict(request.headers.fields)[b"x-s"]
        for request in (case.signed(), case.signed(now=NOW - 10_000), case.signed(case.secrets[1]))
    )
    mixed = fresh.partition(b",")[0] + b"," + stale.partition(b",")[2]
    for value, expected in [
        (other + b" " + fresh, None),
        (fresh + b"  " + other, None),
        (mixed, "signature_mismatch"),
        (stale, "timestamp_too_old"),
        (b" ".join([fresh] * 4), "too_many_signatures"),
        (b" ", "signature_mismatch"),
    ]:
        request = as_request([(b"x-s", value)], case.body, b"")
        assert case.fault(request) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"2026-09-21T14:13:20Z", None),
        (b"2026-09-21T14:13:20.123456789Z", None),
        (b"2026-09-21T16:13:20+02:00", None),
        (b"2026-09-21T16:13:20+0200", None),
        (b"2026-09-21T14:13:20", None),
        (b"2026-09-21 14:13:20Z", None),
        (b"2026-09-21 14:13:20.5", None),
        (b"2026-09-21T14:13:20,5", None),
        (b"2026-09-21t14:13:20z", None),
        (b"2026-09-21T16:13:20+02", None),
        (b"2026-09-21T08:43:20.000000001-05:30", None),
        (b"2026-09-21T16:13:20", "timestamp_in_future"),
        (b"2026-09-21T14:13:20+02", "timestamp_too_old"),
        (b"2026-09-21T14:13:20 Z", "timestamp_malformed"),
        (b"2026-09-21T14:13:20+2", "timestamp_malformed"),
        (b"2026-09-21T14:13:20+05:99", "timestamp_malformed"),
        (b"2026-09-21T14:13:20+24:00", "timestamp_malformed"),
        (b"2026-09-21T14:13:60Z", "timestamp_malformed"),
        (b"2026-09-21T24:00:00Z", "timestamp_malformed"),
        (b"2026-09-21T14:13Z", "timestamp_malformed"),
        (b"2026-09-21T14:13:20.Z", "timestamp_malformed"),
        (b"2026-09-21  14:13:20", "timestamp_malformed"),
        (b"20260921T141320Z", "timestamp_malformed"),
        (b"2026-02-30T14:13:20Z", "timestamp_malformed"),
        (b"2026-09-21T25:13:20Z", "timestamp_malformed"),
        (b"0000-01-01T00:00:00Z", "timestamp_malformed"),
        (b"0001-01-01T00:00:00+23:59", "timestamp_too_old"),
        (b"9999-12-31T23:59:59-23:59", "timestamp_in_future"),
        (b"1790000000", "timestamp_malformed"),
        (b"2026-W39-1T14:13:20Z", "timestamp_malformed"),
        ("２026-09-21T14:13:20Z".encode(), "timestamp_malformed"),
        (b"2026-09-21T14:13:20." + b"1" * 30 + b"Z", None),
        (b"2026-09-21T14:13:20." + b"1" * 60 + b"Z", "timestamp_malformed"),
        (b"", "timestamp_missing"),
    ],
)
def test_a_moment_in_iso_8601_is_read_strictly(text: bytes, expected: str | None) -> None:
    """With seconds and an offset; finer than microseconds is cut. The signature is right, whatever it says."""
    case = next(case for case in CASES if case.name == "iso8601")
    undated = Case(
        "undated",
        {"header": "X-S", "signed": "{header:X-T}{body}"},
        headers={"X-T": text.decode("latin-1") or "-"},
    )
    signature = dict(undated.signed().headers.fields)[b"x-s"]
    assert case.fault(as_request([(b"x-t", text), (b"x-s", signature)], BODY, b"")) == expected


@given(
    names=st.lists(
        st.sampled_from(["x-s", "x-t", "content-type", "authorization", "x-signature", "x-hook0-signature"])
    ),
    values=st.lists(st.binary(max_size=40), min_size=6, max_size=6),
    body=st.binary(max_size=60) | st.sampled_from([b"[" * 5000, b'{"items": 1}', b"a&b&%&=&" * 2000]),
    query=st.binary(max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_nothing_but_a_rejection_is_ever_raised(
    names: list[str], values: list[bytes], body: bytes, query: bytes
) -> None:
    """Whatever comes, to every scheme, also where the signature stands beside it."""
    for case in CASES:
        signed = list(case.signed().headers.fields)
        for fields in (
            [(name.encode(), value) for name, value in zip(names, values, strict=False)],
            signed,
            [
                (name, values[0] if number == 0 else value)
                for number, (name, value) in enumerate(reversed(signed))
            ],
        ):
            assert case.fault(as_request(fields, body, query)) in (None, *SIGNATURE_FAULTS)
