"""Generated functions: no text of a description becomes code, and every kind of place is read as elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.event_type import EventTypes
from gateway.adapters.generated import FunctionWriter
from gateway.adapters.registry import load
from gateway.adapters.summary import check_template
from gateway.signatures.extractors import SourceContext, check_source, compile_sources
from gateway.signatures.request import Headers

HOSTILE = st.text(st.sampled_from("'\"\\%#(){}[]\n\tnsdrxb0:;=é€_ "), max_size=12)
PAYLOADS = (
    {"a": {"b": 1, "": "empty", "0": "zero"}, "list": [{"id": 7}], "text": '{"b": "inner"}', "none": None},
    {"a": [{"b": "first"}], "list": "text", "text": "no JSON"},
    {"a": "", "list": [], "text": 0},
    [{"a": {"b": 1}}],
    '{"a": {"b": "in a text"}}',
    "text",
    None,
    7,
)


def context_of(payload: object) -> SourceContext:
    """What sources are read from."""
    headers = Headers([(b"x-id", b"4711"), (b"x-latin", b"\xe9")])
    return SourceContext(headers, b"token=abc", payload, payload)


def read(sources: Any, payload: object) -> object:
    """What a generated function reads."""
    writer = FunctionWriter("read")
    writer.line(f"return {writer.read(sources)}")
    return writer.build()(context_of(payload))


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
@pytest.mark.parametrize(
    "sources",
    [
        "body:/a", "body:/a/b", "body:/a/", "body:/a/0", "body:/a/0/b", "body:/list/*/id", "body:/text/b", "body:/none/x",
        "body:/0/a/b", "item:/a/b", "body:", "member:", "list:", "parent:/a", "header:X-Id", "header:X-Latin", "header:No",
        "query:token", "text:push", "{body:/a/b}:{header:X-Id}", "body:/{header:X-Id}", ["body:/a", "body:/list", "text:x"],
        ["header:No", "body:/a/b", "body:/text/b"],
    ],
    ids=repr,
)  # fmt: skip
def test_every_place_is_read_as_by_the_other_readers(sources: Any, payload: object) -> None:
    """Handshakes and the simulator read the same places, without generated code."""
    assert (read(sources, payload) or None) == (compile_sources(sources)(context_of(payload)) or None)


@given(steps=st.lists(HOSTILE, min_size=1, max_size=3), value=st.integers())
def test_names_of_members_are_no_code(steps: list[str], value: int) -> None:
    """A pointer may contain quotes, backslashes and whatever else ends a literal."""
    source = "body:/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)
    try:
        check_source(source)
    except ValueError:
        return  # the description would have been refused
    payload: Any = value
    for step in reversed(steps):
        payload = {step: payload}
    assert read(source, payload) == compile_sources(source)(context_of(payload))


@given(before=HOSTILE, between=HOSTILE, after=HOSTILE)
def test_texts_of_templates_are_no_code(before: str, between: str, after: str) -> None:
    """They stand in the line as they stand in the template."""
    template = f"{before}{{body:/id}}{between}[{after}{{body:/name}}]"
    try:
        check_template(template)
    except ValueError:
        return
    if set("{}[]") & set(before + between + after):
        return  # fields and parts of their own
    spec = load("stripe").spec.model_copy(update={"summary": {"*": template}})
    found = EventTypes(spec).find("a.b", None)
    line = found.describe(context_of({"id": "1", "name": "n"}), found.text, found.action)[-1]
    assert line == f"{before}1{between}{after}n"


def test_a_value_is_known_only_where_it_was_read() -> None:
    """What one alternative has read is not there for what comes behind it."""
    writer = FunctionWriter("read")
    first = writer.read(["body:/a", "body:/b/c"])
    second = writer.read("body:/b/d")
    writer.line(f"return {first}, {second}")
    function = writer.build()
    assert function(context_of({"a": 1, "b": {"c": 2, "d": 3}})) == (1, 3)
    assert function(context_of({"b": {"c": 2, "d": 3}})) == (2, 3)


def test_types_that_are_described_alike_share_a_function() -> None:
    """Their number is up to the provider; that of the descriptions is not."""
    types = EventTypes(load("stripe").spec)
    functions = {types.find(f"made.up.{number}", None).describe for number in range(2000)}
    assert len(functions) == 1
