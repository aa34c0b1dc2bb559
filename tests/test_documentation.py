"""What the documentation says is what the program does. :mod:`tests.documentation` runs its blocks."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import TypeAdapter
from typer.core import TyperGroup

from gateway.adapters import registry
from gateway.app import Gateway
from gateway.cli.main import app
from gateway.config import load_config
from gateway.config.reference import config_schema
from gateway.devtools.provider_reference import EVIDENCE, Evidence, adapter_names, config_block
from gateway.devtools.samples import sample_names
from gateway.errors import REJECTIONS, Outcome
from gateway.observability.outbound_counters import OUTBOUND
from gateway.receive.responses import _STATUS
from gateway.signatures.rejections import SIGNATURE_FAULTS
from gateway.worker.retry_policy import SettlementName
from pages import blocks
from pages.commands import command_pages
from pages.failures import FAULTS, possible_faults
from pages.providers import categories, provider_index, provider_pages
from pages.settings import Section, examples, sections, settings_page
from pages.site import generated_pages
from support.deliveries import parameters_of, secrets_of
from support.repository import ROOT

PROOFS: Evidence = yaml.safe_load((ROOT / "tests/gateway/adapters/evidence.yaml").read_text("utf-8"))
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
TEXT = "".join(page.read_text("utf-8") for page in PAGES if page.name != "CHANGELOG.md")
LINKS = [
    pytest.param(page, link, id=f"{page.relative_to(ROOT)}-{link}")
    for page in PAGES
    for link in sorted(set(re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))))
    if not link.startswith(("http", "mailto:"))
]


def _page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def _table(name: str, page: str) -> list[list[str]]:
    """The rows of a page's table between the comments of that name, without its head."""
    block = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line.strip("| ").split(" | ") for line in block.strip().splitlines()]
    return rows[2:]


@pytest.mark.parametrize("page", blocks.pages_with_blocks(), ids=lambda page: page.stem)
def test_the_generated_tables_of_a_page_are_up_to_date(page: Path) -> None:
    """`make pages` writes them."""
    text = page.read_text("utf-8")

    assert blocks.with_blocks(text) == text


@pytest.mark.parametrize("page", blocks.pages_with_blocks(), ids=lambda page: page.stem)
def test_the_generated_tables_of_a_page_are_complete(page: Path) -> None:
    """Every row says what it means; scripts/pages/texts.yaml has the sentences that the program does not have."""
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]

    assert [row for row in rows if row.endswith("|  |")] == []


def test_no_text_of_a_table_is_left_over() -> None:
    """A constant that is gone takes its sentence along."""
    texts = yaml.safe_load((ROOT / "scripts/pages/texts.yaml").read_text("utf-8"))
    tables = "".join(page.read_text("utf-8") for page in blocks.pages_with_blocks())

    assert [name for group in texts.values() for name in group if name not in tables] == []


def test_the_responses_are_listed_with_their_status() -> None:
    """A reason that is added, removed or renumbered has to be documented."""
    outcomes = {(str(_STATUS[outcome]), str(outcome)) for outcome in Outcome}
    rejections = {(str(rejection.status), rejection.reason) for rejection in REJECTIONS}
    rows = _table("generated: responses", _page("reference/http-responses.md"))

    assert outcomes | rejections == {(row[0], row[1]) for row in rows}


def test_every_fault_of_a_signature_has_a_meaning_and_can_happen() -> None:
    """To at least one provider."""
    possible = {fault for name in adapter_names() for fault in possible_faults(registry.load(name).spec)}

    assert set(FAULTS) == set(SIGNATURE_FAULTS)
    assert set(SIGNATURE_FAULTS) - possible <= {"signature_ambiguous", "too_many_signatures"}


def test_every_command_has_a_page_with_its_options() -> None:
    """Those of groups are on the page of their group."""
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    made = command_pages()

    assert made.keys() == {name for name, command in program.commands.items() if not command.hidden}
    for name, command in program.commands.items():
        for each in getattr(command, "commands", {"": command}).values():
            for parameter in each.params:
                label = (parameter.metavar or parameter.name).strip("[]").upper()
                names = [word if word.startswith("-") else label for word in parameter.opts]
                assert all(word in made[name] for word in names), (name, names)


def test_every_provider_has_a_page() -> None:
    """And a place in the index; it says what it is called, how it is configured and what it sends."""
    made = provider_pages()
    index = provider_index()

    assert list(made) == adapter_names()
    assert sorted(name for names in categories().values() for name in names) == adapter_names()
    for name, page in made.items():
        assert f"]({name}.md)" in index
        assert page.startswith(f"# {registry.load(name).spec.title}\n")
        assert all(line in page for line in config_block(name).splitlines())
        assert all(f"| `{each}` |" in page for each in sample_names(registry.load(name)))
        assert "| None" not in page


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
    assert settings_page() == _page("reference/configuration.md")


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section.key)
def test_every_setting_has_an_example_that_is_valid(section: Section) -> None:
    """And no setting that does not exist has one."""
    known = examples()[section.key]

    assert known.keys() == section.settings.keys()
    for name, field in section.settings.items():
        kind: Any = TypeAdapter(field.rebuild_annotation())
        assert kind.validate_python(known[name]) is not None, name


def test_the_json_schema_of_the_configuration_is_up_to_date() -> None:
    """Made anew by `make pages`."""
    assert config_schema() == json.loads(_page("config.schema.json"))


def test_the_log_line_of_the_page_is_one() -> None:
    """With the fields of every request, in their order, and a cause that there is."""
    page = _page("reference/logs.md")
    (line,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    rows = _table("generated: request-fields", page)

    assert list(line) == ["timestamp", "level", "event", *(row[0].strip("`") for row in rows)]
    assert line["cause"] in SIGNATURE_FAULTS


def test_the_event_of_the_page_has_no_attribute_that_does_not_exist() -> None:
    """In the example of the envelope."""
    page = _page("reference/event-format.md")
    example = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    rows = _table("generated: attributes", page)

    assert example.keys() <= {row[0].strip("`") for row in rows}


def test_the_outcomes_of_a_worker_are_listed() -> None:
    """Each that its log can name."""
    page = _page("reference/workers.md")
    listed = re.findall(r"^\| (\w+) \|", page.partition("| outcome |")[2].partition("\n\n")[0], re.MULTILINE)

    assert set(listed) == set(get_args(SettlementName))


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_link_leads_somewhere(page: Path, link: str) -> None:
    """To a file, and in it to a heading of a page or to a test: a proof that is not there any more is none."""
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page

    assert target.exists() or _generated(target) is not None
    if fragment:
        assert fragment in _places_in(target)


def _generated(file: Path) -> str | None:
    return generated_pages().get(str(file.relative_to(DOCS))) if file.is_relative_to(DOCS) else None


def _places_in(file: Path) -> set[str]:
    text = _generated(file) or file.read_text("utf-8")
    if file.suffix == ".py":
        functions = ast.FunctionDef, ast.AsyncFunctionDef
        return {node.name for node in ast.parse(text).body if isinstance(node, functions)}
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_navigation() -> None:
    """And every entry is a page."""
    navigation = re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2])
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}

    assert pages <= set(navigation)
    assert {DOCS / name for name in set(navigation) - pages} <= {DOCS / name for name in generated_pages()}


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").rglob("*.md")), ids=lambda page: page.stem)
def test_a_guide_begins_with_its_goal_and_ends_with_its_success(page: Path) -> None:
    """One page answers one question."""
    text = page.read_text("utf-8")

    assert re.match(r"# .+\n\n\*\*Goal:\*\* \w.*?\.\n\n", text, re.DOTALL)
    assert re.findall(r"^## .+", text, re.MULTILINE)[-1] == "## How to see that it worked"


def test_the_numbers_of_adapters_and_services_are_right() -> None:
    """Several adapters can be for one service: its versions, or its ways to sign."""
    services = {registry.load(name).spec.title.partition(",")[0] for name in adapter_names()}
    first = (ROOT / "README.md").read_text("utf-8") + _page("index.md") + _page("explanation/comparison.md")

    assert {int(number) for number in re.findall(r"(\d+) adapters", first)} == {len(adapter_names())}
    assert {int(number) for number in re.findall(r"(\d+) (?:other )?services", first)} == {
        len(services) // 10 * 10
    }


def test_the_readme_is_short() -> None:
    """It is read by everybody; what few need is a page."""
    readme = (ROOT / "README.md").read_text("utf-8")

    assert len(readme.splitlines()) <= 180
    assert len(readme.split()) <= 1150


def test_every_command_that_is_named_is_there() -> None:
    """With the commands of groups, of which a table has all."""
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    listed = {
        row[0]
        for name in ("operate/spool.md", "operate/quarantine.md")
        for row in _table("commands", _page(f"how-to/{name}"))
    }

    assert set(re.findall(r"(?:`|\$ )gateway ([a-z]+)", TEXT)) <= set(program.commands)
    for name, group in program.commands.items():
        if isinstance(group, TyperGroup):
            assert set(re.findall(rf"gateway {name} ([a-z]+)[ `]", TEXT)) <= set(group.commands)
            here = {" ".join(each.strip("`").split()[:3]) for each in listed if f"gateway {name} " in each}
            assert here in (set(), {f"gateway {name} {command}" for command in group.commands})


def test_every_example_is_listed() -> None:
    """With a module that is there to run it."""
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}
    rows = _table("examples", _page("how-to/agents/examples.md"))

    assert {row[0].partition(".py")[0].strip("[") for row in rows} == files
    assert {module for row in rows for module in re.findall(r"examples[./](\w+)", row[2])} == files


def test_every_metric_that_is_named_is_there() -> None:
    """What an operator is told to look at."""
    known = set(re.findall(r"webhook_\w+", _page("reference/metrics.md")))
    # Fixtures and the ini option of the pytest plugin begin in the same way.
    named = set(
        re.findall(
            r"(?<![\w.])webhook_(?!gateway|sample|worker|config|id)\w+",
            "".join(map(_read, DOCS.rglob("*.md"))),
        )
    )

    assert named <= known | {f"{name}{end}" for name in known for end in ("_bucket", "_count")}


def _read(path: Path) -> str:
    return path.read_text("utf-8")


def test_every_line_of_the_log_that_is_named_is_written() -> None:
    """In the words of the program."""
    rows = _table("generated: log-lines", _page("reference/logs.md"))
    lines = re.findall(r"log(?: line)?(?: says| has)? `([a-z ]+)`", TEXT)

    assert len(lines) > 5
    assert set(lines) <= {row[0].strip("`") for row in rows}


def test_the_parts_of_the_readiness_are_listed(tmp_path: Path) -> None:
    """All that /readyz names, the end and the process that delivers among them."""
    config = load_config(ROOT / "config.yaml", missing=lambda _: "not-a-real-secret-0123")
    gateway = Gateway(config.model_copy(update={"data_dir": tmp_path}), ROOT)
    gateway.announce_end()

    assert [f"`{part}`" for part in (*gateway.unavailable_reasons(), OUTBOUND)] == [
        row[0] for row in _table("readiness", _page("how-to/operate/monitor.md"))
    ]


def test_the_limits_are_those_of_the_program() -> None:
    """As far as they can be configured."""
    reference_page = _page("reference/configuration.md")
    defaults = {
        f"{section}.{key}": default
        for section, table in re.findall(
            r"^## `(\w+)`$(.*?)(?=^## )", reference_page, re.MULTILINE | re.DOTALL
        )
        for key, default in re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.MULTILINE)
    }
    plain = {"4 days": "4d", "7 days": "7d"}
    for name, value, setting in _table("limits", _page("reference/limits.md")):
        for key in re.findall(r"`((?:server|redis|rabbitmq|dedupe|spool|archive)\.\w+)`", setting):
            written = plain.get(value, value.replace(" ", "").replace(",", ""))
            assert written == defaults[key], name
