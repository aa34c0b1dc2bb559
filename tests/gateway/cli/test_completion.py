"""What the shell proposes: names from the configuration and from what is installed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

CONFIG = """\
data_dir: ./data
providers:
  shop: {adapter: shopify, secrets: ["${NOT_SET}"]}
  stripe: {adapter: stripe, secrets: [x]}
"""


def proposed(line: str) -> list[str]:
    """Return the completions that bash receives for ``line``."""
    words = line.split(" ")
    variables = {"_GATEWAY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(app, [], prog_name="gateway", env=variables).output.split()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration whose secrets are not set."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    return tmp_path


def test_names_are_completed() -> None:
    """Commands, providers, their samples, and adapters."""
    assert proposed("gateway quar") == ["quarantine"]
    assert proposed("gateway send s") == ["shop", "stripe"]
    assert "invoice.paid" in proposed("gateway send stripe inv")
    assert "paypal" in proposed("gateway providers pay")
    assert proposed("gateway tail --js") == ["--json"]


def test_queues_of_the_embedded_database_are_completed(folder: Path) -> None:
    """Those that have dead letters."""
    (folder / "data").mkdir()
    with closing(sqlite3.connect(folder / "data" / "embedded.db")) as database:
        database.execute("CREATE TABLE messages (queue TEXT)")
        database.execute("INSERT INTO messages VALUES ('agent.dead'), ('agent.dead'), ('billing')")
        database.commit()

    assert proposed("gateway dead list ") == ["agent"]


def test_a_broken_configuration_proposes_nothing(folder: Path) -> None:
    """And says nothing: the shell would print it into the line."""
    (folder / "config.yaml").write_text("providers: [")

    assert proposed("gateway send ") == []
    assert proposed("gateway dead list ") == []
