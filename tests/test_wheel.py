"""What is published: the wheel, and the source distribution that has to build the same wheel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from gateway import __version__
from support.gateway_process import Program, environment
from support.ports import free_port
from support.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BUILDER = ROOT / ".venv/build/bin/python"
"""The locked builder that `make` uses."""


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that `make` built and installed."""
    wheels = list((ROOT / "dist").glob("*.whl"))
    if not wheels:
        pytest.skip("there is no wheel in dist/: run 'make install'")
    (wheel,) = wheels
    return wheel


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, built from the tree and unpacked."""
    if not BUILDER.exists():
        pytest.skip(f"{BUILDER} is missing: run 'make install'")
    folder = tmp_path_factory.mktemp("sdist")
    _build("sdist", ROOT, folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        # Python 3.11.0 to 3.11.3 know no filters, and 3.12 wants one to be named.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(folder)
    return folder / archive.name.removesuffix(".tar.gz")


def _build(target: str, source: Path, output: Path) -> None:
    command = [str(BUILDER), "-m", "hatchling", "build", "--target", target, "--directory", str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def _contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def _files(folder: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    """A project that has a package `providers` or `schemas` of its own keeps it."""
    tops = {name.partition("/")[0] for name in _contents(wheel)}

    assert tops == {"gateway", f"agent_webhook_gateway-{__version__}.dist-info"}


def test_the_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    """Every module, provider and schema, and nothing else."""
    held = {name for name in _contents(wheel) if name.startswith("gateway/")}
    data = {f"gateway/data/{name}" for folder in ("providers", "schemas") for name in _files(folder)}

    assert held == _files("gateway") | data
    assert "gateway/py.typed" in held


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, unpacked_sdist: Path) -> None:
    """File by file, so that it does not matter from which of the two somebody installs."""
    _build("wheel", unpacked_sdist, unpacked_sdist / "dist")
    (rebuilt,) = (unpacked_sdist / "dist").glob("*.whl")

    assert _contents(rebuilt) == _contents(wheel)


def test_the_source_distribution_can_be_tested(unpacked_sdist: Path) -> None:
    """It holds all that `make test` reads, and none of the files that lie about in a working tree."""
    tops = {path.name for path in unpacked_sdist.iterdir()} - {"dist"}
    missing = {"Makefile", "bench", "docs", "examples", "gateway", "requirements", "scripts", "tests"} - tops

    assert not missing
    assert not tops & {".env", ".git", ".venv", "var"}
    assert os.access(unpacked_sdist / "scripts/create-venv", os.X_OK)


def test_an_installation_replaces_another_at_once(unpacked_sdist: Path, tmp_path: Path) -> None:
    """A gateway that runs keeps the files it was started from; commands find the new ones."""
    tree = tmp_path / "tree"
    shutil.copytree(unpacked_sdist, tree, ignore=shutil.ignore_patterns("tests", "docs", "dist"))
    venv = tree / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (venv / "build").symlink_to(BUILDER.parents[1])
    (site_packages,) = venv.glob("lib/python*/site-packages")

    def install() -> Path:
        script = tree / "scripts/install-wheel"
        subprocess.run([str(venv / "bin/python"), str(script)], cwd=tree, check=True)
        return Path((site_packages / "gateway.pth").read_text().strip())

    first = install()
    with (tree / "gateway/__init__.py").open("a") as module:
        module.write("IS_NEW = True\n")
    second = install()

    assert "IS_NEW" not in (first / "gateway/__init__.py").read_text()
    assert "IS_NEW" in (second / "gateway/__init__.py").read_text()
    assert "from gateway.cli import main" in (venv / "bin/gateway").read_text()
    assert install() == second
    assert len(list((tree / "dist").glob("*.whl"))) == 1


def test_the_version_stands_in_one_place() -> None:
    """The metadata of what is installed has it from the package, and so has `gateway --version`."""
    assert "version" in PROJECT["project"]["dynamic"]
    assert version("agent-webhook-gateway") == __version__


@pytest.fixture
def stranger(wheel: Path, tmp_path: Path) -> Program:
    """`gateway dev` from the wheel, in a folder with `providers/` and `schemas/` of its own, which can be imported; not started."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    with ZipFile(wheel) as packed:
        packed.extractall(site_packages)
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    project = tmp_path / "project"
    for name in ("providers", "schemas"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the project')\n")
    variables = {"PYTHONPATH": str(project)}
    program = Program(project, "-m", "gateway", "dev", "--port", str(free_port()), extra=variables)
    program.program = (str(venv / "bin/python"),)
    return program


def test_a_stranger_gets_from_the_wheel_to_a_worker(stranger: Program) -> None:
    """First sample event, own event, refused one with its reason, project, and worker; nothing is set, and nothing cloned."""

    def gateway(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*stranger.program, "-m", "gateway", *words],
            cwd=stranger.directory,
            env=stranger.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    (stranger.directory / "order.json").write_text('{"id": "order_1", "event": "order.created", "total": 3}')
    with stranger:
        stranger.wait_for("payment_intent.succeeded")
        own, spoiled = (
            gateway("send", "acme", "--file", "order.json"),
            gateway("send", "stripe", "--tamper", "body"),
        )
        stranger.wait_for("order_1")
        stranger.wait_for("signature_mismatch")
        assert (own.returncode, spoiled.returncode) == (0, 0)
        assert '202 {"status":"accepted","id":"order_1"}' in own.stdout
        assert "401 " in spoiled.stdout
        assert stranger.stop(signal.SIGINT) == 0
    begun = gateway("init", "stripe", "github")
    assert (begun.returncode, begun.stderr) == (0, "")
    worker = Program(
        stranger.directory, "-m", "gateway", "worker", "worker:worker", extra=stranger.environment
    )
    worker.program = stranger.program
    with stranger, worker:
        worker.wait_for("worker started")
        stranger.wait_for("pull_request.opened")
        worker.wait_for("github pull_request.opened ")
        worker.wait_for("stripe payment_intent.succeeded ")


def test_it_works_beside_packages_of_the_same_names_as_its_data(tmp_path: Path) -> None:
    """In a project with `providers/` and `schemas/` of its own, even where they can be imported."""
    for name in ("providers", "schemas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the project')\n")
    (tmp_path / "schemas/invoice.json").write_text("{}")
    (tmp_path / "config.yaml").write_text(
        "providers: {stripe: {adapter: stripe, secrets: ['whsec_0123456789abcdef0123456789abcdef']}}\n"
    )
    outputs = {}
    for words in (["check"], ["providers"], ["schemas", "show", "stripe", "invoice.paid"]):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words],  # which puts the working directory on the path as well
            cwd=tmp_path,
            env=environment({"PYTHONPATH": str(tmp_path)}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs[words[0]] = done.stdout

    assert "stripe" in outputs["providers"]
    assert '"$schema"' in outputs["schemas"]


def test_the_image_is_built_from_all_that_the_wheel_is_built_from() -> None:
    """The first stage of the Dockerfile copies each file that the build asks for, and .dockerignore lets it pass."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    stage = (ROOT / "Dockerfile").read_text("utf-8").partition("\nFROM")[2].partition("\nFROM")[0]
    copied = {word for line in stage.splitlines() if line.startswith("COPY ") for word in line.split()[1:-1]}
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }

    assert needed <= copied
    assert needed <= allowed
