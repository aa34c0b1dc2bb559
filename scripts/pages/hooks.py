"""Hooks for MkDocs: they add the generated pages, rewrite links, put diagrams into pages, and write llms.txt.

Nothing here needs the network, and a page that would load anything from another host fails the build.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]  # the program of the working tree, and this package

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.nav import Navigation  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from pages import llms  # noqa: E402
from pages.commands import command_panels  # noqa: E402
from pages.providers import categories, provider_index  # noqa: E402
from pages.repository import DOCS, with_outside_links  # noqa: E402
from pages.site import generated_pages  # noqa: E402

_DIAGRAM = re.compile(r"^!\[([^\]]*)\]\((?:\.\./)*assets/([\w-]+\.svg)\)$", re.MULTILINE)
_FOREIGN = re.compile(
    rb"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//|<link[^>]*rel=["']?(?:stylesheet|preload|icon|preconnect)[^>]*https?://"""
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the two sections of the navigation that are generated: commands and providers."""
    for section in config.nav or []:
        for title, entries in section.items():
            if title == "Providers":
                entries += [
                    {category: [f"providers/{name}.md" for name in names]}
                    for category, names in categories().items()
                ]
            if title == "Reference":
                entries[0] = {"Command line": ["reference/cli/index.md", *_commands()]}
    return config


def _commands() -> list[str]:
    return [f"reference/cli/{name}.md" for names in command_panels().values() for name in names]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_nav(nav: Navigation, **_: object) -> Navigation:
    """Keep the order of the pages for llms.txt."""
    llms.order([page.file.src_uri for page in nav.pages])
    return nav


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill in the index of the providers and the diagrams, and rewrite links to files outside of docs/."""
    path = page.file.src_uri
    if path == "index.md":
        page.meta["hide"] = ["navigation", "toc"]
    if path == "providers/index.md":
        markdown = markdown.replace("<!-- providers -->", provider_index())
    if not page.file.generated_by:
        markdown = with_outside_links(markdown, f"docs/{path}".rpartition("/")[0])
    llms.remember(path, page.title or path, markdown)
    return _DIAGRAM.sub(_diagram, markdown)


def _diagram(match: re.Match[str]) -> str:
    """Return a diagram as part of the page, so that it takes the colours of the page."""
    svg = (DOCS / "assets" / match[2]).read_text("utf-8")
    return f'<figure class="diagram" role="img" aria-label="{match[1]}">{" ".join(svg.split())}</figure>'


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Refuse a page that loads something from another host.

    Raises:
        PluginError: The page does.
    """
    if found := _FOREIGN.search(output.encode()):
        raise PluginError(f"{page.file.src_uri} loads from another host: {found[0].decode()}")
    return output


def on_post_build(config: MkDocsConfig, **_: object) -> None:
    """Write the pages as Markdown, llms.txt and llms-full.txt."""
    llms.write(Path(config.site_dir), config.site_name, config.site_description or "", config.site_url or "")
