"""Style and script: named after their content, kept for ever, and small."""

from __future__ import annotations

import gzip
import re

from support.console_pages import PagesConsole


def test_files_are_kept_for_ever_under_the_name_of_their_content(pages: PagesConsole) -> None:
    """Also by somebody who is not logged in: the login page needs them."""
    with pages.browser() as client:
        links = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/login").text)
        answers = [client.get(link) for link in links]

    assert {link.rpartition(".")[2] for link in links} == {"css", "svg"}
    assert all(re.search(r"\.[0-9a-f]{12}\.\w+$", link) for link in links)
    assert all("immutable" in answer.headers["cache-control"] for answer in answers)


def test_an_old_name_is_not_found(pages: PagesConsole) -> None:
    """It had another content."""
    with pages.browser() as client:
        answer = client.get("/static/console.000000000000.css")

    assert answer.status_code == 404


def test_the_first_view_is_small(pages: PagesConsole) -> None:
    """At most 60 KiB on the wire, 10 KiB of script before compression."""
    with pages.program("admin") as client:
        page = client.get("/", headers={"accept-encoding": "gzip"})
        links = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
        answers = {link: client.get(link) for link in links}

    sizes = {link: len(gzip.compress(answer.content)) for link, answer in answers.items()}
    assert {answer.headers["content-encoding"] for answer in answers.values()} == {"gzip"}
    assert len(gzip.compress(page.content)) + sum(sizes.values()) <= 60 * 1024
    assert sum(len(answer.content) for link, answer in answers.items() if link.endswith(".js")) <= 10 * 1024


def test_pages_with_secrets_are_not_compressed(pages: PagesConsole) -> None:
    """The length of a compressed page could tell what is in it."""
    with pages.program("admin") as client:
        made = client.post("/tokens", data={"name": "ci", "role": "viewer", "days": "30"})

    assert "content-encoding" not in made.headers
    assert re.search(r"whgw_[0-9a-f]{12}_", made.text)
