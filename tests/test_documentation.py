"""What the documentation says is what the program does."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from typer.core import TyperGroup

from gateway.adapters import registry
from gateway.app import Gateway
from gateway.cli.main import app
from gateway.config import load_config, reference
from gateway.config.reference import config_schema
from gateway.devtools.provider_reference import EVIDENCE, Evidence, adapter_names, config_block
from gateway.devtools.provider_reference import reference as providers_page
from gateway.errors import REJECTIONS, Outcome
from gateway.receive.responses import _STATUS
from gateway.signatures.rejections import SIGNATURE_FAULTS
from gateway.worker.retry_policy import SettlementName
from support.deliveries import parameters_of, secrets_of

PROOFS: Evidence = yaml.safe_load(
    (Path(__file__).parent / "gateway/adapters/evidence.yaml").read_text("utf-8")
)
ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
GUARANTEES = (ROOT / "docs/guarantees.md").read_text("utf-8")
WORKERS = (ROOT / "docs/workers.md").read_text("utf-8")
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))
LINKS = [
    pytest.param(page, link, id=f"{page.name}-{link}")
    for page in PAGES
    for link in sorted(set(re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))))
    if not link.startswith("http")
]


def _table(name: str, page: str = README) -> list[list[str]]:
    """The rows of a page's table between the comments of that name, without its head."""
    block = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line.strip("| ").split(" | ") for line in block.strip().splitlines()]
    return rows[2:]


def test_the_readme_lists_every_answer_with_its_status() -> None:
    """A reason that is added, removed or renumbered has to be documented."""
    outcomes = {(str(_STATUS[outcome]), str(outcome)) for outcome in Outcome}
    rejections = {(str(rejection.status), rejection.reason) for rejection in REJECTIONS}

    assert outcomes | rejections == {(row[0], row[1]) for row in _table("answers")}


def test_the_page_of_the_providers_is_up_to_date() -> None:
    """Made anew by `make pages`."""
    assert providers_page(PROOFS) == (ROOT / "docs/providers.md").read_text("utf-8")


def test_what_proves_an_adapter_is_one_of_the_proofs() -> None:
    """Of an adapter that there is."""
    assert PROOFS.keys() <= set(adapter_names())
    assert {word for words in PROOFS.values() for word in words} <= EVIDENCE.keys()


@pytest.mark.parametrize("name", adapter_names())
def test_the_block_of_every_provider_can_be_pasted(tmp_path: Path, name: str) -> None:
    """Under `providers:`, with the variables that it names."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "dedupe: {retention: 90d}\nproviders:\n"
        + "".join(f"  {line}\n" for line in config_block(name).splitlines())
    )
    given = {"secrets": secrets_of(name).receiver, **parameters_of(registry.load(name))}
    config = load_config(path, missing=lambda variable: _value(variable, given))

    assert list(config.providers) == [name]


def _value(variable: str, given: dict[str, str]) -> str:
    """Of a variable of a block: a parameter's, else a secret."""
    return next(
        (value for name, value in given.items() if variable.endswith("_" + name.upper())), given["secrets"]
    )


def test_the_reference_of_the_configuration_is_up_to_date() -> None:
    """Made anew by `make pages`."""
    assert reference.render() == (ROOT / "docs/configuration.md").read_text("utf-8")


def test_the_json_schema_of_the_configuration_is_up_to_date() -> None:
    """Made anew by `make pages`."""
    assert config_schema() == json.loads((ROOT / "docs/config.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_a_configuration_of_the_readme_is_one(tmp_path: Path, block: str) -> None:
    """The blocks to paste can be pasted."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/acme.json").write_text("{}")
    path = tmp_path / "config.yaml"
    path.write_text(block)

    assert load_config(path, missing=lambda _: "not-a-real-secret-0123").providers


def test_the_log_line_of_the_readme_is_one() -> None:
    """With the fields of every request, in their order, and a cause that there is."""
    (line,) = (
        json.loads(block) for block in re.findall(r"```json\n(\{\"timestamp.*?)```", README, re.DOTALL)
    )
    source = (ROOT / "gateway/receive/receiver.py").read_text("utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    (fields,) = (
        [keyword.arg for keyword in call.keywords]
        for call in calls
        if call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == "request"
    )

    assert list(line) == ["timestamp", "level", "event", *fields]
    assert line["cause"] in SIGNATURE_FAULTS


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README + WORKERS, re.DOTALL))
def test_a_worker_of_the_pages_is_one(block: str) -> None:
    """The blocks to paste can be pasted: they declare a worker that handles something."""
    names: dict[str, Any] = {}
    exec(block, names)

    assert names["worker"].handled


def test_the_outcomes_of_a_worker_are_listed() -> None:
    """Each that its log can name."""
    listed = re.findall(r"^\| (\w+) \|", WORKERS.partition("| outcome |")[2], re.MULTILINE)

    assert set(listed) == set(get_args(SettlementName))


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_link_leads_somewhere(page: Path, link: str) -> None:
    """To a file, and in it to a heading of a page or to a test: a proof that is not there any more is none."""
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page

    assert target.exists()
    if fragment:
        assert fragment in _places_in(target)


def _places_in(file: Path) -> set[str]:
    text = file.read_text("utf-8")
    if file.suffix == ".py":
        functions = ast.FunctionDef, ast.AsyncFunctionDef
        return {node.name for node in ast.parse(text).body if isinstance(node, functions)}
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_command_that_is_named_is_there() -> None:
    """With the commands of groups, of which a table has all."""
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    text = "".join(page.read_text("utf-8") for page in PAGES)
    listed = {row[0] for row in _table("commands", GUARANTEES) + _table("commands")}

    assert set(re.findall(r"(?:`|bin/)gateway ([a-z]+)", text)) <= set(program.commands)
    for name in ("spool", "dead", "quarantine", "unrouted"):
        group = program.commands[name]
        assert isinstance(group, TyperGroup)
        assert set(re.findall(rf"gateway {name} ([a-z]+)[ `]", text)) <= set(group.commands)
        listed_here = {command for command in listed if command.startswith(f"`gateway {name} ")}
        assert {" ".join(command.strip("`").split()[:3]) for command in listed_here} == {
            f"gateway {name} {command}" for command in group.commands
        }


def test_every_example_is_listed() -> None:
    """With a module that is there to run it."""
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}
    rows = _table("examples", WORKERS)

    assert {row[0].partition(".py")[0].strip("[") for row in rows} == files
    assert {module for row in rows for module in re.findall(r"examples[./](\w+)", row[2])} == files


def test_every_metric_that_is_named_is_there() -> None:
    """What an operator is told to look at."""
    known = set(re.findall(r"webhook_\w+", (ROOT / "docs/metrics.md").read_text("utf-8")))

    assert set(re.findall(r"webhook_\w+", README + GUARANTEES)) <= known


def test_every_line_of_the_log_that_is_named_is_written() -> None:
    """In the words of the program."""
    source = "".join(path.read_text("utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    lines = re.findall(r"log(?: line)? `([^`]+)`", GUARANTEES) + re.findall(r"line `([^`]+)`", GUARANTEES)

    assert len(lines) > 5
    assert [line for line in lines if line not in source] == []


def test_the_parts_of_the_readiness_are_listed(tmp_path: Path) -> None:
    """All that /readyz names, the end among them."""
    config = load_config(ROOT / "config.yaml", missing=lambda _: "not-a-real-secret-0123")
    gateway = Gateway(config.model_copy(update={"data_dir": tmp_path}), ROOT)
    gateway.announce_end()

    assert [f"`{part}`" for part in gateway.unavailable_reasons()] == [
        row[0] for row in _table("readiness", GUARANTEES)
    ]


def test_the_limits_are_those_of_the_program() -> None:
    """As far as they can be configured."""
    reference_page = (ROOT / "docs/configuration.md").read_text("utf-8")
    defaults = {
        f"{section}.{key}": default
        for section, table in re.findall(
            r"^## `(\w+)`$(.*?)(?=^## )", reference_page, re.MULTILINE | re.DOTALL
        )
        for key, default in re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.MULTILINE)
    }
    plain = {"4 days": "4d", "7 days": "7d"}
    for name, value, setting in _table("limits", GUARANTEES):
        for key in re.findall(r"`((?:server|redis|rabbitmq|dedupe|spool|archive)\.\w+)`", setting):
            written = plain.get(value, value.replace(" ", "").replace(",", ""))
            assert written == defaults[key], name
