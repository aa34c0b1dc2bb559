"""Sources: headers, JSON Pointers, lists of places, and places by event type."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.signatures.batches import Batch
from gateway.signatures.extractors import (
    SourceContext,
    SourcesByType,
    compile_sources,
    header_name,
    most_specific,
    pointer_steps,
    resolve,
    sources_of_type,
    text_of,
)
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

NO_HEADERS = Headers([])


def at(headers: Headers, payload: object) -> SourceContext:
    """A delivery of one event."""
    return SourceContext(headers, b"", payload, payload)


# The document of RFC 6901, section 5
RFC_6901: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/m~0n", 8),
    ],
)
def test_the_pointers_of_the_rfc_lead_where_it_says(pointer: str, value: object) -> None:
    """Escapes included; `/ ` is left out, since there is no white space in a place."""
    assert compile_sources(f"body:{pointer}")(at(NO_HEADERS, RFC_6901)) == value


def test_escapes_are_undone_in_the_right_order() -> None:
    """`~01` is a tilde and a one, not a slash."""
    assert pointer_steps("body:/~01/~10/~00/~1~0") == ["~1", "/0", "~0", "/~"]


def test_an_empty_pointer_has_no_steps() -> None:
    """It is the whole document."""
    assert pointer_steps("body:") == []
    assert pointer_steps("body:/") == [""]


@pytest.mark.parametrize(
    "steps",
    [
        ["missing"],
        ["list", "2"],
        ["list", "-1"],
        ["list", "-"],
        ["list", "1.0"],
        ["list", " 1"],
        ["list", "\u0661"],
        ["list", "\xb2"],
        ["list", "name"],
        ["list", ""],
        ["text", "0"],
        ["number", "0"],
        ["null", "a"],
        ["list", "0", "0"],
    ],
)
def test_a_pointer_that_leads_nowhere_is_none(steps: list[str]) -> None:
    """Whatever it meets on its way."""
    document = {"list": ["a", "b"], "text": "abc", "number": 7, "null": None}
    assert resolve(document, steps) is None


@pytest.mark.parametrize("payload", [None, [], ["a"], "text", 7, 1.5, True])
def test_a_pointer_into_another_kind_of_document_is_none(payload: object) -> None:
    """The body may be any JSON."""
    assert compile_sources("body:/id")(at(NO_HEADERS, payload)) is None
    assert compile_sources("body:/data/id")(at(NO_HEADERS, payload)) is None


def test_an_array_is_stepped_into() -> None:
    """By the number of the element, from 0."""
    assert compile_sources("body:/events/1/id")(at(NO_HEADERS, {"events": [{"id": 1}, {"id": 2}]})) == 2


def test_a_number_may_be_a_name() -> None:
    """In an object it is looked up as text."""
    assert compile_sources("body:/a/0")(at(NO_HEADERS, {"a": {"0": "zero"}})) == "zero"


def test_a_single_step_is_looked_up_in_objects_only() -> None:
    """The short way gives what the long one would, except for a body that is an array, which is no delivery."""
    assert compile_sources("body:/id")(at(NO_HEADERS, {"id": "evt_1"})) == "evt_1"
    assert compile_sources("body:/a~1b")(at(NO_HEADERS, {"a/b": 1})) == 1


def test_a_header_is_read_whatever_its_case() -> None:
    """Names are lower case as they arrive; the bytes are Latin-1."""
    headers = Headers([(b"x-id", b"caf\xe9")])
    assert compile_sources("header:X-ID")(at(headers, None)) == "café"
    assert compile_sources("header:X-Other")(at(headers, None)) is None


def test_a_repeated_header_is_malformed() -> None:
    """Only when it is asked for."""
    headers = Headers([(b"x-id", b"1"), (b"x-id", b"1"), (b"x-other", b"2")])
    assert compile_sources("header:X-Other")(at(headers, None)) == "2"
    with pytest.raises(MalformedRequest):
        compile_sources("header:X-Id")(at(headers, None))


def test_headers_tell_whether_they_are_there_and_repeated() -> None:
    """Without raising."""
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert [b"a" in headers, b"b" in headers, b"c" in headers] == [True, True, False]
    assert [headers.is_repeated(name) for name in (b"a", b"b", b"c")] == [True, False, False]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("header:X-Id", b"x-id"),
        ("body:/header:X-Id", None),
        ("body:", None),
        ("nonsense", None),
        ("header:", None),
    ],
)
def test_the_header_of_a_place_is_told(source: str, name: bytes | None) -> None:
    """In lower case; none for a place in the body."""
    assert header_name(source) == name


def test_of_several_places_the_first_that_is_there_counts() -> None:
    """Null and the empty text are as good as absent; false and zero are there."""
    getter = compile_sources(["header:X-Id", "body:/a", "body:/b/0"])
    assert getter(at(Headers([(b"x-id", b"h")]), {"a": "a"})) == "h"
    assert getter(at(NO_HEADERS, {"a": "a", "b": ["b"]})) == "a"
    assert getter(at(NO_HEADERS, {"a": None, "b": ["b"]})) == "b"
    assert getter(at(NO_HEADERS, {"a": False, "b": ["b"]})) is False
    assert getter(at(NO_HEADERS, {"a": 0, "b": ["b"]})) == 0
    assert getter(at(NO_HEADERS, {"a": "", "b": ["b"]})) == "b"
    assert getter(at(NO_HEADERS, {})) is None


def value_for(event_type: str, sources: SourcesByType, payload: object) -> object:
    """What is read from an event of a type that has sources."""
    found = sources_of_type(sources, event_type)
    assert found is not None
    return compile_sources(found)(at(NO_HEADERS, payload))


def test_places_may_depend_on_the_type() -> None:
    """The longest dotted prefix counts, the star for the rest."""
    sources: SourcesByType = {"a": "body:/1", "a.b": ["body:/missing", "body:/2"], "*": "body:/3"}
    payload = {"1": "one", "2": "two", "3": "three"}
    values = {
        word: value_for(word, sources, payload) for word in ("a", "a.x", "a.b", "a.b.c", "ab", "b.a", "*", "")
    }
    assert values == {
        "a": "one",
        "a.x": "one",
        "a.b": "two",
        "a.b.c": "two",
        "ab": "three",
        "b.a": "three",
        "*": "three",
        "": "three",
    }


def test_without_a_star_other_types_have_none() -> None:
    """There is no other default."""
    assert sources_of_type({"a": "body:/1"}, "b") is None


def test_places_for_all_types_ignore_the_type() -> None:
    """As one place, and as a list."""
    for sources in ("body:/id", ["body:/missing", "body:/id"]):
        assert value_for("anything", sources, {"id": 7}) == 7


@pytest.mark.parametrize(
    ("event_type", "entry"),
    [
        ("a", 1),
        ("a.b", 2),
        ("a.b.c", 2),
        ("a.c", 1),
        ("a.", 1),
        ("a..b", 1),
        (".a", None),
        ("ab", None),
        ("b", None),
        ("", None),
        ("zero", 0),
        ("zero.more", 0),
    ],
)
def test_the_most_specific_entry_counts(event_type: str, entry: int | None) -> None:
    """By whole dotted parts, and an entry that is false is one."""
    assert most_specific({"a": 1, "a.b": 2, "zero": 0}, event_type) == entry


def test_places_in_the_query_and_in_an_item() -> None:
    """A parameter that stands there twice could be read differently by others."""
    delivery = SourceContext(NO_HEADERS, b"token=a%20b&empty=&twice=1&twice=1", {"id": 1}, {"id": 2})
    assert compile_sources("query:token")(delivery) == "a b"
    assert compile_sources("query:empty")(delivery) == ""
    assert compile_sources("query:other")(delivery) is None
    assert compile_sources("body:/id")(delivery) == 1
    assert compile_sources("item:/id")(delivery) == 2
    with pytest.raises(MalformedRequest):
        compile_sources("query:twice")(delivery)


def test_places_around_an_event_of_several() -> None:
    """The innermost object that has the member, and the name of the list; nothing where an event is alone."""
    payload = {"id": 1, "object": "page", "entry": [{"id": 2, "data": {"changes": [{"id": 3}]}}]}
    ((event, parent, _),) = Batch("body:/entry/*/data/changes").events(payload)
    delivery = SourceContext(NO_HEADERS, b"", payload, event, parent)
    places = ("item:/id", "parent:/id", "parent:/object", "parent:/none", "list:")
    assert [compile_sources(place)(delivery) for place in places] == [3, 2, "page", None, "changes"]
    assert compile_sources("{list:}:{parent:/id}:{item:/id}")(delivery) == "changes:2:3"
    alone = at(NO_HEADERS, payload)
    assert [compile_sources(place)(alone) for place in ("parent:/id", "list:", "{list:}")] == [None] * 3


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ({"ids": [{"id": 7}]}, 7),
        ({"ids": [{"id": 7}, {"id": 8}]}, None),
        ({"ids": []}, None),
        ({"ids": {"*": {"id": 9}}}, 9),
        ({"ids": {"a": {"id": 9}}}, None),
    ],
)
def test_a_star_is_the_only_element_of_a_list(payload: object, value: object) -> None:
    """Of several none is meant, so that nothing is known by its first; in an object it is a name like others."""
    assert compile_sources("body:/ids/*/id")(at(NO_HEADERS, payload)) == value


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"update_id": 7, "message": {"text": "hi"}, "edited": {}}, "message"),
        ({"for_user_id": "2", "tweets": []}, "tweets"),
        ({"update_id": 7}, None),
        ([{}], None),
    ],
)
def test_the_name_of_a_member_may_be_the_value(payload: object, name: str | None) -> None:
    """Of the first that holds more than a plain value."""
    assert compile_sources("member:")(at(NO_HEADERS, payload)) == name


def test_a_text_of_ones_own_is_there_whenever_no_place_is() -> None:
    """What a sender never says, because it has nothing else to tell, or as the last of a list."""
    assert compile_sources("text:push")(at(NO_HEADERS, None)) == "push"
    getter = compile_sources(["body:/kind", "text:message"])
    assert getter(at(NO_HEADERS, {"kind": "order"})) == "order"
    assert getter(at(NO_HEADERS, {})) == "message"


def test_several_places_make_one_text() -> None:
    """It is absent when one of them is."""
    getter = compile_sources("{item:/id}:{item:/done}-{header:X-Try}")
    assert getter(at(Headers([(b"x-try", b"3")]), {"id": 41.5, "done": True})) == "41.5:true-3"
    assert getter(at(NO_HEADERS, {"id": 1, "done": True})) is None
    assert getter(at(Headers([(b"x-try", b"3")]), {"id": [1], "done": True})) is None


@pytest.mark.parametrize(
    ("number", "text"), [(41.5, "41.5"), (2.0**53, None), (1e23, None), (-1e300, None), (7, "7")]
)
def test_a_number_that_has_lost_digits_is_no_text(number: float, text: str | None) -> None:
    """Two ids of more than 64 bits that differ would have the same."""
    assert text_of(number) == text
