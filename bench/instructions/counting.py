"""Runs the script under valgrind, and reads what that has counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.instructions.cases import CASES, WIDTHS
from bench.instructions.marks import is_supported
from bench.instructions.plan import difference
from bench.packed_claims import use_few_hashes
from support.redis_server import RedisServer

_HASH_BITS = 5
"""The bits that choose the hash of a claim: so few that the warm-up writes to each, and none needs upkeep when it is counted."""

ROOT = Path(__file__).resolve().parents[2]

GROUPS = (
    ("floor", "accepted GitHub", "accepted Stripe", "duplicate"),
    ("floor 20 KB", "accepted 20 KB", "forged"),
)
"""The cases of each of two processes, which run side by side and take about equally long."""

_TIMEOUT = 600.0
"""Seconds that one process may take; on a machine that does nothing else it takes half a minute."""

_LAUNCH = """
import runpy, sys
sys.path.append(sys.argv.pop(1))  # last, so that `gateway` is the installed one and not the source tree
runpy.run_module("bench.instructions.script", run_name="__main__", alter_sys=True)
"""

_POSITION = re.compile(rb"(?:fn|cfn)=\((\d+)\)(?: (.+))?")


@dataclass(frozen=True, slots=True)
class Count:
    """The instructions of one case.

    Attributes:
        case: The name of the case.
        width: How many requests arrive in one turn of the loop.
        instructions: Instructions for each request.
        functions: Instructions for each request that were spent in each C function.
    """

    case: str
    width: int
    instructions: float
    functions: Counter[str]


def count(folder: Path, cases: Sequence[str] = tuple(CASES)) -> list[Count]:
    """Count the instructions of ``cases``, in the order in which they are listed.

    Raises:
        RuntimeError: The script failed.
    """
    groups = [[name for name in group if name in cases] for group in GROUPS]
    with RedisServer() as server, ThreadPoolExecutor(len(GROUPS)) as threads:
        use_few_hashes(server.url, _HASH_BITS)
        runs = [
            threads.submit(_count_group, folder / str(number), server.port, group)
            for number, group in enumerate(groups)
            if group
        ]
        counts = [each for run in runs for each in run.result()]
    order = list(CASES)
    return sorted(counts, key=lambda each: (order.index(each.case), each.width))


def unavailable_reason() -> str:
    """Return why nothing can be counted on this machine; empty if it can."""
    if not is_supported():
        return "the marks between the counts are written for Linux on x86-64"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    return ""


def _count_group(folder: Path, redis_port: int, names: Sequence[str]) -> list[Count]:
    folder.mkdir(parents=True)
    _run(folder, [], redis_port, names)
    shutil.rmtree(folder / "data")
    options = ("--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'callgrind'}")
    _run(folder, ["valgrind", *options], None, names)
    counts = []
    for number, (name, width) in enumerate((name, width) for name in names for width in WIDTHS):
        first, second = (_functions(folder / f"callgrind.{2 * number + part}") for part in (1, 2))
        requests = difference(width)
        functions = {name: (second[name] - first[name]) / requests for name in second}
        counts.append(Count(name, width, sum(functions.values()), Counter(functions)))
    return counts


def _run(folder: Path, launcher: Sequence[str], redis_port: int | None, names: Sequence[str]) -> None:
    """Run the script, whose output are the gateway's log lines, into a regular file."""
    command = [
        *launcher,
        sys.executable,
        "-P",
        "-c",
        _LAUNCH,
        str(ROOT),
        str(folder),
        str(redis_port or ""),
        *names,
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV_"))}
    environment |= {"PYTHONHASHSEED": "0"}
    with (folder / "log").open("wb") as log, (folder / "errors").open("w+b") as errors:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=errors, timeout=_TIMEOUT, check=False
        )
        if done.returncode:
            errors.seek(0)
            raise RuntimeError(errors.read().decode(errors="replace"))


def _functions(path: Path) -> dict[str, int]:
    """Return the instructions spent in each function itself, from a file in callgrind's format."""
    names: dict[bytes, str] = {}
    found: Counter[str] = Counter()
    for name, cost in _costs(path.read_bytes().splitlines(), names):
        found[name] += cost
    return found


def _costs(lines: Sequence[bytes], names: dict[bytes, str]) -> Iterator[tuple[str, int]]:
    function, is_call = "", False
    for line in lines:
        if match := _POSITION.match(line):
            number, name = match.groups()
            if name:
                names[number] = name.decode(errors="replace")
            if line.startswith(b"fn="):
                function = names[number]
        elif line.startswith(b"calls="):
            is_call = True  # the next line has the cost of the function that is called
        elif line[:1] in b"+-*0123456789" and line:
            if not is_call:
                yield function, int(line.split()[1])
            is_call = False
