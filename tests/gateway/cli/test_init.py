"""`gateway init`: what it writes for every adapter works, and it destroys nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.adapters import registry
from gateway.cli.init import run_init
from gateway.config import load_config
from gateway.devtools.provider_reference import adapter_names
from gateway.devtools.starter import config_for_dev, env_example, instructions, worker_py
from gateway.errors import OperatorError
from gateway.worker import Worker
from support.deliveries import parameters_of, secrets_of

FILES = ("config.yaml", ".env.example", "worker.py", ".gitignore")


def init(folder: Path, *names: str, url: str | None = None, force: bool = False) -> None:
    """Run the command."""
    run_init(names, folder, url, force=force)


def filled_in(name: str, example: str) -> dict[str, str]:
    """The variables of a .env.example with values that the adapter accepts."""
    variables = re.findall(r"^(\w+)=$", example, re.MULTILINE)
    parameters = {f"{name}_{key}".upper(): value for key, value in parameters_of(registry.load(name)).items()}
    return {each: parameters.get(each, secrets_of(name).receiver) for each in variables}


@pytest.mark.parametrize("name", adapter_names())
def test_what_is_written_for_an_adapter_works_once_it_is_filled_in(tmp_path: Path, name: str) -> None:
    """The example has every variable of the configuration; nothing else has to be changed."""
    init(tmp_path, name)

    config = load_config(tmp_path / "config.yaml", filled_in(name, (tmp_path / ".env.example").read_text()))

    assert list(config.providers) == [name]
    assert (tmp_path / "worker.py").read_text() == worker_py([name])


@pytest.mark.parametrize("name", adapter_names())
def test_the_operator_is_told_what_to_enter(name: str) -> None:
    """The steps name the URL and the secret, if there is one. Their lines fit a terminal."""
    lines = "\n".join(instructions(name, "https://hooks.example.org"))

    assert f"https://hooks.example.org/webhooks/{name}" in lines
    assert "  secret  " in lines
    assert "None" not in lines
    assert all(len(line) <= 100 for line in lines.splitlines() if "://" not in line)


def test_all_adapters_fit_into_one_project(tmp_path: Path) -> None:
    """Their variables have different names, and one worker takes the events of all."""
    names = adapter_names()
    environment = {
        each: value for name in names for each, value in filled_in(name, env_example([name])).items()
    }
    init(tmp_path, *names)
    names_of_worker: dict[str, object] = {}
    exec((tmp_path / "worker.py").read_text(), names_of_worker)
    worker = names_of_worker["worker"]

    assert list(load_config(tmp_path / "config.yaml", environment).providers) == names
    assert isinstance(worker, Worker)
    assert len(worker.events) == len(names)


def test_a_project_for_dev_needs_no_public_address() -> None:
    """`gateway dev` knows its own."""
    assert "public_url" not in config_for_dev(["twilio", "square"])


def test_the_address_is_used_where_it_is_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And printed, without a slash too many."""
    init(tmp_path, "twilio", url="https://hooks.example.org/")

    assert "public_url: https://hooks.example.org/webhooks/twilio\n" in (tmp_path / "config.yaml").read_text()
    assert "  URL     https://hooks.example.org/webhooks/twilio\n" in capsys.readouterr().out


@pytest.mark.parametrize("present", FILES[:3])
def test_nothing_is_overwritten_unless_that_is_wanted(tmp_path: Path, present: str) -> None:
    """Nor is another file written."""
    (tmp_path / present).write_text("mine")

    with pytest.raises(OperatorError, match=f"^{re.escape(present)} in .* would be overwritten; use --force"):
        init(tmp_path, "stripe")

    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text() == "mine"
    init(tmp_path, "stripe", force=True)
    assert (tmp_path / present).read_text() != "mine"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ".env\n/var/\n"),
        ("dist", "dist\n.env\n/var/\n"),
        (".env\n", ".env\n/var/\n"),
        (".env\nvar/\n", ".env\nvar/\n"),
    ],
)
def test_secrets_and_data_stay_out_of_version_control(tmp_path: Path, before: str | None, after: str) -> None:
    """A .gitignore that is there is completed, and keeps what it has."""
    if before is not None:
        (tmp_path / ".gitignore").write_text(before)

    init(tmp_path, "stripe")

    assert (tmp_path / ".gitignore").read_text() == after


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("strpe", "; did you mean stripe?"),
        ("teams", "; did you mean ms_teams_outgoing?"),
        ("hmac", "; `gateway providers` lists all. Describe any other in config.yaml with adapter hmac"),
        ("qqqqqqq", "; `gateway providers` lists all. Describe any other in config.yaml with adapter hmac"),
    ],
)
def test_a_near_miss_is_named(tmp_path: Path, name: str, hint: str) -> None:
    """And nothing is written."""
    with pytest.raises(OperatorError) as caught:
        init(tmp_path / "new", "stripe", name)

    assert str(caught.value) == f"there is no adapter {name!r}{hint}"
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_missing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the way there in the next steps."""
    init(tmp_path / "a b/c", "github")

    assert {path.name for path in (tmp_path / "a b/c").iterdir()} == set(FILES)
    assert f"  cd '{tmp_path}/a b/c'\n" in capsys.readouterr().out
