"""Apply every patch to a copy of the product, one at a time, and see that its test fails."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from sabotage.patch import ROOT, Patch, StalePatchError
from sabotage.patches_console import CONSOLE
from sabotage.patches_gateway import GATEWAY
from sabotage.patches_outbound import OUTBOUND
from sabotage.patches_security import SECURITY
from sabotage.patches_workers import WORKERS

PATCHES = CONSOLE + GATEWAY + OUTBOUND + SECURITY + WORKERS
_COPIED = (
    "gateway",
    "providers",
    "schemas",
    "tests",
    "docs",
    "examples",
    "config.yaml",
    "pyproject.toml",
    "README.md",
)
_LONGEST = 300  # seconds
_PASSED, _FAILED = 0, 1  # what pytest ends with
_TAIL = 3_000
_PROGRAM = """\
#!{python}
import sys

sys.path.insert(0, {root!r})
sys.dont_write_bytecode = True

from gateway.cli import main

main()
"""


def main(arguments: Sequence[str]) -> int:
    """Run the patches that the command line asks for; 1 when one survives."""
    parser = argparse.ArgumentParser(
        prog="python -m sabotage",
        description="Break the product in many ways, one at a time, and see that a test notices each.",
    )
    parser.add_argument("words", nargs="*", help="only the patches with one of these words in their title")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="how many at once (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    patches = [
        patch for patch in PATCHES if not options.words or any(word in patch.title for word in options.words)
    ]
    try:
        for patch in patches:
            patch.check(ROOT)
    except StalePatchError as error:
        print(str(error))
        return 2
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copies.put(_copy(Path(folder) / str(number)))
        return _run(patches, copies, options.jobs)


def _run(patches: Sequence[Patch], copies: SimpleQueue[Path], jobs: int) -> int:
    root = copies.get()
    code, output = _test(root, *sorted({patch.test for patch in patches}))
    copies.put(root)
    if code != _PASSED:
        print(f"The tests do not pass without a patch:\n{output}")
        return 2

    def attempt(patch: Patch) -> bool:
        root, began = copies.get(), time.monotonic()
        before = patch.apply(root)
        try:
            code, output = _test(root, "-x", patch.test)
        finally:
            (root / patch.file).write_text(before, "utf-8")
            copies.put(root)
        # Else no test ran, as when it is skipped, or the product cannot be started any more: that proves nothing.
        is_caught = code == _FAILED and "\nFAILED " in output
        has_passed = code == _PASSED and " skipped" not in output
        verdict = "caught  " if is_caught else "SURVIVED" if has_passed else "NO TEST "
        print(f"{verdict} {time.monotonic() - began:5.1f} s  {patch.title}\n{' ' * 18}{patch.test}")
        if verdict == "NO TEST ":
            print(output)
        return is_caught

    with ThreadPoolExecutor(jobs) as pool:
        verdicts = list(pool.map(attempt, patches))
    print(f"{sum(verdicts)} of {len(verdicts)} patches were caught")
    return 0 if all(verdicts) else 1


def _copy(target: Path) -> Path:
    target.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    _pretend_installed(target)
    return target


def _pretend_installed(target: Path) -> None:
    """Give the copy an interpreter, beside which tests find the copy's program ``gateway``."""
    environment, programs = Path(sys.prefix), target / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(Path(sys.executable).resolve())
    (target / "lib").symlink_to(environment / "lib")
    shutil.copy2(environment / "pyvenv.cfg", target)
    program = programs / "gateway"
    program.write_text(_PROGRAM.format(python=programs / "python", root=str(target)), "utf-8")
    program.chmod(0o755)


def _test(root: Path, *arguments: str) -> tuple[int, str]:
    """Run tests against the copy at ``root``, which comes before what is installed."""
    # Two writes within one second can leave a file as old and as long as before: no byte code is kept of it.
    extra = {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [root / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments],
        cwd=root,
        env=os.environ | extra,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_LONGEST,
        check=False,
    )
    return done.returncode, done.stdout[-_TAIL:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
