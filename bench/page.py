"""Copies the tables of RESULTS.md into the pages that show them, so that they cannot disagree.

``python -m bench.page`` does so; ``make pages`` and each run that saves its results call it.
"""

from __future__ import annotations

import re

from bench.contenders import ROOT

RESULTS = ROOT / "bench/RESULTS.md"
PAGES = (ROOT / "docs/explanation/performance.md", ROOT / "README.md")
"""The pages that show results, between two comments."""

_SHOWN = ("64 connections", "Larger events", "Latency in ms", "Refusing a forgery", "Resident memory")
"""The first words of the titles of the tables on the page about performance."""

_SUMMARY_COLUMNS = ("", "events/s", "CPU", "\N{MULTIPLICATION SIGN} floor")
"""The columns of the table in the README."""

_BLOCK = re.compile(r"(<!-- (results|summary) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def refreshed(page: str, results: str) -> str:
    """Return ``page`` with the tables that are in ``results``."""
    blocks = {"results": _tables(results), "summary": _summary(results)}
    return _BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", page)


def refresh() -> None:
    """Write all pages anew."""
    results = RESULTS.read_text("utf-8")
    for path in PAGES:
        path.write_text(refreshed(path.read_text("utf-8"), results), "utf-8")


def _tables(results: str) -> str:
    origin = results.split("\n\n")[1]
    machine = re.findall(r"^- ((?:processor|Python|Redis|RabbitMQ|Node\.js): .*)$", results, re.MULTILINE)
    sections = [section for section in results.split("\n## ")[1:] if section.startswith(_SHOWN)]
    return "\n\n".join([f"{origin} {'; '.join(machine)}.", *(f"### {each.strip()}" for each in sections)])


def _summary(results: str) -> str:
    table = next(each for each in results.split("\n## ") if each.startswith(_SHOWN[0]))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    columns = [rows[0].index(name) for name in _SUMMARY_COLUMNS]
    return "\n".join(f"| {' | '.join(row[column] for column in columns)} |" for row in rows)


if __name__ == "__main__":
    refresh()
