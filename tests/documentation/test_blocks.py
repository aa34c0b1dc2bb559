"""Every block of README.md and docs/ is what it says: commands run as printed, configurations are valid, programs run."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway.config import load_config
from support.pages import Block, Command, Terminal, blocks_of, commands_of, is_printed
from support.repository import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = {
    r"(?:pip|pipx|uv|uvx) ": "installs from the package index",
    r"make ": "builds the environment that this test runs in",
    r"docker |IMAGE=|cp \.env\.example ": "needs a Docker daemon",
    r"kubectl |cp (secret|worker)\.example": "needs a cluster",
    r"sudo ": "changes the machine",
    r"stripe |export STRIPE_WEBHOOK_SECRET=\$\(stripe ": "needs an account at Stripe",
    r"gh |export GITHUB_WEBHOOK_SECRET=\$\(openssl rand": "needs an account at GitHub, and its secret",
    r"cloudflared |ngrok |tailscale ": "needs the internet",
    r"token=\$\(gateway console tokens|curl -H \"Authorization": "needs a token and a console; tests/gateway/console has both",
    r"gateway (?:endpoints|deliveries|listen|outbound) ": "needs an endpoint and an application; tests/e2e has both",
    r"gateway console tokens create (?:acme-portal|laptop) ": "needs a console; tests/gateway/console has one",
    r"kill ": "signals the gateway of a machine",
    r"OTEL_|collector ": "needs a collector of traces",
    r"(?:npm|node|go) ": "has a test of its own, in tests/examples, for machines with Node.js and Go",
    r"export ANTHROPIC_API_KEY=|gateway worker examples\.": "needs an API key; tests/examples runs them with fake models",
}
"""Commands that cannot be run here, by how they begin, with the reason. Their syntax is checked."""

CONFIGURATION = "config.yaml"

PROVIDERS = 'providers: {stripe: {adapter: stripe, secrets: ["${STRIPE_WEBHOOK_SECRET}"]}}'
"""What is added to the part of a configuration that a page shows without its providers."""


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _all_blocks(*kinds: str) -> list[tuple[Path, Block]]:
    return [
        (page, block) for page in PAGES for block in blocks_of(page.read_text("utf-8")) if block.kind in kinds
    ]


def _why_not(command: Command) -> str | None:
    return next((reason for begin, reason in NOT_RUN.items() if re.match(begin, command.line)), None)


def _commands(page: Path) -> list[Command]:
    blocks = blocks_of(page.read_text("utf-8"))
    return [command for block in blocks if block.kind in ("console", "sh") for command in commands_of(block)]


WITH_COMMANDS = [page for page in PAGES if any(_why_not(command) is None for command in _commands(page))]
COMMANDS = [(page, command) for page in PAGES for command in _commands(page)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=_name)
def test_the_commands_of_a_page_do_what_it_prints(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In one folder, with the files that the page has, and with real servers where it names them."""
    text = page.read_text("utf-8")
    addresses: dict[str, str] = {}
    if "localhost:6379" in text:
        addresses["redis://localhost:6379/0"] = request.getfixturevalue("redis_url")
    if "localhost:5672" in text:
        addresses["amqp://guest:guest@localhost:5672/"] = request.getfixturevalue("rabbitmq_url")
    with Terminal(tmp_path, addresses) as terminal:
        for block in blocks_of(text):
            if block.title:
                terminal.write(block.title, block.text)
            elif block.kind in ("console", "sh"):
                for command in commands_of(block):
                    if _why_not(command) is None:
                        problem = terminal.run(command)
                        assert not problem, problem
        missing = terminal.await_output()
        assert not missing, missing


@pytest.mark.parametrize(
    "page", [page for page in PAGES if 'title="test_' in page.read_text("utf-8")], ids=_name
)
def test_the_tests_of_a_page_pass(page: Path, tmp_path: Path) -> None:
    """With the handlers that stand beside them."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    for block in blocks_of(page.read_text("utf-8")):
        if block.title.endswith(".py"):
            (tmp_path / block.title).write_text(block.text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            ".",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(page, block, id=f"{_name(page)}-{block.title}") for page, block in _all_blocks("python")],
)
def test_a_program_of_a_page_is_complete(page: Path, block: Block, tmp_path: Path) -> None:
    """It can be imported with nothing beside it but the files of its page."""
    if "from examples." in block.text:
        pytest.skip(
            "the frameworks are in an environment of their own: see tests/examples/test_ai_frameworks.py"
        )
    for other in blocks_of(page.read_text("utf-8")):
        if other.title.endswith(".py"):
            (tmp_path / other.title).write_text(other.text)
    (tmp_path / "pasted.py").write_text(block.text)
    done = subprocess.run(
        [sys.executable, "-c", "import pasted"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(page, block, id=_name(page)) for page, block in _all_blocks("yaml")],
)
def test_a_configuration_of_a_page_is_valid(page: Path, block: Block, tmp_path: Path) -> None:
    """Each block that is not another file is a whole configuration, or the part of one that has no providers."""
    content = yaml.safe_load(block.text)
    if block.title not in ("", CONFIGURATION):
        assert content
        return
    path = tmp_path / CONFIGURATION
    path.write_text(block.text if "providers" in content else f"{block.text}\n{PROVIDERS}")
    for name in re.findall(r"schema: (\S+\.json)", block.text):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("{}")

    servers = {"REDIS_URL": "redis://localhost/0", "RABBITMQ_URL": "amqp://localhost/"} | {
        "REDIS_PASSWORD": "of-redis",
        "RABBITMQ_PASSWORD": "of-rabbitmq",
        "POSTGRES_URL": "postgresql://localhost/gateway",
        "OUTBOUND_KEY": base64.b64encode(bytes(32)).decode(),
    }
    assert load_config(path, servers, missing=lambda _: "0123456789abcdef0123456789abcdef").providers, page


@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(page, block, id=_name(page)) for page, block in _all_blocks("json", "toml")],
)
def test_data_of_a_page_can_be_read(page: Path, block: Block) -> None:
    """Examples of JSON and TOML are JSON and TOML."""
    read = json.loads if block.kind == "json" else tomllib.loads

    assert read(block.text), page


@pytest.mark.parametrize(
    ("page", "command"), [pytest.param(page, command, id=command.line[:60]) for page, command in COMMANDS]
)
def test_the_syntax_of_a_command_is_right(page: Path, command: Command) -> None:
    """Of those that are not run, too."""
    done = subprocess.run(["bash", "-n", "-c", command.line], capture_output=True, text=True, check=False)

    assert done.returncode == 0, (page, done.stderr)


def test_every_reason_not_to_run_a_command_is_needed() -> None:
    """A reason that no command has any more would hide a new one."""
    lines = [command.line for _, command in COMMANDS]

    assert [begin for begin in NOT_RUN if not any(re.match(begin, line) for line in lines)] == []


def test_printed_lines_are_found_in_order() -> None:
    """Other lines may be between them; … stands for any text."""
    output = "POST http://x\n  (12 bytes)\n202 accepted evt_1\n"

    assert is_printed(("POST http://x", "202 … evt_…"), output)
    assert not is_printed(("202 … evt_…", "POST http://x"), output)
    assert not is_printed(("200 … evt_…",), output)
    assert not is_printed(("accepted evt_1",), output)
