"""What the documentation says is what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.answers import _STATUS, Outcome
from gateway.cli.providers import describe_all
from gateway.config import load_config, reference
from gateway.config.reference import config_schema
from gateway.errors import REJECTIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def _table(name: str) -> list[list[str]]:
    """The rows of the README's table between the comments of that name, without its head."""
    block = README.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line.strip("| ").split(" | ") for line in block.strip().splitlines()]
    return rows[2:]


def test_the_readme_lists_every_answer_with_its_status() -> None:
    """A reason that is added, removed or renumbered has to be documented."""
    outcomes = {(str(_STATUS[outcome]), str(outcome)) for outcome in Outcome}
    rejections = {(str(rejection.status), rejection.reason) for rejection in REJECTIONS}

    assert outcomes | rejections == {(row[0], row[1]) for row in _table("answers")}


def test_the_readme_lists_every_adapter_with_its_signature() -> None:
    """So does an adapter."""
    expected = [[f"`{name}`", title, signature] for name, title, signature in describe_all()]

    assert expected == _table("adapters")


def test_the_reference_of_the_configuration_is_up_to_date() -> None:
    """Made anew by `gateway check --reference > docs/configuration.md`."""
    assert reference.render() == (ROOT / "docs/configuration.md").read_text("utf-8")


def test_the_json_schema_of_the_configuration_is_up_to_date() -> None:
    """Made anew by `gateway check --json-schema > docs/config.schema.json`."""
    assert config_schema() == json.loads((ROOT / "docs/config.schema.json").read_text("utf-8"))


def test_the_provider_of_the_readme_is_a_configuration(tmp_path: Path) -> None:
    """The block to paste can be pasted."""
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/acme.json").write_text("{}")
    path = tmp_path / "config.yaml"
    path.write_text(block)

    config = load_config(path, {"ACME_WEBHOOK_SECRET": "not-a-real-secret-0123"})

    assert list(config.providers) == ["acme"]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    """Files are moved more often than links are clicked."""
    assert (ROOT / link).exists()
