"""``make oracles``: let the senders' own libraries judge our signatures, and verify theirs.

It installs the libraries into separate environments below the given folder, calls them, and writes ``recorded.json``: each
request that both sides accept, with the names of the libraries. The tests replay that file, so that only recording needs
the libraries.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.adapters import registry
from gateway.signatures.secrets import SecretPair
from oracles.cases import Case, extras, signed, unsigned
from oracles.outbound import record_outbound
from oracles.programs import Asked, Program, install_npm, install_pypi

RECORD = Path(__file__).resolve().parent / "recorded.json"


class Record:
    """The verdicts of both sides.

    Attributes:
        entries: the requests that one side signed and the other accepted.
        disagreements: the number of different verdicts.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.disagreements = 0

    def judge(self, programs: list[Program]) -> None:
        """Pass our signatures to the verifiers of the programs, and tampered requests to both sides."""
        for name in sorted({name for program in programs for name in program.verifies}):
            pair, other = _secrets(name), _secrets(name)
            good = Asked(signed(name, pair, time.time()), extras(pair))
            bad = {"another secret": Asked(replace(good.case, secret=other.receiver), extras(other))}
            if spoiled := good.case.spoiled():
                bad["another body"] = Asked(spoiled, extras(pair))
            self._compare(good.case, "we", [(each.case.refusal()) for each in [good, *bad.values()]], bad)
            accepted_by = []
            for program in programs:
                if name in program.verifies:
                    by, *refusals = program.verify([good, *bad.values()])
                    if self._compare(good.case, by, refusals, bad):
                        accepted_by.append(by)
            if accepted_by:
                self._add(good.case, "us", accepted_by)

    def sign(self, program: Program) -> None:
        """Pass the signatures of a program to our verifier."""
        for name in program.signs:
            pair = _secrets(name)
            by, case = program.sign(Asked(unsigned(name, pair, time.time()), extras(pair)))
            if refusal := case.refusal():
                self._differ(case, f"we refuse what {by} signs: {refusal}")
            else:
                self._add(case, by, ["us"])

    def _compare(self, case: Case, by: str, refusals: list[str | None], bad: dict[str, Asked]) -> bool:
        """Whether all is as it should be."""
        good, *others = refusals
        found = [f"refuses what we sign: {good}"] if good else []
        found += [f"accepts {what}" for what, refusal in zip(bad, others, strict=True) if refusal is None]
        for what in found:
            self._differ(case, f"{by} {what}")
        return not found

    def _differ(self, case: Case, what: str) -> None:
        print(f"{case.adapter}: {what}", flush=True)
        self.disagreements += 1

    def _add(self, case: Case, signed_by: str, accepted_by: list[str]) -> None:
        self.entries.append(asdict(case) | {"signed_by": signed_by, "accepted_by": accepted_by})


def main(folder: Path) -> int:
    """Ask all libraries and write down what they say; 1 when one of them disagrees with us."""
    programs = [install_pypi(folder / "pypi"), install_npm(folder / "npm")]
    record = Record()
    record.judge(programs)
    for program in programs:
        record.sign(program)
    record.entries.sort(key=lambda entry: (entry["adapter"], entry["signed_by"]))
    text = json.dumps(record.entries, indent=1, sort_keys=True, ensure_ascii=False)
    RECORD.write_text(text + "\n", "utf-8")
    record.disagreements += record_outbound(programs)
    adapters = {entry["adapter"] for entry in record.entries}
    print(f"{len(adapters)} adapters are proven by a library; {record.disagreements} disagreements")
    return 1 if record.disagreements else 0


def _secrets(name: str) -> SecretPair:
    return registry.load(name).spec.signature.make_secret()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
