"""What the benchmark makes of its measurements."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from bench import contenders, page, report, samples
from bench.contenders import Contender, PeerMissingError
from bench.load import Result
from bench.measure import CONSOLE, OPEN_LOOP_RATES, SIZES, Burst, Record
from support.process import Child


def burst(cpu: float, answers: int = 100, redis_bytes: int = 0) -> Burst:
    """One round of requests, each of which took ``cpu`` microseconds."""
    result = Result(1.0, {"202": answers}, 0, 1.0, 2.0, 3.0, 4.0, 0.1)
    return Burst(result, cpu * answers / 1e6, {"Redis": 0.0, "RabbitMQ": 0.0, CONSOLE: 0.0}, redis_bytes)


def record(name: str, cpus: list[float], exchange: str | None = None, per_kilobyte: float = 1.0) -> Record:
    """What was measured of one contender."""
    found = Record(Contender(name, 0, cast("Child", None), exchange))
    found.rounds = [burst(cpu, redis_bytes=2_000) for cpu in cpus]
    found.alone = burst(cpus[0])
    found.scheduled = {rate: burst(cpus[0]) for rate in OPEN_LOOP_RATES}
    small = samples.TEMPLATE.stat().st_size
    found.sized = {
        size: [burst(cpu + (size - small) / 1000 * per_kilobyte) for cpu in cpus] for size in SIZES
    }
    found.forged = [burst(cpu / 2) for cpu in cpus] if exchange else []
    found.unexpected = Counter()
    found.idle_bytes, found.final_bytes, found.largest_bytes = (each * 2**20 for each in (70, 75, 90))
    found.console_bytes = 80 * 2**20 if exchange else 0
    found.accepted = found.stored = 300
    return found


@pytest.fixture
def tables() -> dict[str, dict[str, list[str]]]:
    """The rows of each table by the first word of its title, and by contender."""
    floor = record("floor", [20.0, 40.0, 30.0])
    gateway = record("gateway", [60.0, 100.0, 120.0], "webhooks", per_kilobyte=4.0)
    grids = report.grids([floor, gateway], {}, None)
    return {grid.title.split()[0]: {row[0]: list(row[1:]) for row in grid.rows} for grid in grids}


def test_cpu_is_compared_with_the_floor_of_the_same_round(tables: dict[str, dict[str, list[str]]]) -> None:
    """The median of ratios, which is not the ratio of medians."""
    per_core, cpu, ratio = tables["64"]["gateway"][1:4]

    assert per_core == "10,000"
    assert cpu == "60–100–120"
    assert ratio == "2.5–3.0–4.0"


def test_the_slope_is_what_a_further_kilobyte_costs(tables: dict[str, dict[str, list[str]]]) -> None:
    """Beside the floor's."""
    assert tables["Larger"]["gateway"][-2:] == ["4.00", "4.0"]
    assert tables["Larger"]["floor"][-2:] == ["1.00", "1.0"]


def test_refusals_and_memory_have_their_rows(tables: dict[str, dict[str, list[str]]]) -> None:
    """The floor refuses nothing, and keeps nothing in Redis."""
    assert tables["Refusing"]["gateway"][:2] == ["30–50–60", "1.2–1.5–2.0"]
    assert tables["Refusing"]["floor"][:2] == ["–", "–"]
    assert tables["Resident"]["gateway"] == ["70.0", "75.0", "5.0", "90.0", "80.0", "20"]
    assert tables["Resident"]["floor"][-2:] == ["–", "–"]


@pytest.mark.parametrize("size", SIZES)
def test_a_larger_event_has_about_the_size_that_was_asked_for(size: int) -> None:
    """It is the same event, with more items."""
    template = samples.TEMPLATE.read_bytes()
    body = samples.resized(template, size)

    assert size * 0.98 < len(body) <= size
    assert json.loads(body)["id"] == json.loads(template)["id"]
    assert samples.resized(template, 10) == template


def test_a_peer_that_cannot_be_installed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerMissingError, match="node is not installed"):
        contenders.install_fastify(tmp_path / "peer")

    for name, text in (("node", "exit 0"), ("npm", "echo no such package >&2; exit 1")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    with pytest.raises(PeerMissingError, match="npm cannot install its packages: no such package"):
        contenders.install_fastify(tmp_path / "peer")


def test_the_stack_on_node_is_valid_javascript() -> None:
    """As far as that can be seen without its packages."""
    node = subprocess.run(["/usr/bin/env", "which", "node"], capture_output=True, check=False)
    if node.returncode:
        pytest.skip("node is not installed")
    path = contenders.ROOT / "bench/peers/fastify/app.js"
    subprocess.run(["node", "--check", str(path)], check=True)


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_a_page_shows_the_results_as_they_are(path: Path) -> None:
    """`make pages` copies them."""
    shown = path.read_text("utf-8")

    assert shown == page.refreshed(shown, page.RESULTS.read_text("utf-8"))
    assert "| gateway |" in shown
