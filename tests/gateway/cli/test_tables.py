"""Tables on a terminal and in a pipe."""

from __future__ import annotations

import sys

import pytest

from gateway.cli.tables import print_table

ROWS = [("short", "a title", "[id] " + "x" * 200), ("a-longer-name", "", "urn:2")]


def test_a_piped_table_is_one_plain_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrapped, truncated, coloured or taken for markup, and there are no headings."""
    print_table(("name", "title", "id"), ROWS)

    assert capsys.readouterr().out.splitlines() == [
        "short          a title  [id] " + "x" * 200,
        "a-longer-name           urn:2",
    ]


def test_a_table_on_a_terminal_is_wrapped_and_complete(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are headings, and long cells go on in further lines."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_table(("name", "title", "id"), ROWS)
    printed = capsys.readouterr().out

    assert printed.split()[:3] == ["name", "title", "id"]
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert printed.count("x") == 200
