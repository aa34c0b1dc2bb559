"""The site for language models: each page as Markdown, an index of them (llms.txt), and most of them in one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_SECTIONS = {
    "get-started": "Get started",
    "how-to": "How-to guides",
    "reference": "Reference",
    "explanation": "Explanation",
    "project": "Project",
    "providers": "Optional",
}
"""The headings of llms.txt, by the first folder of a page. Readers may skip what is under *Optional*."""

_SENTENCE = re.compile(r"^(?![#|!`<>\-*]|\d\.)(\S.*?[.:])(?=\s|$)", re.MULTILINE | re.DOTALL)
_MAX_DESCRIPTION = 200


class _Text(NamedTuple):
    title: str
    markdown: str


_GOAL = re.compile(r"^\*\*Goal:\*\* (.*?)\n\n", re.MULTILINE | re.DOTALL)

_texts: dict[str, _Text] = {}


def order(paths: list[str]) -> None:
    """Write the pages in the order of ``paths``, which is that of the navigation."""
    _texts.clear()
    _texts.update((path, _Text(path, "")) for path in paths)


def remember(path: str, title: str, markdown: str) -> None:
    """Keep the final text of a page for :func:`write`."""
    _texts[path] = _Text(title, markdown)


def write(site: Path, name: str, description: str, url: str) -> None:
    """Write all remembered pages below ``site``."""
    for path, text in _texts.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.markdown, "utf-8")
    lines = [f"# {name}", "", f"> {description}"]
    for folder, heading in _SECTIONS.items():
        lines += ["", f"## {heading}", ""]
        lines += [
            f"- [{text.title}]({url}{path}): {_description(text.markdown)}"
            for path, text in _texts.items()
            if path.startswith(f"{folder}/")
        ]
    (site / "llms.txt").write_text("\n".join(lines) + "\n", "utf-8")
    whole = (text.markdown for path, text in _texts.items() if not path.startswith("providers/"))
    (site / "llms-full.txt").write_text("\n\n".join(whole), "utf-8")


def _description(markdown: str) -> str:
    found = _GOAL.search(markdown) or _SENTENCE.search(markdown)
    return " ".join(found[1].split())[:_MAX_DESCRIPTION] if found else ""
