"""The files around the program: workflows, hooks, forms and addresses, which nothing else would try before a release."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__
from support.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Source"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.*")]


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_asks_for_the_least(path: Path) -> None:
    """It has read rights at most, a job names what it needs beyond, and every job ends in time."""
    workflow = _read(path)

    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        assert job["runs-on"] == "ubuntu-24.04", name
        assert job["timeout-minutes"] <= 180, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_a_tag(path: Path) -> None:
    """No branch, and the same tag of an action everywhere."""
    used = re.findall(r"uses: (\S+)@(\S+)", "".join(each.read_text("utf-8") for each in WORKFLOWS))

    assert "uses: " in path.read_text("utf-8")
    assert all(re.fullmatch(r"v[0-9.]+", tag) for _, tag in used)
    assert len({action for action, _ in used}) == len(set(used))


def test_workflows_and_pages_name_targets_that_exist() -> None:
    """`make` with a word that is no target would fail at night, or on the page of a newcomer."""
    texts = [path.read_text("utf-8") for path in PAGES if path.suffix in {".md", ".yml"}]
    named = {name for text in texts for name in re.findall(r"(?:`|run: |\$ )make ([a-z][a-z-]*)\b", text)}

    assert named
    assert named <= TARGETS


def test_every_supported_python_is_tested() -> None:
    """The classifiers, the lower bound and the matrix of the CI say the same."""
    supported = {
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    }

    assert supported == set(
        _read(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    )
    assert PROJECT["requires-python"] == f">={min(supported, key=lambda each: int(each[2:]))}"


def test_the_project_has_one_address() -> None:
    """Metadata, forms and pages point to one repository."""
    texts = "".join(path.read_text("utf-8") for path in [*PAGES, ROOT / "pyproject.toml"] if path.is_file())
    addresses = set(re.findall(r"https://github\.com/[\w.-]*gateway[\w.-]*/[\w-]+", texts))

    assert addresses == {ADDRESS}


def test_hooks_run_what_make_check_runs() -> None:
    """From the locked environment, so that a hook and the CI never disagree."""
    (repository,) = _read(ROOT / ".pre-commit-config.yaml")["repos"]
    tools = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    script = (ROOT / "scripts/check").read_text("utf-8")
    checked = set(re.findall(r'^(?:"\$1/)?(scripts/[\w.]+|(?<=\$1/)[\w-]+)', script, re.MULTILINE))
    locked = (ROOT / "requirements/dev.txt").read_text("utf-8")

    assert tools == checked
    assert all(re.search(rf"^{tool}==", locked, re.MULTILINE) for tool in tools if "/" not in tool)


@pytest.mark.parametrize("name", ["runtime", "dev", "build", "uv"])
def test_a_lock_names_no_index(name: str) -> None:
    """Each requirement has digests, and comes from wherever the one who installs it looks."""
    lock = (ROOT / f"requirements/{name}.txt").read_text("utf-8")

    assert "://" not in lock
    assert not re.findall(r"^[a-z].*[^\\]$", lock, re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name
)
def test_a_form_can_be_filled_in(path: Path) -> None:
    """It has a name, a description and fields with labels and ids of their own."""
    form = _read(path)
    if path.name == "config.yml":
        assert form["contact_links"]
        return
    ids = [field["id"] for field in form["body"]]

    assert form["name"]
    assert form["description"]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in form["body"])


def test_the_changelog_has_a_section_for_this_version() -> None:
    """Unreleased first, then versions from new to old, each with a date; the release notes are cut out by heading."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    assert f"[{__version__}]" in headings[1]


def test_commits_to_be_ignored_by_blame_exist() -> None:
    """Git refuses to blame at all when the file names a commit that is not there."""
    lines = (ROOT / ".git-blame-ignore-revs").read_text("utf-8").splitlines()
    commits = [line for line in lines if line and not line.startswith("#")]
    assert commits
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits)
    if not (ROOT / ".git").exists() or (ROOT / ".git/shallow").exists():
        pytest.skip("this is not a whole clone")
    command = ["git", "cat-file", "--batch-check=%(objecttype)"]
    asked = subprocess.run(
        command, cwd=ROOT, input="\n".join(commits), capture_output=True, text=True, check=True
    )

    assert set(asked.stdout.split()) == {"commit"}
