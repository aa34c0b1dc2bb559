"""Commands that are killed amid an act: no event is lost, and each kill leaves one event in two places at most."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support.gateway_process import Program
from support.letter_queues import DEAD, FAILED, QUARANTINE, QUEUE, VIOLATIONS, Broker, event, ids, settings
from support.waiting import wait_until_async

TOTAL = 300
KILLS = 2


@pytest.mark.parametrize(
    ("words", "source"),
    [(("dead", "redrive", QUEUE), DEAD), (("quarantine", "release"), QUARANTINE)],
    ids=["redrive", "release"],
)
async def test_a_killed_act_loses_no_event(
    broker: Broker, tmp_path: Path, words: tuple[str, ...], source: str
) -> None:
    """Whatever it was at; the next one goes on where it ended."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings(tmp_path, broker.config.rabbitmq.url)))
    await broker.declare(QUEUE, source)
    await broker.bind()
    for number in range(TOTAL):
        headers = FAILED if source == DEAD else {"provider": "acme", "violations": VIOLATIONS}
        key = "" if source == DEAD else "acme.order.created"
        await broker.put(source, event(number, '{"total": 1}'), headers, key=key)

    wanted = 0

    async def have_arrived() -> bool:
        return await broker.count(QUEUE) >= wanted

    for _ in range(KILLS):
        wanted += TOTAL // (KILLS + 2)
        with Program(tmp_path, *words, "--config", str(config)) as program:
            has_arrived: bool = await wait_until_async(have_arrived)
            assert has_arrived
            program.kill()
    with Program(tmp_path, *words, "--config", str(config)) as program:
        assert await asyncio.to_thread(program.wait_for_end) == 0

    left, moved = await ids(broker, source), await ids(broker, QUEUE)
    assert left == []
    assert set(moved) == {f"id-{number}" for number in range(TOTAL)}
    assert len(moved) <= TOTAL + KILLS
