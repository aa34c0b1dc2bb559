"""The places of the repository, and the addresses under which readers of the site find its files."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCE = "https://github.com/webhook-gateway/webhook-gateway"
"""The repository's address, as in pyproject.toml."""

_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def with_outside_links(markdown: str, folder: str) -> str:
    """Return a page with its links to files outside of docs/ pointing to the repository's address.

    Args:
        markdown: The text of the page. Code in it stays as it is.
        folder: The folder of the page below the root of the repository, such as ``docs/reference``.
    """

    def mend(match: re.Match[str]) -> str:
        target = normpath(f"{folder}/{match[1]}")
        if target.startswith(("docs/", "../")):
            return match[0]
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        # The names of tests in links are for our own check; a blob has no such anchors.
        anchor = "" if target.endswith(".py") else match[2] or ""
        return f"]({SOURCE}/{kind}/main/{target}{anchor})"

    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(mend, part) for part in parts[::2]]
    return "".join(parts)


def root_page(name: str) -> str:
    """Return a page of the repository's root as a page of ``docs/project``, with its links rewritten."""
    markdown = (ROOT / name).read_text("utf-8")
    return with_outside_links(markdown, ".").replace("](docs/", "](../")
