"""``make oracles``: let the senders' own libraries judge what we sign, and verify what they sign.

Installs them into environments of their own below the folder that is named, asks them, and writes
``recorded.json``: every answer, with the request that it was about. The tests replay that file, so that the
libraries themselves are needed only to record.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.samples import load_sample, sample_names
from gateway.simulator import Simulator
from oracles.cases import MATERIAL, Material
from providers import registry

HERE = Path(__file__).resolve().parent
RECORD = HERE / "recorded.json"
URL = "https://hooks.example.com/webhooks/in"

Job = dict[str, Any]


def main(folder: Path) -> int:
    """Ask all libraries and write down what they say; 1 when one of them disagrees with us."""
    programs = [_pypi(folder / "pypi"), _npm(folder / "npm")]
    recorded: list[dict[str, Any]] = []
    for program in programs:
        known = _ask(program, None)
        recorded += _judged(program, known["verify"])
        recorded += _signed(program, known["sign"])
    recorded.sort(key=lambda entry: (entry["adapter"], entry["by"], entry["signed_by"]))
    RECORD.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", "utf-8")
    wrong = [entry for entry in recorded if entry["disagreement"]]
    for entry in wrong:
        print(f"{entry['adapter']}: {entry['by']}: {entry['disagreement']}")
    print(f"{len(recorded)} answers of libraries about {len({entry['adapter'] for entry in recorded})} adapters")
    return 1 if wrong else 0


def _judged(program: Sequence[str], adapters: Iterable[str]) -> list[dict[str, Any]]:
    """What we sign, and what is tampered with, before their verifiers."""
    jobs, tampered = [], []
    for name in adapters:
        if name in registry.names():
            job = _job(name)
            jobs.append(job)
            tampered.append(job | {"body": _tamper(job)})
    verdicts = _ask(program, {"verify": jobs + tampered, "sign": []})["verify"]
    entries = []
    for job, good, bad in zip(jobs, verdicts, verdicts[len(jobs) :], strict=False):
        disagreement = None
        if good["refused"] is not None:
            disagreement = f"refuses what we sign: {good['refused']}"
        elif bad["refused"] is None and registry.load(job["adapter"]).spec.signature.is_body_bound:
            disagreement = "accepts another body"
        entries.append(_entry(job, good["by"], "us", disagreement))
    return entries


def _signed(program: Sequence[str], adapters: Iterable[str]) -> list[dict[str, Any]]:
    """What they sign, to be verified by us in every run of the tests."""
    jobs = [_job(name, is_signed=False) for name in adapters if name in registry.names()]
    entries = []
    for job, made in zip(jobs, _ask(program, {"verify": [], "sign": jobs})["sign"], strict=True):
        signed = job | {"headers": job["headers"] | made["headers"], "body": made["body"]}
        entries.append(_entry(signed | {"now": time.time()}, made["by"], "them", None))
    return entries


def _job(name: str, *, is_signed: bool = True) -> Job:
    """A request of an adapter's first sample."""
    adapter, material = registry.load(name), MATERIAL.get(name, Material())
    pair = material.secrets or adapter.spec.signature.make_secret()
    sample = load_sample(adapter, material.sample if material.sample in sample_names(name) else None)
    now = time.time()
    request = Simulator(adapter, pair.sender, material.url or URL, sample).make(now)
    added = set() if is_signed else set(request.headers) - {"Content-Type", *sample.headers}
    return {
        "adapter": name,
        "method": "POST",
        "url": request.url,
        "headers": {field: value for field, value in request.headers.items() if field not in added},
        "body": base64.b64encode(request.body if is_signed else sample.body).decode(),
        "secret": material.theirs(pair),
        "parameters": dict(material.parameters),
        "now": now,
        "ours": pair.receiver,
    }


def _tamper(job: Job) -> str:
    body = base64.b64decode(job["body"])
    changed = body.replace(b"1", b"2", 1) if b"1" in body else body.replace(b"e", b"a", 1)
    return base64.b64encode(changed).decode()


def _entry(job: Job, by: str, signed_by: str, disagreement: str | None) -> dict[str, Any]:
    return {
        "adapter": job["adapter"],
        "by": by,
        "signed_by": signed_by,
        "disagreement": disagreement,
        "method": job["method"],
        "url": job["url"],
        "headers": job["headers"],
        "body": job["body"],
        "secret": job["ours"],
        "parameters": job["parameters"],
        "now": job["now"],
    }


def _ask(program: Sequence[str], jobs: Mapping[str, Any] | None) -> dict[str, Any]:
    asked = "" if jobs is None else json.dumps(jobs)
    folder, *command = program
    done = subprocess.run(command, cwd=folder, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[-1]} failed:\n{done.stderr}")
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def _pypi(folder: Path) -> list[str]:
    """The environment with the Python libraries; their requirements contradict each other, and are overruled."""
    python = folder / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "uv")
        requirements, overrides = HERE / "pypi.txt", HERE / "pypi-overrides.txt"
        uv = str(folder / "bin" / "uv")
        _run(
            uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(requirements),
            "--override", str(overrides),
        )  # fmt: skip
    return [str(folder), str(python), "-W", "ignore", str(HERE / "pypi.py")]


def _npm(folder: Path) -> list[str]:
    """The folder with the JavaScript libraries."""
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        packages = (HERE / "npm.txt").read_text("utf-8").split()
        (folder / "package.json").write_text('{"private": true}')
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)
    return [str(folder), "node", str(HERE / "npm.mjs")]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
