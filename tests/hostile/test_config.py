"""A mistake in the configuration ends the program before it listens, and is located."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hostile.inputs_config import ACME, FIELDS, FILES, PROVIDERS
from support.gateway_process import Secrets, configuration, run_gateway

SERVED = "a key twice"
"""The file that is served and not only checked."""


def _merged() -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Return the bad sections in as few configurations as possible, with the expected errors."""
    files: list[tuple[bool, dict[str, Any], list[str]]] = []
    for number, sections, problem in FIELDS:
        has_variables = number == 119  # which are looked at first, and without which nothing else is
        if not (fitting := [file for file in files if file[0] == has_variables and _fit(file[1], sections)]):
            fitting = [(has_variables, {}, [])]
            files += fitting
        _, content, problems = fitting[0]
        for section, settings in sections.items():
            content[section] = (
                {**content.get(section, {}), **settings} if isinstance(settings, dict) else settings
            )
        problems.append(problem)
    return {f"fields-{at}": (content, problems) for at, (_, content, problems) in enumerate(files)}


def _fit(content: dict[str, Any], sections: dict[str, Any]) -> bool:
    return not any(
        section in content
        and (not isinstance(settings, dict) or not settings or settings.keys() & content[section])
        for section, settings in sections.items()
    )


MERGED = _merged()
CONTENTS = {name: content for _, name, content, _ in FILES} | {
    name: json.dumps(configuration(0, 1, {}) | content) for name, (content, _) in MERGED.items()
}
PROBLEMS = [(name, problem) for _, name, _, problem in FILES] + [
    (name, problem) for name, (_, problems) in MERGED.items() for problem in problems
]


def _run(folder: Path, content: str, command: str = "check") -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    (folder / "config.yaml").write_text(content, "utf-8", errors="surrogateescape")
    return run_gateway(command, "--config", "config.yaml", cwd=folder, extra=Secrets().environment())


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What the program says of each whole configuration."""
    base = tmp_path_factory.mktemp("whole")
    with ThreadPoolExecutor(2) as pool:
        runs = {
            name: pool.submit(_run, base / str(number), content, "serve" if name == SERVED else "check")
            for number, (name, content) in enumerate(CONTENTS.items())
        }
    return {name: run.result() for name, run in runs.items()}


@pytest.fixture(scope="module")
def of_providers(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What the program says of all bad providers at once, and of a good one."""
    providers = {"good": ACME}
    for _, name, changes, _ in PROVIDERS:
        is_hmac = changes.get("adapter", "hmac") == "hmac" and "adapter" not in changes
        providers[name] = (ACME if is_hmac else {"secrets": ["0123456789abcdefgh"]}) | changes
    content = json.dumps(configuration(0, 1, {}) | {"providers": providers})
    return _run(tmp_path_factory.mktemp("providers") / "all", content)


@pytest.mark.parametrize(("name", "problem"), PROBLEMS)
def test_mistakes_are_named_with_their_place(
    verdicts: dict[str, subprocess.CompletedProcess[str]], name: str, problem: str
) -> None:
    """Exit code 3, one line with the path of the field, and no traceback."""
    done = verdicts[name]

    assert done.returncode == 3, done.stderr
    assert any(problem in line and line.startswith("config.yaml:") for line in done.stderr.splitlines()), (
        done.stderr
    )
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(("name", "problem"), [(row[1], row[3]) for row in PROVIDERS])
def test_mistakes_in_providers_are_all_reported(
    of_providers: subprocess.CompletedProcess[str], name: str, problem: str
) -> None:
    """Each bad provider has its line, the good one has none."""
    lines = [line for line in of_providers.stderr.splitlines() if f" providers.{name}." in line]

    assert of_providers.returncode == 3
    assert any(problem in line for line in lines), of_providers.stderr
    assert "providers.good" not in of_providers.stderr


def test_a_dollar_sign_is_itself(tmp_path: Path) -> None:
    """Input 119: values are not expanded again, so a secret may hold what looks like a variable."""
    content = json.dumps(configuration(0, 1, {}) | {"providers": {"x": {**ACME, "secrets": ["${SECRET}"]}}})
    (tmp_path / "config.yaml").write_text(content, "utf-8")

    done = run_gateway(
        "check", "--config", "config.yaml", cwd=tmp_path, extra={"SECRET": "${MISSING} costs 5$ or $more"}
    )

    assert done.returncode == 0, done.stderr


def test_a_secret_of_two_providers_is_doubted(tmp_path: Path) -> None:
    """Input 122: what one of them signs the other would believe."""
    content = json.dumps(configuration(0, 1, {}) | {"providers": {"one": ACME, "two": ACME}})

    done = _run(tmp_path / "shared", content)

    assert done.returncode == 0, done.stderr
    assert "secret" in done.stderr + done.stdout.partition("\n")[2]
