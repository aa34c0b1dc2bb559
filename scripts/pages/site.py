"""The pages of the site that no file holds: they are made from the program when the site is built."""

from __future__ import annotations

from functools import cache

from pages.commands import command_index, command_pages
from pages.providers import provider_pages
from pages.repository import root_page

PROJECT_PAGES = {
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/releasing.md": "RELEASING.md",
    "project/security.md": "SECURITY.md",
}
"""Pages of the site that are files in the root of the repository."""


@cache
def generated_pages() -> dict[str, str]:
    """Return all pages that no file holds, by their paths below docs/."""
    pages = {f"reference/cli/{name}.md": text for name, text in command_pages().items()}
    pages["reference/cli/index.md"] = command_index()
    pages |= {f"providers/{name}.md": text for name, text in provider_pages().items()}
    return pages | {path: root_page(name) for path, name in PROJECT_PAGES.items()}
