"""The grammar of provider descriptions, and the bundled descriptions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.adapters import registry
from gateway.adapters.bundled import bundled
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.schemes.hmac import HmacScheme, HmacSpec
from gateway.signatures.schemes.standard_webhooks import StandardWebhooksScheme, StandardWebhooksSpec

YAML_NAMES = sorted(
    entry.name.removesuffix(".yaml")
    for entry in bundled("providers").iterdir()
    if entry.name.endswith(".yaml")
)
STAMPED = {"signed": "{timestamp}.{body}"}


def described(signature: dict[str, Any], **identity: Any) -> AdapterSpec:
    """A description, checked."""
    return AdapterSpec.model_validate({"signature": {"header": "X-Signature"} | signature} | identity)


# Signatures


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ({"algoritm": "sha256"}, "Extra inputs are not permitted"),
        ({"algorithm": "md5"}, "sha512"),
        ({"algorithm": "SHA256"}, "sha512"),
        ({"encoding": "base32"}, "base64url"),
        ({"separator": "|"}, "Input should be"),
        ({"separator": ""}, "Input should be"),
        ({"secret_format": "utf-8"}, "Input should be"),
        ({"header": ""}, "String should match pattern"),
        ({"header": "X_Signature"}, "String should match pattern"),
        ({"header": "X-Signature\n"}, "String should match pattern"),
        ({"header": "X Signature"}, "String should match pattern"),
        ({"header": "X-Sïgnature"}, "String should match pattern"),
        ({"header": "x" * 65}, "String should match pattern"),
        ({"header": []}, "at least 1 item"),
        ({"header": ["X-A"] * 11}, "at most 10 items"),
        ({"header": ["X-A", "X B"]}, "String should match pattern"),
        ({"header": None}, "needs either header or place"),
        ({"place": "query:signature"}, "needs either header or place"),
        ({"header": None, "place": "header:X-A"}, "String should match pattern"),
        ({"header": None, "place": "body:"}, "String should match pattern"),
        ({"header": None, "place": "body:/signature"}, "place cannot be in the body that is signed"),
        ({"construction": "hash"}, "construction: hash needs {secret} in signed"),
        ({"binds_body": False}, "binds_body is false although signed contains the body"),
        ({"group_separator": " ", "separator": ","}, "group_separator needs a timestamp.element"),
        (
            STAMPED | {"group_separator": ",", "separator": ",", "timestamp": {"element": "t="}},
            "group_separator must differ",
        ),
        (
            STAMPED | {"header": ["X-A", "X-B"], "separator": ",", "timestamp": {"element": "t="}},
            "timestamp.element needs a single header",
        ),
        ({"prefix": " sha256="}, "String should match pattern"),
        ({"prefix": "é"}, "String should match pattern"),
        ({"prefix": "x" * 33}, "String should match pattern"),
        ({"scheme": "rsa"}, "rsa"),
        ({"scheme": None}, "scheme"),
    ],
)
def test_an_unknown_key_or_value_is_refused(signature: dict[str, Any], message: str) -> None:
    """A slip of the pen must not become a default."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        described(signature)


@pytest.mark.parametrize(
    "template",
    [
        "{bdy}",
        "{body}{bdy}",
        "{Body}",
        "{ body }{body}",
        "{}{body}",
        "{{body}}",
        "{body",
        "body}",
        "{body}}",
        "{body}{",
        "{header:}{body}",
        "{header:X_Y}{body}",
        "{header}{body}",
        "{query:}{body}",
        "{query:a b}{body}",
        "{body:}{body}",
        "{item:id}{body}",
        "{url:encoded}{body}",
        "{body!r}",
        "{body.__class__}",
        "{0}{body}",
    ],
)
def test_an_unknown_field_in_braces_is_refused(template: str) -> None:
    """Braces are never literal text."""
    with pytest.raises(ValidationError, match="unknown field in braces"):
        described({"signed": template})


@pytest.mark.parametrize("template", ["", "body", "{method}{url}", "{header:body}"])
def test_a_signature_that_leaves_out_the_body_is_refused(template: str) -> None:
    """It would prove nothing about the event."""
    with pytest.raises(ValidationError, match=re.escape("must contain {body}")):
        described({"signed": template})


def test_a_template_has_a_bounded_length() -> None:
    """As everything that is rendered per request."""
    with pytest.raises(ValidationError, match="at most 1024 characters"):
        described({"signed": "{body}" + "x" * 1024})


@pytest.mark.parametrize(
    "signature",
    [
        STAMPED,
        {"timestamp": {"header": "X-Time"}},
        {"timestamp": {"element": "t="}, "separator": ","},
        {"signed": "{body}{header:timestamp}", "timestamp": {"header": "timestamp"}},
    ],
)
def test_a_timestamp_is_signed_exactly_when_it_is_described(signature: dict[str, Any]) -> None:
    """One that is checked and not signed could be changed; one that is signed and not described is nowhere."""
    with pytest.raises(ValidationError, match="exactly when a timestamp is described"):
        described(signature)


def test_a_timestamp_element_needs_a_list() -> None:
    """Without a separator there is only one element."""
    with pytest.raises(ValidationError, match="needs a separator"):
        described(STAMPED | {"timestamp": {"element": "t="}})


@pytest.mark.parametrize("timestamp", [{}, {"header": "X-Time", "element": "t="}, {"unit": "ms"}])
def test_a_timestamp_has_one_place(timestamp: dict[str, Any]) -> None:
    """A header of its own, or an element of the signature header."""
    with pytest.raises(ValidationError, match="either header or element"):
        described(STAMPED | {"separator": ",", "timestamp": timestamp})


def test_a_timestamp_element_begins_with_something() -> None:
    """Or every element were the timestamp."""
    for separator in (None, ","):
        with pytest.raises(ValidationError, match="at least 1 character"):
            described(STAMPED | {"separator": separator, "timestamp": {"element": ""}})


@pytest.mark.parametrize(
    "tolerance",
    [300, 300.0, "300", "", "0s", "-5s", "5 s", "5S", "5 minutes", "1e3s", "inf", "nans", None, True, "５s"],
)
def test_a_tolerance_is_a_duration_with_a_unit(tolerance: object) -> None:
    """A number alone could be seconds or milliseconds."""
    with pytest.raises(ValidationError, match="is not a duration"):
        described(STAMPED | {"timestamp": {"header": "X-Time", "tolerance": tolerance}})


@pytest.mark.parametrize("unit", ["minutes", "seconds", "S", 1])
def test_a_timestamp_is_in_one_of_a_few_units(unit: object) -> None:
    """Nothing else is known to be signed."""
    with pytest.raises(ValidationError, match="Input should be 's', 'ms', 'us', 'ns', 'auto'"):
        described(STAMPED | {"timestamp": {"header": "X-Time", "unit": unit}})


def test_an_unknown_key_of_a_timestamp_is_refused() -> None:
    """As everywhere in the grammar."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        described(STAMPED | {"timestamp": {"header": "X-Time", "tolerence": "5m"}})


@pytest.mark.parametrize(
    "identity", [{}, {"event_id": "body:/id"}, {"event_id": ["header:X-Id", "body:/id"]}]
)
def test_a_signed_id_stands_in_a_header(identity: dict[str, Any]) -> None:
    """Nothing is parsed before it is verified."""
    with pytest.raises(ValidationError, match=re.escape("needs event_id: header:NAME")):
        described({"signed": "{id}.{body}"}, **identity)


def test_a_signed_id_in_a_header_is_fine() -> None:
    """It is the header that is identified by, too."""
    spec = described({"signed": "{id}.{body}"}, event_id="header:X-Id")
    assert isinstance(spec.scheme(), HmacScheme)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ({"header": "X"}, "Extra inputs"),
        ({"header_prefixes": []}, "at least 1 item"),
        ({"header_prefixes": ["x-"]}, "Input should be"),
        ({"header_prefixes": "svix-"}, "valid list"),
        ({"tolerance": 300}, "is not a duration"),
    ],
)
def test_an_odd_description_of_standard_webhooks_is_refused(signature: dict[str, Any], message: str) -> None:
    """It has only two things that can be chosen."""
    with pytest.raises(ValidationError, match=message):
        AdapterSpec.model_validate({"signature": {"scheme": "standard_webhooks"} | signature})


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ({"scheme": "token"}, "needs either header or place, to say where the token is"),
        ({"scheme": "token", "header": "X-T", "place": "query:t"}, "needs either header or place"),
        ({"scheme": "token", "place": "token"}, "String should match pattern"),
        ({"scheme": "token", "header": "X-T", "encoding": "hex"}, "Extra inputs"),
        ({"scheme": "basic", "header": "Authorization"}, "Extra inputs"),
        ({"scheme": "twilio", "header": "X-T"}, "Extra inputs"),
        ({"scheme": "plivo", "version": "v1"}, "Input should be 'v2' or 'v3'"),
        ({"scheme": "contentful", "tolerance": 30}, "is not a duration"),
        (
            {"scheme": "standard_webhooks", "secret_format": "hex"},
            "Input should be 'whsec_', 'raw' or 'whsec_or_raw'",
        ),
    ],
)
def test_an_odd_description_of_another_scheme_is_refused(signature: dict[str, Any], message: str) -> None:
    """Each has its own few keys."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        AdapterSpec.model_validate({"signature": signature})


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (STAMPED | {"timestamp": {"position": 0}}, "needs a separator"),
        (
            STAMPED | {"timestamp": {"header": "X-T", "position": 0}},
            "needs either header or element, position",
        ),
        (STAMPED | {"timestamp": {"place": "header:X-T"}}, "String should match pattern"),
        (STAMPED | {"timestamp": {"position": 10}}, "less than or equal to 9"),
        ({"timestamp": {"place": "query:t"}}, "exactly when a timestamp is described"),
        (
            {"binds_body": False, "signed": "{body:/x}", "timestamp": {"place": "body:/at"}},
            "exactly when a timestamp is described",
        ),
    ],
)
def test_a_timestamp_elsewhere_is_covered_too(signature: dict[str, Any], message: str) -> None:
    """By the template, or by a body that is signed as a whole."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        described(signature)


def test_hmac_is_meant_when_no_scheme_is_named() -> None:
    """And the defaults are those of most senders."""
    spec = described({}).signature
    assert spec == HmacSpec(header="X-Signature")
    assert isinstance(spec, HmacSpec)
    assert (spec.algorithm, spec.encoding, spec.signed, spec.secret_format) == (
        "sha256",
        "hex",
        "{body}",
        "raw",
    )


def test_standard_webhooks_is_meant_when_it_is_named() -> None:
    """With the header names of the specification and five minutes."""
    spec = AdapterSpec.model_validate({"signature": {"scheme": "standard_webhooks"}})
    assert isinstance(spec.signature, StandardWebhooksSpec)
    assert (spec.signature.header_prefixes, spec.signature.tolerance) == (["webhook-"], 300.0)
    assert isinstance(spec.scheme(), StandardWebhooksScheme)


_STANDARD = {"scheme": "standard_webhooks"}
_PUBLIC_KEY = {"scheme": "public_key", "header": "X-S", "algorithm": "ed25519"}
_BOTH = {"scheme": "standard_webhooks", "header_prefixes": ["svix-", "webhook-"]}


@pytest.mark.parametrize(
    ("signature", "event_id", "expected"),
    [
        ({"header": "X-S"}, None, True),
        ({"header": "X-S"}, "body:/id", True),
        ({"header": "X-S"}, "header:X-Id", False),
        ({"header": "X-S", "signed": "{id}.{body}"}, "header:X-Id", True),
        ({"header": "X-S", "signed": "{header:x-id}.{body}"}, "header:X-Id", True),
        ({"header": "X-S", "signed": "{header:X-Other}.{body}"}, "header:X-Id", False),
        ({"header": "X-S", "signed": "{header:X-Id}.{body}"}, ["header:X-Id", "header:X-Other"], True),
        ({"header": "X-S", "signed": "{header:X-Id}.{body}"}, ["header:X-Other", "header:X-Id"], False),
        ({"header": "X-S"}, ["body:/id", "header:X-Id"], False),
        ({"header": "X-S"}, "{body:/id}:{header:X-Id}", False),
        ({"header": "X-S", "signed": "{header:X-Id}.{body}"}, "{body:/id}:{header:X-Id}", True),
        ({"header": "X-S", "signed": "{header:X-Id}.{body}"}, "{header:X-Id}:{header:X-Other}", False),
        ({"header": "X-S"}, "query:id", False),
        ({"header": "X-S"}, ["body:/id", "{query:id}:{body:/type}"], False),
        ({"header": "X-S", "signed": "{url}{body}"}, "query:id", True),
        (_PUBLIC_KEY, "header:Body", False),
        (_PUBLIC_KEY | {"signed": "{header:X-Id}{body}"}, "header:X-Id", True),
        (_PUBLIC_KEY | {"signed": "{id}{body}"}, "header:X-Id", True),
        (_STANDARD, "header:webhook-id", True),
        (_STANDARD, "header:svix-id", False),
        (_STANDARD, "body:/id", True),
        (_STANDARD, ["header:Webhook-Id", "header:X-Other"], True),
        (_BOTH, ["header:svix-id", "header:webhook-id"], True),
        (_BOTH, ["header:webhook-id", "header:svix-id"], False),
        (_BOTH, "header:webhook-id", False),
    ],
)
def test_it_is_known_whether_the_signature_covers_the_event_id(
    signature: dict[str, Any], event_id: object, *, expected: bool
) -> None:
    """Of several places the first that is present counts, so an unsigned one must not come before a signed one."""
    spec = AdapterSpec.model_validate({"signature": signature, "event_id": event_id})

    assert expected == spec.signs_event_id


_MEMBERS = {"header": "X-S", "signed": "{body:/id}:{body:/account}", "binds_body": False}


@pytest.mark.parametrize(
    ("signature", "within", "expected"),
    [
        ({"header": "X-S"}, "body:/account", True),
        ({"header": "X-S"}, "header:X-Hook", False),
        ({"header": "X-S"}, "query:hook", False),
        ({"header": "X-S", "signed": "{header:X-Hook}.{body}"}, "header:X-Hook", True),
        (_MEMBERS, "body:/account", True),
        (_MEMBERS, "body:/type", False),
        ({"scheme": "token", "header": "X-Token"}, "body:/account", False),
    ],
)
def test_what_an_id_is_unique_within_has_to_be_signed_as_well(
    signature: dict[str, Any], within: str, *, expected: bool
) -> None:
    """Or a captured delivery could be sent as another event; of members alone, those count that are signed."""
    spec = AdapterSpec.model_validate(
        {"signature": signature, "event_id": "body:/id", "unique_within": {within: "a reason"}}
    )
    assert expected == spec.signs_event_id


def test_a_signature_is_no_event_id() -> None:
    """It changes with the attempt, or with its spelling."""
    with pytest.raises(ValidationError, match="no id of an event"):
        AdapterSpec.model_validate(
            {"signature": {"header": "X-S"}, "event_id": ["body:/id", "{body:/type}:{header:x-s}"]}
        )


def test_a_description_that_was_read_does_not_change() -> None:
    """It is shared by all requests."""
    spec = described({})
    with pytest.raises(ValidationError, match="frozen"):
        spec.title = "Other"  # type: ignore[misc]


# Identities


@pytest.mark.parametrize(
    "source",
    [
        "",
        "id",
        "/id",
        "body:id",
        "body:$.id",
        "body:/a b",
        "body:/a\n",
        "header:",
        "header:X_Id",
        "header:X Id",
        "header:X-Id ",
        "Header:X-Id",
        "query:id 1",
        "{body:/id",
        "{id}",
        "header:" + "x" * 65,
        7,
        ["body:/id", "id"],
        ["body:/id", 7],
    ],
    ids=lambda source: repr(source)[:30],
)
@pytest.mark.parametrize(
    "key", ["event_id", "event_type", "delivery_id", "source", "time", "subject", "account", "actor"]
)
def test_a_bad_source_is_refused(key: str, source: object) -> None:
    """Wherever one is due."""
    with pytest.raises(ValidationError, match=r"is not a place in a delivery|valid string"):
        described({}, **{key: source})


def test_a_bad_source_by_type_is_refused() -> None:
    """Also in the depth of a mapping."""
    for sources in ({"push": "ref"}, {"push": ["body:/ref", "ref"]}, {"*": "ref"}):
        with pytest.raises(ValidationError, match="is not a place in a delivery"):
            described({}, subject=sources)


@pytest.mark.parametrize(
    "key", ["event_id", "event_type", "delivery_id", "source", "account", "actor", "event_action"]
)
def test_only_time_and_subject_depend_on_the_type(key: str) -> None:
    """The others are asked for before it is known, or are the same for all."""
    with pytest.raises(ValidationError, match="valid string"):
        described({}, **{key: {"push": "body:/ref"}})


def test_an_unknown_key_of_a_description_is_refused() -> None:
    """At its top level, too."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        described({}, evnt_id="body:/id")


def test_a_description_without_a_signature_is_refused() -> None:
    """There is no default that would accept everything."""
    values: list[object] = [None, {}, "none", []]
    for content in [{}, *({"signature": value} for value in values)]:
        with pytest.raises(ValidationError, match="signature"):
            AdapterSpec.model_validate(content)


@pytest.mark.parametrize("key", ["patience", "retry_horizon"])
def test_a_bad_duration_is_refused(key: str) -> None:
    """As for the tolerance."""
    with pytest.raises(ValidationError, match="is not a duration"):
        described({}, **{key: "3 days"})


# What comes with the gateway


def test_every_description_is_listed() -> None:
    """And the generic one, and nothing else; sorted."""
    expected = tuple(sorted([*YAML_NAMES, registry.GENERIC]))
    assert expected == registry.names()
    assert {"github", "openai", "standard_webhooks", "stripe", "svix"} <= set(registry.names())


@pytest.mark.parametrize("name", YAML_NAMES)
def test_every_description_loads_and_says_where_it_is_from(name: str) -> None:
    """It has a title, the provider's own page and a type; some senders give no id."""
    adapter = registry.load(name)
    assert adapter.name == name
    assert adapter.spec.title
    assert adapter.spec.docs.startswith("https://")
    assert adapter.spec.event_type


@pytest.mark.parametrize("name", YAML_NAMES)
def test_every_description_survives_being_written_and_read(name: str) -> None:
    """The grammar accepts what it writes."""
    spec = registry.load(name).spec
    assert AdapterSpec.model_validate(spec.model_dump(exclude_unset=True)) == spec
    assert AdapterSpec.model_validate_json(spec.model_dump_json(exclude_unset=True)) == spec


def test_a_description_is_read_once() -> None:
    """Adapters are immutable and shared."""
    assert registry.load("github") is registry.load("github")


@pytest.mark.parametrize(
    "name", ["", "hmac", "nobody", "GitHub", "../providers/github", "github.yaml", "samples", "."]
)
def test_a_name_that_is_not_described_is_a_key_error(name: str) -> None:
    """Also one that would be a path; the generic one is described elsewhere."""
    with pytest.raises(KeyError):
        registry.load(name)
