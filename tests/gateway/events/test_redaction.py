"""What nobody behind the gateway may see is in nothing that it publishes."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError
from structlog.testing import capture_logs

from gateway.app import Gateway
from gateway.config import Config
from gateway.events.message import Message
from gateway.events.redaction import MASK, WARN_AFTER, Redaction
from gateway.events.schemas import Catalogue
from gateway.signatures.extractors import Pointer
from support.door import Door
from support.spies import SECRET, SpyClaims, SpyPublisher, bundled_schemas

HUSH = "mallory@example.com"


@pytest.mark.parametrize(
    ("pointers", "event", "expected"),
    [
        (["/a"], {"a": 1, "b": 2}, {"a": MASK, "b": 2}),
        (["/a"], {"a": {"b": [1]}}, {"a": MASK}),
        (["/a"], {"a": None}, {"a": MASK}),
        (["/a/b"], {"a": {"b": 1, "c": 2}}, {"a": {"b": MASK, "c": 2}}),
        (["/*/b"], {"a": {"b": 1}, "c": {"b": 2}, "d": 3}, {"a": {"b": MASK}, "c": {"b": MASK}, "d": 3}),
        (["/a/*/b"], {"a": [{"b": 1}, 2, {"c": 3}]}, {"a": [{"b": MASK}, 2, {"c": 3}]}),
        (["/a/1"], {"a": [1, 2, 3]}, {"a": [1, MASK, 3]}),
        (["/a/*"], {"a": [1, [2], {}]}, {"a": [MASK, MASK, MASK]}),
        (["/*"], [1, 2], [MASK, MASK]),
        (["/a~1b/c~0d"], {"a/b": {"c~d": 1}}, {"a/b": {"c~d": MASK}}),
        (["/"], {"": 1}, {"": MASK}),
        (["/a", "/a/b", "/c"], {"a": {"b": 1}, "c": 2}, {"a": MASK, "c": MASK}),
        (["/a/b", "/x", "/a/01"], {"a": [1, 2]}, {"a": [1, 2]}),
        (["/a"], "text", "text"),
    ],
)
def test_what_pointers_lead_to_is_masked(pointers: list[str], event: Any, expected: Any) -> None:
    """Whatever it is; the event itself stays as it was."""
    before = json.dumps(event)
    redaction = Redaction(pointers)

    assert expected == redaction.mask(event)
    assert expected == json.loads(redaction.encode(before.encode())[0])
    assert before == json.dumps(event)


def test_what_the_parser_skips_over_does_not_go_out() -> None:
    """Of two members of one name the last one counts, and the first would still be in the sender's bytes."""
    data = b'{"a": {"email": "%b"}, "a": {"name": "x"}}' % HUSH.encode()

    assert Redaction(["/a/email"]).encode(data) == (b'{"a":{"name":"x"}}', False)


@pytest.mark.parametrize(
    ("pointers", "event", "expected"),
    [
        (
            ["/content/email"],
            {"content": '{"email": "%s", "n": 1.10}'},
            {"content": '{"email":"***","n":1.10}'},
        ),
        (["/content/*/email"], {"content": '{"a": {"email": "%s"}}'}, {"content": '{"a":{"email":"***"}}'}),
        (["/content/*/email"], {"content": ' [{"email": "%s"}]'}, {"content": '[{"email":"***"}]'}),
        (["/content/0/email"], {"content": '[{"email": "%s"}, 2]'}, {"content": '[{"email":"***"},2]'}),
        (["/a/b/c"], {"a": '{"b": "{\\"c\\": \\"%s\\"}"}'}, {"a": '{"b":"{\\"c\\":\\"***\\"}"}'}),
        (["/*/email"], {"a": '{"email":"%s"}', "b": "{no JSON"}, {"a": '{"email":"***"}', "b": "{no JSON"}),
        (
            ["/a/email"],
            {"a": '{"email": 7, "id": 12345678901234567890123}'},
            {"a": '{"email":"***","id":12345678901234567890123}'},
        ),
        (["/a/email"], {"a": '{"x": {"email": "y"}}'}, {"a": '{"x":{"email":"y"}}'}),
        (["/a/email"], {"a": '{"email": "%s"'}, {"a": MASK}),
        (["/a/email"], {"a": '{"email": "%s", "n": NaN}'}, {"a": MASK}),
        (["/a/x/email"], {"a": '{"x": {"email": "%s"}, "x": 1}'}, {"a": '{"x":1}'}),
    ],
)
def test_pointers_lead_into_texts_that_are_json(pointers: list[str], event: Any, expected: Any) -> None:
    """As those of adapters do. The text is written anew; one that looks like JSON and is none is masked as a whole."""
    told = json.loads(json.dumps(event).replace("%s", HUSH))
    redaction = Redaction(pointers)

    assert redaction.mask(told) == expected
    assert json.loads(redaction.encode(json.dumps(told).encode())[0]) == expected
    assert HUSH not in str(redaction.mask(told))


async def test_what_is_masked_in_a_text_is_not_told_beside_it(tmp_path: Path) -> None:
    """The subject is read from the same text, behind the mask."""
    body = {"action": "opened", "content": json.dumps({"email": HUSH, "id": 7})}
    message = await published(tmp_path, body, redact=["/content/email"], subject="body:/content/email")
    event = json.loads(message.body)

    assert HUSH not in message.body.decode()
    assert (event["subject"], event["redacted"]) == (MASK, True)
    assert json.loads(event["data"]["content"]) == {"email": MASK, "id": 7}


async def test_an_event_in_which_nothing_was_masked_does_not_say_so(tmp_path: Path) -> None:
    """Else nobody could tell that a pointer leads nowhere."""
    event = json.loads((await published(tmp_path, opened(), redact=["/issue/email"])).body)

    assert "redacted" not in event
    assert event["data"] == opened()


def test_a_pointer_that_never_leads_anywhere_is_warned_of_once() -> None:
    """After a hundred events; those that the adapter knows of may be rare."""
    redaction = Redaction(["/a", "/b", "/c"], ["/a", "/b"], "acme")
    with capture_logs() as lines:
        for _ in range(3 * WARN_AFTER):
            redaction.encode(b'{"a":1}')

    assert lines == [
        {
            "event": "redact leads nowhere",
            "log_level": "warning",
            "provider": "acme",
            "pointer": "/b",
            "events": WARN_AFTER,
        }
    ]


@pytest.mark.parametrize("pointer", ["", "a", "a/b", "/~2", "/a~", "item:/a", "/" + "a" * 256])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    """Before anything is published that should have been masked."""
    with pytest.raises(ValidationError):
        TypeAdapter(Pointer).validate_python(pointer)


async def published(folder: Path, body: Any, **provider: Any) -> Message:
    """What a gateway publishes of a delivery that GitHub might send."""
    (message,) = await all_published(folder, body, **provider)
    return message


async def all_published(folder: Path, body: Any, **provider: Any) -> list[Message]:
    """The same of one that may have several events."""
    config = Config.model_validate(
        {
            "data_dir": str(folder),
            "providers": {"github": {"adapter": "github", "secrets": [SECRET], **provider}},
        }
    )
    publisher = SpyPublisher([])
    with patch.object(Catalogue, "bundled", bundled_schemas):
        gateway = Gateway(config, folder, claims=SpyClaims([]), publisher=publisher)
    content = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": "72d3162e",
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), content, "sha256").hexdigest(),
    }
    transport = Door(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        answer = await client.post("/webhooks/github", content=content, headers=headers)
    assert answer.status_code == 202
    return publisher.messages


def opened(**issue: Any) -> dict[str, Any]:
    """A delivery in which every name is what nobody may see."""
    return {
        "action": "opened",
        "issue": {"id": 1, "number": 7, "state": "open", "title": HUSH, **issue},
        "repository": {"id": 2, "name": HUSH, "full_name": HUSH, "html_url": HUSH, "owner": {"login": HUSH}},
        "sender": {"login": HUSH},
    }


REDACT = ["/issue/title", "/repository/*", "/sender/login"]


@pytest.mark.parametrize(
    ("issue", "exchange"), [({}, "webhooks"), ({"number": "none"}, "webhooks.quarantine")]
)
async def test_what_is_masked_is_nowhere_in_the_message(
    tmp_path: Path, issue: dict[str, Any], exchange: str
) -> None:
    """Neither in the data nor in what is told of it, nor in the quarantine; the event says that it is masked."""
    message = await published(tmp_path, opened(**issue), redact=REDACT)
    event = json.loads(message.body)

    assert exchange == message.exchange
    assert HUSH not in message.body.decode() + str(message.headers) + message.routing_key
    assert event["redacted"] is True
    assert (event["data"]["issue"]["title"], event["data"]["issue"]["id"]) == (MASK, 1)
    assert event["actor"] == MASK
    assert event["summary"].startswith(f"{MASK} opened issue #")


async def test_an_event_keeps_its_id_and_its_type(tmp_path: Path) -> None:
    """Even when they are masked in the data: without them it could be neither recognised nor routed."""
    message = await published(tmp_path, opened(), redact=["/*"])
    event = json.loads(message.body)

    assert (message.message_id, message.routing_key) == ("72d3162e", "github.issues.opened")
    assert set(event["data"].values()) == {MASK}
    assert "subject" not in event


async def test_the_events_of_a_list_are_masked_one_by_one(tmp_path: Path) -> None:
    """A pointer begins at the event, not at the list."""
    body = {"events": [opened(), opened(id=2)]}
    messages = await all_published(
        tmp_path,
        body,
        batch="body:/events",
        event_id="item:/issue/id",
        actor="item:/sender/login",
        subject="body:/events/0/issue/title",
        redact=REDACT,
    )

    assert len(messages) == 2
    for message in messages:
        event = json.loads(message.body)
        assert HUSH not in message.body.decode()
        assert (event["redacted"], event["actor"], event["data"]["issue"]["title"]) == (True, MASK, MASK)


async def test_without_redaction_the_bytes_go_out_as_they_came(tmp_path: Path) -> None:
    """And the event says nothing of it."""
    message = await published(tmp_path, opened())

    assert json.dumps(opened()).encode() in message.body
    assert "redacted" not in json.loads(message.body)


async def test_a_configured_summary_replaces_the_adapters(tmp_path: Path) -> None:
    """For the types that it names; others keep theirs."""
    mine = {"issues.opened": "new issue #{subject}"}

    assert json.loads((await published(tmp_path, opened(), summary=mine)).body)["summary"] == "new issue #7"
    closed = {**opened(), "action": "closed"}
    told = json.loads((await published(tmp_path, closed, summary=mine)).body)["summary"]
    assert told.endswith("closed issue #7 in " + HUSH)
