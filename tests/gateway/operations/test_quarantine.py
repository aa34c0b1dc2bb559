"""What an operator does with the quarantine, over both brokers: groups, schemas that would pass, release, deletion."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import yaml

from gateway.errors import OperatorError
from gateway.events.schemas.schema import Schema
from gateway.events.validation import UNREADABLE, UNTYPED
from gateway.operations.quarantine import (
    QuarantineFilter,
    Released,
    check,
    drop,
    groups,
    listing,
    proposal,
    release,
)
from support.letter_queues import QUARANTINE, QUEUE, VIOLATIONS, Broker, event, ids

HEADERS = {"provider": "acme", "violations": VIOLATIONS}
KEY = "acme.order.created"


async def fill(broker: Broker, *data: str, violations: str = VIOLATIONS, start: int = 0) -> None:
    """Put an event into the quarantine for each of these data."""
    await broker.declare(QUARANTINE, QUEUE)
    for number, each in enumerate(data, start):
        body = event(number, each, receivedat=f"2026-11-21T07:00:{number:02}Z")
        await broker.put(QUARANTINE, body, HEADERS | {"violations": violations}, key=KEY)


async def the_group(broker: Broker) -> str:
    """The id of the only group."""
    (group,) = (await groups(broker.config)).groups
    return group.id


async def test_events_are_grouped_by_what_they_break(broker: Broker) -> None:
    """Whichever item of a list it is; with the shape of the last one, and none of its values."""
    await fill(broker, '{"total": null}', violations="/lines/0/sku: is missing; /total: is null")
    await fill(
        broker, '{"total": "secret"}', violations="/lines/12/sku: is missing; /total: is null", start=1
    )
    await fill(broker, '{"total": []}', start=2)
    found = await groups(broker.config)
    first, second = found.groups

    assert (found.queue, found.total) == (QUARANTINE, 3)
    assert (first.provider, first.type, first.path, first.rule, first.count) == (
        *("acme", "order.created", "/lines/*/sku", "is missing"),
        2,
    )
    assert (first.example, first.violations) == ("id-1", "/lines/12/sku: is missing; /total: is null")
    assert first.first is not None
    assert first.last == first.first + 1
    assert "secret" not in json.dumps(first.shape)
    assert list(first.shape) == ["total"]
    assert (second.path, second.rule, second.count) == ("/total", "must be a number, is a string", 1)


async def test_a_proposal_widens_the_schema_in_force_until_the_group_passes(broker: Broker) -> None:
    """Nothing else changes; it can be copied as JSON and as YAML, and says where it goes."""
    await fill(broker, '{"total": 1.5}', '{"note": "x"}')
    proposed = await proposal(broker.config, broker.config.data_dir, await the_group(broker))
    schema = Schema(proposed.document, {})

    assert (proposed.provider, proposed.type, proposed.how, proposed.samples) == (
        *("acme", "order.created", "widened"),
        2,
    )
    assert proposed.document == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:acme:2",
        "type": "object",
        "properties": {"total": {"type": ["number", "string"]}},
    }
    assert json.loads(proposed.json) == yaml.safe_load(proposed.yaml) == proposed.document
    assert '-  "required": ["total"],' in proposed.difference.splitlines()
    assert schema.is_valid({"total": 1.5})
    assert list(proposed.document)[:2] == ["$schema", "$id"]
    assert any("acme.json as JSON" in note for note in proposed.notes)
    passing = await check(
        broker.config, broker.config.data_dir, QuarantineFilter(group=await the_group(broker)), proposed.yaml
    )
    assert (passing.passing, passing.total) == (2, 2)


async def test_a_check_counts_what_would_pass(broker: Broker) -> None:
    """Against the schema in force, or another one; the first failures are named."""
    await fill(broker, '{"total": 1}', '{"total": 1.5}', '{"total": null}')
    folder = broker.config.data_dir
    now = await check(broker.config, folder, QuarantineFilter())
    other = await check(
        broker.config, folder, QuarantineFilter(), json.dumps({"properties": {"total": {"type": "null"}}})
    )

    assert (now.passing, now.total) == (1, 3)
    assert [number for number, _ in now.failures] == ["id-1", "id-2"]
    assert "/total" in now.failures[0][1]
    assert (other.passing, other.total) == (1, 3)
    assert await ids(broker, QUARANTINE) == ["id-0", "id-1", "id-2"]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ('{"type": "nothing"}', "the schema cannot be used"),
        ("[", "the schema cannot be used"),
        ("just words", "is not a JSON object"),
        ("a: &a [1]\nb: *a", "aliases"),
        ('{"$ref": "https://example.com/x"}', "the schema cannot be used"),
        ('"' + "x" * 300_000 + '"', "more than 262,144 characters"),
        ("true", "the schema cannot be used"),
        ("1: 2", "no JSON written as YAML"),
    ],
    ids=["type", "yaml", "words", "aliases", "elsewhere", "long", "boolean", "names"],
)
async def test_a_schema_that_cannot_be_used_is_refused_in_one_line(
    broker: Broker, schema: str, text: str
) -> None:
    """It comes from a form; nothing is fetched for it."""
    await fill(broker, "{}")
    with pytest.raises(OperatorError, match=text) as caught:
        await check(broker.config, broker.config.data_dir, QuarantineFilter(), schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", [UNTYPED, UNREADABLE])
async def test_what_no_schema_found_no_schema_is_proposed_for(broker: Broker, fault: Any) -> None:
    """A type that is missing stays missing."""
    await fill(broker, '{"total": 1}', violations=fault.violations)
    with pytest.raises(OperatorError, match="no schema can pass these events"):
        await proposal(broker.config, broker.config.data_dir, await the_group(broker))
    checked = await check(broker.config, broker.config.data_dir, QuarantineFilter(), "{}")
    assert (checked.passing, checked.failures) == (0, (("id-0", fault.violations),))


async def test_a_group_that_was_released_meanwhile_has_no_proposal(broker: Broker) -> None:
    """Somebody else was faster."""
    await fill(broker, "{}")
    with pytest.raises(OperatorError, match="the group has no events any more"):
        await proposal(broker.config, broker.config.data_dir, "0" * 16)


async def test_one_group_is_released_and_what_still_breaks_its_schema_is_kept(broker: Broker) -> None:
    """Each event is published before it leaves; a dry run leaves all."""
    await fill(broker, '{"total": 1}', '{"total": null}', '{"total": "2"}')
    await fill(broker, '{"total": 4}', violations="/x: other", start=3)
    await broker.bind()
    first, _ = (await groups(broker.config)).groups
    folder, selection = broker.config.data_dir, QuarantineFilter(group=first.id)
    seen: list[tuple[str, bool]] = []
    dry = await release(
        broker.config,
        folder,
        selection,
        dry_run=True,
        on_letter=lambda letter, _, is_released: seen.append((letter.message_id, is_released)),
    )
    assert len(await listing(broker.config)) == 4
    done = await release(broker.config, folder, selection, actor="ada")

    assert dry == done == Released(2, 1)
    assert seen == [("id-0", True), ("id-1", False), ("id-2", True)]
    assert await ids(broker, QUARANTINE) == ["id-1", "id-3"]
    assert [number for number, _, _ in await broker.take_all(QUEUE)] == ["id-0", "id-2"]
    assert await drop(broker.config, QuarantineFilter(ids=["id-3"]), confirmed=1) == 1
    assert (await release(broker.config, folder, QuarantineFilter(), force=True)) == Released(1, 0)
    assert await ids(broker, QUARANTINE) == []


async def test_a_cancelled_release_leaves_each_event_in_one_place(broker: Broker) -> None:
    """Neither lost nor published twice."""
    total, done = 30, 0
    await fill(broker, *['{"total": 1}'] * total)
    await broker.bind()

    def count(*_: object) -> None:
        nonlocal done
        done += 1

    for turns in (2, 4, 9):
        wanted = done + 3
        task = asyncio.create_task(
            release(broker.config, broker.config.data_dir, QuarantineFilter(), on_letter=count)
        )
        while done < wanted and not task.done():
            await asyncio.sleep(0)
        for _ in range(turns):  # until the next event is on its way
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    left = await ids(broker, QUARANTINE)
    released = [number for number, _, _ in await broker.take_all(QUEUE)]

    assert len(released) == done < total
    assert sorted(left + released) == sorted(f"id-{number}" for number in range(total))


async def test_a_bundled_schema_is_written_out_with_an_id_of_its_own(broker: Broker) -> None:
    """An event must not claim to have passed a schema that it did not."""
    github = {"adapter": "github", "secrets": ["not-a-real-secret-0123"]}
    config = type(broker.config).model_validate(
        broker.config.model_dump(include={"rabbitmq", "data_dir"}) | {"providers": {"github": github}}
    )
    await broker.declare(QUARANTINE)
    body = event(1, '{"ref": 7}', provider="github", eventtype="push")
    await broker.put(QUARANTINE, body, HEADERS | {"provider": "github"}, key="github.push")
    proposed = await proposal(config, config.data_dir, await the_group(broker))

    assert (proposed.how, proposed.document["$id"]) == ("widened", "urn:github:event:1")
    assert Schema(proposed.document, {}).is_valid({"ref": 7})
    assert any("providers.github.schema" in note for note in proposed.notes)


async def test_a_schema_that_cannot_be_widened_is_inferred(broker: Broker) -> None:
    """From the events and the examples of the schema in force, so that ordinary events pass, too."""
    by_its_id: dict[str, Any] = {
        "$id": "urn:acme:2",
        "$ref": "urn:acme:2#/$defs/order",
        "$defs": {"order": {"required": ["total"]}},
        "examples": [{"total": "3", "usual": True}],
    }
    (broker.config.data_dir / "acme.json").write_text(json.dumps(by_its_id))
    await fill(broker, '{"odd": 1}')
    proposed = await proposal(broker.config, broker.config.data_dir, await the_group(broker))
    schema = Schema(proposed.document, {})

    assert (proposed.how, len(proposed.notes)) == ("inferred", 2)
    assert schema.is_valid({"odd": 1})
    assert schema.is_valid({"total": "3", "usual": True})
    assert not schema.is_valid({"total": 3})


async def test_a_provider_without_a_schema_gets_a_first_one(broker: Broker) -> None:
    """There is nothing to compare it with."""
    await fill(broker, '{"total": 1}')
    acme = broker.config.providers["acme"].model_copy(update={"schema_file": None})
    config = broker.config.model_copy(update={"providers": {"acme": acme}})
    proposed = await proposal(config, config.data_dir, await the_group(broker))

    assert (proposed.how, proposed.difference) == ("inferred", "")
    assert proposed.document["properties"] == {"total": {"type": "integer"}}
