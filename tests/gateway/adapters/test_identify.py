"""The identity of a verified event, and the limits of its fields."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.identity import Identity, clean_attribute, clean_event_id, clean_event_type, clean_time
from gateway.adapters.spec import AdapterSpec
from gateway.signatures import request as internals
from gateway.signatures.rejections import MalformedRequest, Rejection
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from support.deliveries import NAMES, parameters_of, secrets_of

ENCODED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def identify(adapter: Adapter, payload: object, fields: list[tuple[bytes, bytes]]) -> Identity:
    """What an adapter says of a delivery, as if it were proven."""
    verified = VerifiedRequest(
        RawRequest(body=b"", headers=Headers(fields)),
        0,
        proof=internals.PROOF,
    )
    known = adapter.name in registry.names() and adapter.name != registry.GENERIC
    secret = secrets_of(adapter.name).receiver if known else ENCODED
    return adapter.bind([secret], parameters_of(adapter)).identify(verified, payload)


def identify_by_name(name: str, payload: object, **headers: str) -> Identity:
    """The same for a provider described here; underscores in the names of headers are hyphens."""
    fields = [(key.replace("_", "-").encode(), value.encode("latin-1")) for key, value in headers.items()]
    return identify(registry.load(name), payload, fields)


def described(**identity: Any) -> Adapter:
    """An adapter whose signature does not matter here."""
    spec = AdapterSpec.model_validate({"signature": {"header": "X-Signature"}} | identity)
    return Adapter("hmac", spec)


# Stripe


def test_a_snapshot_event_of_stripe_is_identified() -> None:
    """Id, type, time, subject and the connected account."""
    payload = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1736942400,
        "account": "acct_1",
        "data": {"object": {"id": "pi_1"}},
    }
    assert identify_by_name("stripe", payload) == Identity(
        "evt_1",
        "payment_intent.succeeded",
        time="2025-01-15T12:00:00Z",
        subject="pi_1",
        account="acct_1",
        summary="Stripe: payment_intent.succeeded for pi_1",
    )


def test_a_thin_event_of_stripe_is_identified() -> None:
    """Its time is text, its subject and account have other names."""
    payload = {
        "id": "evt_test_65R",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "created": "2025-01-15T12:00:00.325Z",
        "context": "acct_2",
        "related_object": {"id": "mtr_test_61R", "type": "billing.meter"},
    }
    assert identify_by_name("stripe", payload) == Identity(
        "evt_test_65R",
        "v1.billing.meter.error_report_triggered",
        time="2025-01-15T12:00:00.325000Z",
        subject="mtr_test_61R",
        account="acct_2",
        summary="Stripe: v1.billing.meter.error_report_triggered for mtr_test_61R",
    )


# GitHub


def test_a_github_event_with_an_action_has_a_finer_type() -> None:
    """And subject, time, account and actor from where its type has them."""
    payload = {
        "action": "opened",
        "pull_request": {"number": 7, "updated_at": "2025-01-15T13:00:00+01:00"},
        "repository": {
            "full_name": "acme/widgets",
            "html_url": "https://github.com/acme/widgets",
            "owner": {"login": "acme"},
        },
        "sender": {"login": "ada", "html_url": "https://github.com/ada"},
    }
    identity = identify_by_name("github", payload, x_github_delivery=GUID, x_github_event="pull_request")
    assert identity == Identity(
        GUID,
        "pull_request.opened",
        delivery_id=GUID,
        source="https://github.com/acme/widgets",
        time="2025-01-15T12:00:00Z",
        subject="7",
        account="acme",
        actor="ada",
        summary="ada opened pull request #7 in acme/widgets",
    )


def test_a_github_event_without_an_action_keeps_its_type() -> None:
    """A push has none."""
    payload = {"ref": "refs/heads/main", "head_commit": {"timestamp": "2025-01-15T12:00:00Z"}}
    identity = identify_by_name("github", payload, x_github_delivery=GUID, x_github_event="push")
    assert (identity.event_type, identity.is_typed) == ("push", True)
    assert (identity.subject, identity.time) == ("refs/heads/main", "2025-01-15T12:00:00Z")


@pytest.mark.parametrize(
    "action", [1, True, [], {}, "x" * 300, "é" * 128, 1.5], ids=lambda value: repr(value)[:20]
)
def test_a_github_event_with_an_odd_action_is_not_typed(action: object) -> None:
    """The type stays that of the header, and it is told that more was due."""
    identity = identify_by_name("github", {"action": action}, x_github_delivery=GUID, x_github_event="issues")
    assert (identity.event_type, identity.is_typed) == ("issues", False)


def test_a_null_action_of_github_is_none() -> None:
    """As if it were not there."""
    identity = identify_by_name("github", {"action": None}, x_github_delivery=GUID, x_github_event="issues")
    assert (identity.event_type, identity.is_typed) == ("issues", True)


@pytest.mark.parametrize(
    ("payload", "source"),
    [
        ({"repository": {"html_url": "r", "url": "u"}, "organization": {"url": "o"}}, "r"),
        ({"repository": {"html_url": None, "url": "u"}}, "u"),
        ({"organization": {"url": "o"}, "sender": {"html_url": "s"}}, "o"),
        ({"installation": {"account": {"html_url": "i"}}, "sender": {"html_url": "s"}}, "i"),
        ({"sender": {"html_url": "s"}}, "s"),
        ({}, None),
    ],
)
def test_the_first_source_that_is_there_counts(payload: object, source: str | None) -> None:
    """From the repository down to whoever caused it."""
    identity = identify_by_name("github", payload, x_github_delivery=GUID, x_github_event="ping")
    assert identity.source == source


def test_the_subject_depends_on_the_type() -> None:
    """The entry of the event serves all of its actions; an unknown event has none."""
    payload = {"action": "closed", "issue": {"number": 3}, "pull_request": {"number": 4}, "ref": "main"}
    subjects = {
        event: identify_by_name("github", payload, x_github_delivery=GUID, x_github_event=event).subject
        for event in ("issues", "pull_request", "push", "never_heard_of")
    }
    assert subjects == {"issues": "3", "pull_request": "4", "push": "main", "never_heard_of": None}


def test_the_time_falls_back_to_the_next_place() -> None:
    """A running check has no end yet."""
    for run, time in (
        ({"started_at": "2025-01-15T12:00:00Z", "completed_at": None}, "2025-01-15T12:00:00Z"),
        (
            {"started_at": "2025-01-15T12:00:00Z", "completed_at": "2025-01-15T12:01:00Z"},
            "2025-01-15T12:01:00Z",
        ),
    ):
        identity = identify_by_name(
            "github", {"check_run": run}, x_github_delivery=GUID, x_github_event="check_run"
        )
        assert identity.time == time


# Standard Webhooks, OpenAI, Svix


def test_an_event_of_openai_is_identified() -> None:
    """By the id in the header, not by that in the body."""
    payload = {
        "id": "evt_1",
        "type": "response.completed",
        "created_at": 1736942400,
        "data": {"id": "resp_1"},
    }
    assert identify_by_name("openai", payload, webhook_id="wh_1") == Identity(
        "wh_1",
        "response.completed",
        delivery_id="wh_1",
        time="2025-01-15T12:00:00Z",
        subject="resp_1",
        summary="OpenAI: response resp_1 completed",
    )


@pytest.mark.parametrize("key", ["type", "event_type", "eventType"])
def test_an_event_of_svix_is_identified(key: str) -> None:
    """Whatever its sender calls the type."""
    payload = {key: "user.created", "timestamp": "2025-01-15T12:00:00Z", "data": {"id": "user_1"}}
    assert identify_by_name("svix", payload, svix_id="msg_1") == Identity(
        "msg_1", "user.created", delivery_id="msg_1", time="2025-01-15T12:00:00Z", subject="user_1"
    )


def test_the_newer_id_header_of_svix_serves_when_the_older_is_not_there() -> None:
    """And not when it is."""
    assert identify_by_name("svix", {}, webhook_id="msg_2").event_id == "msg_2"
    assert identify_by_name("svix", {}, svix_id="msg_1", webhook_id="msg_2").event_id == "msg_1"


def test_the_id_that_counts_for_svix_is_the_signed_one() -> None:
    """With whatever id headers a delivery of the newer names is relayed."""
    adapter = registry.load("svix")
    newer = registry.load("standard_webhooks")
    for extra in ([], [(b"svix-id", b"msg_other")], [(b"svix-timestamp", b"1736942400")]):
        fields = [(b"webhook-id", b"msg_1"), *extra]
        signed = newer.scheme.sign(
            RawRequest(body=b"{}", headers=Headers(fields)), ENCODED, 1736942400
        ).headers
        fields += [(name.encode(), value.encode()) for name, value in signed.items()]
        bound = adapter.bind([ENCODED])
        try:
            verified = bound.verify(RawRequest(body=b"{}", headers=Headers(fields)), 1736942400)
        except Rejection:
            assert extra
        else:
            assert bound.identify(verified, {}).event_id == "msg_1"


def test_a_repeated_identifying_header_is_malformed() -> None:
    """Two delivery ids, or two event names: a proxy and we could read different ones."""
    for name in (b"x-github-delivery", b"x-github-event"):
        fields = [(b"x-github-delivery", GUID.encode()), (b"x-github-event", b"push"), (name, b"other")]
        with pytest.raises(MalformedRequest):
            identify(registry.load("github"), {}, fields)


# The collection


def test_collected_deliveries_of_stripe_are_identified(corpus: Path) -> None:
    """Each by its id and type, at a time."""
    index = json.loads((corpus / "stripe" / "index.json").read_text("utf-8"))
    for entry in index["files"]:
        payload = json.loads((corpus / "stripe" / entry["file"]).read_text("utf-8"))
        identity = identify_by_name("stripe", payload)
        assert (identity.event_id, identity.event_type) == (payload["id"], entry["event_type"])
        assert identity.time
    assert index["files"]


@pytest.mark.parametrize("folder", ["github", "github-captures"])
def test_collected_deliveries_of_github_are_identified(corpus: Path, folder: str) -> None:
    """Each by its header, its action, and a source."""
    index = json.loads((corpus / folder / "index.json").read_text("utf-8"))
    for entry in index["files"]:
        payload = json.loads((corpus / folder / entry["file"]).read_text("utf-8"))
        identity = identify_by_name(
            "github", payload, x_github_delivery=GUID, x_github_event=entry["event_type"]
        )
        action = payload.get("action")
        assert identity.event_type == (f"{entry['event_type']}.{action}" if action else entry["event_type"])
        assert identity.is_typed
    assert index["files"]


# An adapter that says little


def test_without_sources_nothing_is_told() -> None:
    """No id, so that a digest serves; a type that was never due."""
    assert identify(described(), {"id": "1", "type": "x"}, []) == Identity(None, "unknown", is_typed=True)


def test_a_type_that_is_due_and_not_there_is_unknown() -> None:
    """And it is told that it was due."""
    identity = identify(described(event_type="body:/type"), {}, [])
    assert (identity.event_type, identity.is_typed) == ("unknown", False)


# Event ids

NO_IDS: list[object] = [None, "", True, False, [], ["a"], {}, {"id": "a"}, 10**5000, -(10**5000)]


@pytest.mark.parametrize(
    "value", NO_IDS, ids=lambda value: "huge" if type(value) is int else repr(value)[:24]
)
def test_what_names_nothing_is_no_event_id(value: object) -> None:
    """No event is refused for it: a digest serves."""
    assert identify(described(event_id="body:/id"), {"id": value}, []).event_id is None


@pytest.mark.parametrize(
    "value", ["\x00", "a\nb", "\x9f", "\u2028", "\ud800", "x" * 256, "é" * 128], ids=repr
)
def test_an_event_id_that_cannot_be_carried_is_known_by_its_digest(value: str) -> None:
    """So that it still tells events apart; AMQP carries 255 bytes, and CloudEvents no control characters."""
    digest = sha256(value.encode(errors="surrogatepass")).hexdigest()
    assert clean_event_id(value) == digest
    assert identify(described(event_id="body:/id"), {"id": value}, []).event_id == digest


@pytest.mark.parametrize("name", ["github", "openai", "stripe", "svix"])
def test_an_event_without_its_id_is_an_event(name: str) -> None:
    """Though its sender always gives one."""
    assert identify_by_name(name, {}, x_github_event="push").event_id is None


def test_the_first_place_that_has_an_id_counts() -> None:
    """One that is empty, or holds none, has none."""
    adapter = described(event_id=["header:X-Id", "body:/id", "body:/idempotency_key"])
    assert identify(adapter, {"id": "b"}, [(b"x-id", b"a")]).event_id == "a"
    assert identify(adapter, {"id": "b"}, [(b"x-id", b"")]).event_id == "b"
    assert identify(adapter, {"id": {"not": "one"}, "idempotency_key": "c"}, []).event_id == "c"
    assert identify(adapter, {"id": None}, []).event_id is None


@pytest.mark.parametrize(
    ("value", "event_id"),
    [
        ("evt_1", "evt_1"),
        ("x" * 255, "x" * 255),
        ("a:b{c}*#/\\\"'", "a:b{c}*#/\\\"'"),
        ("order 17", "order 17"),
        (" ", " "),
        ("Grüße-€-17", "Grüße-€-17"),
        ("订单-1", "订单-1"),
        (7, "7"),
        (0, "0"),
        (-1, "-1"),
        (1.5, "1.5"),
        (2**64, "18446744073709551616"),
        (10**200, str(10**200)),
    ],
)
def test_an_event_id_that_can_be_carried_is_kept_as_it_is(value: object, event_id: str) -> None:
    """Any text, or a number."""
    assert clean_event_id(value) == event_id


@pytest.mark.parametrize(("field", "event_id"), [("订单-1".encode(), "订单-1"), (b"caf\xe9", "café")])
def test_an_event_id_in_a_header_is_read_in_utf_8_or_latin_1(field: bytes, event_id: str) -> None:
    """Most write UTF-8; what is none is Latin-1, as HTTP has it."""
    assert identify(described(event_id="header:X-Id"), {}, [(b"x-id", field)]).event_id == event_id


WITHIN = {"body:/account": "ids are counted per account", "header:X-Hook": "each hook has its own"}


def test_what_an_id_is_unique_within_is_told_apart() -> None:
    """Each place has its position, so that no two lists of values are one; absent ones leave it empty."""
    adapter = described(event_id="body:/id", unique_within=WITHIN)
    deliveries: list[tuple[dict[str, object], list[tuple[bytes, bytes]]]] = [
        ({"id": 1}, []),
        ({"id": 1, "account": "a"}, []),
        ({"id": 1}, [(b"x-hook", b"a")]),
        ({"id": 1, "account": "a"}, [(b"x-hook", b"b")]),
        ({"id": 1, "account": "ab"}, []),
        ({"id": 1, "account": "a1:b"}, []),
        ({"id": 1, "account": "1:a"}, []),
        ({"id": 1, "account": "a-"}, []),
        ({"id": 1, "account": "a"}, [(b"x-hook", b"--")]),
        ({"id": 1}, [(b"x-hook", b"-a")]),
    ]
    found = [identify(adapter, *each).within for each in deliveries]
    assert found[0] == ""
    assert len(set(found)) == len(found)
    assert identify(adapter, {"id": 1, "account": "", "n": 2}, []).within == ""


def test_a_test_event_is_told_by_its_looks() -> None:
    """Any of the places with its value."""
    adapter = described(event_id="body:/id", test_events={"body:/id": "0", "header:X-Test": "true"})
    assert identify(adapter, {"id": 0}, []).is_test
    assert identify(adapter, {"id": 1}, [(b"x-test", b"true")]).is_test
    assert not identify(adapter, {"id": 1}, [(b"x-test", b"false")]).is_test


# Event types


@pytest.mark.parametrize(
    "value",
    [None, "", "\n", " ", "\x7f", "x" * 256, "☃" * 86, True, 1.5, [], {}, "\ud800", 10**5000],
    ids=lambda value: "huge" if type(value) is int else repr(value)[:24],
)
def test_an_odd_event_type_is_unknown(value: object) -> None:
    """It says nothing, or too much; the delivery goes on without one."""
    identity = identify(described(event_type="body:/type"), {"type": value}, [])
    assert (identity.event_type, identity.is_typed) == ("unknown", False)


@pytest.mark.parametrize(
    "value",
    ["a", "order.created", "Order Created", "x" * 255, "☃" * 85, "заказ", "订单/创建", "a[b.c].d", 42],
)
def test_an_event_type_in_any_alphabet_is_kept(value: object) -> None:
    """As the sender writes it."""
    assert clean_event_type(value) == str(value)


@pytest.mark.parametrize(
    ("value", "kept"), [("a\x00b", "a b"), ("a\tb\nc", "a b c"), ("\ufffea\u2028", " a ")]
)
def test_an_event_type_is_one_line(value: str, kept: str) -> None:
    """And text as CloudEvents has it."""
    assert clean_event_type(value) == kept


def test_an_event_type_in_a_header_may_be_in_any_alphabet() -> None:
    """In UTF-8, or in Latin-1 as HTTP had it once."""
    for value in ("é".encode(), "é".encode("latin-1")):
        identity = identify(described(event_type="header:X-Type"), {}, [(b"x-type", value)])
        assert (identity.event_type, identity.is_typed) == ("é", True)


# Times


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (1736942400, "2025-01-15T12:00:00Z"),
        (1736942400.0, "2025-01-15T12:00:00Z"),
        (1736942400000, "2025-01-15T12:00:00Z"),
        (1736942400250, "2025-01-15T12:00:00.250000Z"),
        ("1736942400", "2025-01-15T12:00:00Z"),
        ("1736942400250", "2025-01-15T12:00:00.250000Z"),
        (1, "1970-01-01T00:00:01Z"),
        ("2025-01-15T12:00:00Z", "2025-01-15T12:00:00Z"),
        ("2025-01-15T13:30:00+01:30", "2025-01-15T12:00:00Z"),
        ("2025-01-15T00:00:00-12:00", "2025-01-15T12:00:00Z"),
        ("2025-01-15 12:00:00+00:00", "2025-01-15T12:00:00Z"),
        ("2025-01-15T12:00:00.5Z", "2025-01-15T12:00:00.500000Z"),
        ("2025-01-15T12:00:00.123456789Z", "2025-01-15T12:00:00.123456Z"),
    ],
)
def test_a_time_becomes_rfc_3339(value: object, time: str) -> None:
    """From Unix seconds, from milliseconds, from ISO 8601 with an offset; the same moment however it is written."""
    actual = clean_time(value)
    assert actual is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", actual)
    assert datetime.fromisoformat(time) == datetime.fromisoformat(actual)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        "2025-01-15T12:00:00",
        "2025-01-15",
        "173694240",
        "17369424000000",
        "2025-13-01T00:00:00Z",
        "2025-01-15T25:00:00Z",
        "2025-01-15T12:00:60Z",
        "2025-01-15T12:00:00+99:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "２０２５-01-15T12:00:00Z",
        "\ud800",
        "x" * 100_000,
        0,
        -1,
        -1736942400,
        0.0,
        -0.5,
        math.nan,
        math.inf,
        -math.inf,
        1e300,
        -1e300,
        10**400,
        -(10**400),
        10**15,
        True,
        [],
        {},
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_time_is_left_out(value: object) -> None:
    """Without an exception: the delivery is accepted, only without a time."""
    assert clean_time(value) is None


@given(
    st.floats() | st.integers() | st.text(max_size=40) | st.datetimes().map(str) | st.none() | st.booleans()
)
def test_a_time_is_utc_or_nothing(value: object) -> None:
    """For any value, and never an exception."""
    time = clean_time(value)
    if time is not None:
        assert time.endswith("Z")
        assert datetime.fromisoformat(time).tzinfo == UTC


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 2)))  # noqa: DTZ001
def test_a_moment_survives_its_way(moment: datetime) -> None:
    """Written with any offset, it is the same moment in UTC."""
    time = clean_time(moment.isoformat())
    if time is not None:
        assert moment.astimezone(UTC) == datetime.fromisoformat(time)
    else:
        assert moment.year == 9999


# Attributes


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        ("pi_1", "pi_1"),
        ("", None),
        ("\n\x00", None),
        ("a\nb\tc\x7fd\x9fe\u2028f", "abcdef"),
        ("a\ud800b", "ab"),
        ("naïve ☃", "naïve ☃"),
        (7, "7"),
        (0, "0"),
        (-5, "-5"),
        (10**18, None),
        (10**5000, None),
        (True, None),
        (1.5, None),
        (None, None),
        ([], None),
        ({}, None),
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 255),
        ("é" * 200, "é" * 127),
        ("x" + "é" * 200, "x" + "é" * 127),
        ("☃" * 100, "☃" * 85),
        ("xx" + "☃" * 100, "xx" + "☃" * 84),
        ("😀" * 100, "😀" * 63),
    ],
    ids=lambda value: "huge" if type(value) is int and value > 9 else repr(value)[:24],
)
def test_an_attribute_is_one_short_line(value: object, attribute: str | None) -> None:
    """Cut at 255 bytes of UTF-8, never within a character, without control characters."""
    assert clean_attribute(value) == attribute


@given(st.text(alphabet=st.characters(), max_size=400))
def test_an_attribute_is_within_its_bounds(value: str) -> None:
    """Whatever the text, and what is left of it stands in it in the same order."""
    attribute = clean_attribute(value)
    if attribute is not None:
        assert 0 < len(attribute.encode()) <= 255
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", attribute)
        remaining = iter(value)
        assert all(character in remaining for character in attribute)


# Anything at all

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=20)
    | st.sampled_from(["evt_1", "push", "2025-01-15T12:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "created",
                    "data",
                    "object",
                    "action",
                    "repository",
                    "html_url",
                    "timestamp",
                    "sender",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    payload=JSON,
    event=st.binary(max_size=20),
    event_id=st.binary(max_size=20) | st.just(b"evt_1"),
)
def test_arbitrary_deliveries_raise_nothing_but_rejections(
    name: str, payload: object, event: bytes, event_id: bytes
) -> None:
    """And what is told of them is within its bounds."""
    ids = [b"x-github-delivery", b"webhook-id", b"svix-id"]
    fields = [(b"x-github-event", event), *((header, event_id) for header in ids)]
    try:
        identity = identify(registry.load(name), payload, fields)
    except Rejection:
        return
    spec = registry.load(name).spec
    assert spec.event_id or identity.event_id is None
    assert identity.event_id is None or 0 < len(identity.event_id.encode()) <= 255
    assert identity.event_id is None or not re.search(r"[\x00-\x1f\x7f-\x9f]", identity.event_id)
    assert 0 < len(identity.event_type.encode()) <= 255
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", identity.event_type)
    for text in (
        identity.delivery_id,
        identity.source,
        identity.time,
        identity.subject,
        identity.account,
        identity.actor,
    ):
        assert text is None or 0 < len(text.encode()) <= 255
