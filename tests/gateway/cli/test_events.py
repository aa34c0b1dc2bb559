"""`gateway events`, `status` and `secrets` as an operator meets them: text, JSON, exit codes, hostile ids."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from gateway.backends import open_journal
from gateway.cli.entry_lines import fitted_lines, plain_line
from gateway.cli.main import app
from gateway.config import Config, load_config
from gateway.errors import OperatorError
from gateway.journal import JOURNAL_FOLDER
from gateway.journal.entry import Kind
from gateway.journal.fingerprints import Fingerprints
from gateway.journal.raw import raw_folder
from gateway.journal.secret_history import FILE_NAME
from gateway.observability.terminal import cell_width
from support.journal_entries import NOON, Story
from support.letter_queues import DEAD, FAILED, embedded, event
from support.ports import free_port
from support.terminal import Terminal

HOSTILE = "evt_\x1b[2J\u202e</script>\n2026-11-30T12:00:00Z  stripe  fake"
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_NfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class Place:
    """A folder with a configuration, and a journal in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        providers = {
            "stripe": {"adapter": "stripe", "secrets": list(SECRETS)},
            "github": {"adapter": "github", "secrets": ["q8s7d6f5g4h3j2k1l0a9s8d7f6g5h4j3"]},
        }
        server = {"bind": f"127.0.0.1:{free_port()}", "admin_bind": f"127.0.0.1:{free_port()}"}
        self.document: dict[str, Any] = {
            "data_dir": str(folder / "var"),
            "server": server,
            "providers": providers,
        }
        self.write()

    def write(self, **sections: Any) -> None:
        """Write the configuration, with further sections."""
        self.path.write_text(yaml.safe_dump(self.document | sections, sort_keys=False))

    @property
    def path(self) -> Path:
        """The configuration file."""
        return self.folder / "config.yaml"

    @property
    def config(self) -> Config:
        """The configuration."""
        return load_config(self.path)

    def add(self, *stories: Story) -> None:
        """Put stories into the journal."""
        journal = open_journal(self.config, writable=True)
        for story in stories:
            journal.append(story.entries)
        journal.close()

    def run(self, *words: str) -> Result:
        """Run a command; a mistake of the operator is raised."""
        return CliRunner().invoke(app, [*words, "-c", str(self.path)], catch_exceptions=False)

    def lines(self, *words: str) -> list[dict[str, Any]]:
        """Run a command with --json, and return its objects."""
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty journal."""
    return Place(tmp_path)


def _story(event_id: str = "evt_1", provider: str = "stripe", ago: float = 60.0) -> Story:
    story = Story(event_id, provider, at=time.time() - ago)
    story.received(summary="Stripe: invoice in_1 paid", subject="in_1")
    story.attempt("handled", 2, after=3)
    return story


def test_list_prints_the_newest_first(place: Place) -> None:
    """One line each in a pipe, with everything that a program may cut out."""
    place.add(_story())

    done = place.run("events", "list")

    lines = done.stdout.splitlines()
    assert lines[0].endswith("  stripe  invoice.paid  evt_1  billing-agent: handled, attempt 2")
    assert lines[1].endswith("  stripe  invoice.paid  evt_1  accepted, 202, 12 ms  Stripe: invoice in_1 paid")
    assert done.stderr == "2 entries; there are no more.\n"


def test_list_of_an_empty_journal(place: Place) -> None:
    """Says that nobody is to blame, and makes no file."""
    done = place.run("events", "list")

    assert (done.exit_code, done.stdout) == (0, "")
    assert "The journal is empty" in done.stderr
    assert not (place.folder / "var").exists()


def test_list_selects_by_query_and_options(place: Place) -> None:
    """Both at once."""
    place.add(_story(), _story("evt_2", "github"), _story("evt_3", ago=10_000))

    assert [
        each["event_id"] for each in place.lines("events", "list", "-q", "outcome:accepted", "--since", "1h")
    ] == [
        "evt_2",
        "evt_1",
    ]
    assert [each["event_id"] for each in place.lines("events", "list", "-p", "github", "-n", "1")] == [
        "evt_2"
    ]
    assert len(place.lines("events", "list", "-q", "in_1")) == 3
    assert len(place.lines("events", "list", "in_1", "provider:stripe", "-q", "outcome:accepted")) == 2


def test_list_says_what_to_drop(place: Place) -> None:
    """If nothing matches."""
    place.add(_story())

    done = place.run("events", "list", "type:invoice.*", "outcome:dead")

    assert done.stderr.splitlines() == [
        "Nothing matches type:invoice.* outcome:dead.",
        "Without outcome: 2 (type:invoice.*)",
    ]


def test_list_goes_on_where_a_page_ends(place: Place) -> None:
    """More than are read at a time."""
    story = Story(at=time.time() - 100)
    for number in range(1, 701):
        story.attempt("retried", number, after=0.01)
    place.add(story)

    done = place.run("events", "list", "-n", "650")

    assert len(done.stdout.splitlines()) == 650
    assert done.stderr == "650 entries; there are more: raise --limit.\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-q", "provder:x"), "did you mean provider:?"),
        (("--since", "yesterday"), "is not a time"),
        (("-q", "since:1h", "--since", "2h"), "since: is in the query, and --since is given"),
    ],
)
def test_list_explains_mistakes(place: Place, words: tuple[str, ...], expected: str) -> None:
    """As invalid usage, with exit code 2."""
    done = place.run("events", "list", *words)

    assert done.exit_code == 2
    assert expected in " ".join(done.stderr.split())


def test_an_unknown_provider_is_guessed(place: Place) -> None:
    """In every command that takes one."""
    for words in (("list",), ("show", "evt_1"), ("tail",)):
        with pytest.raises(OperatorError, match="did you mean 'stripe'"):
            place.run("events", *words, "-p", "strip")


def test_a_journal_that_is_off(place: Place) -> None:
    """Is said to be."""
    place.write(journal={"enabled": False})

    with pytest.raises(OperatorError, match=r"journal\.enabled is false"):
        place.run("events", "list")


def test_show_tells_the_whole_story(place: Place) -> None:
    """And its parts as JSON."""
    place.add(_story())

    text = place.run("events", "show", "evt_1")
    (found,) = place.lines("events", "show", "evt_1")

    assert text.exit_code == 0
    assert "✓ Handled by billing-agent at the second attempt, 3 s after it was received." in text.stdout
    assert "subject       in_1" in text.stdout
    assert "Note: The journal has no entry of 1 further attempt of billing-agent." in text.stdout
    assert (found["found"], found["state"], len(found["steps"])) == (True, "handled", 2)
    assert found["steps"][0]["entries"][0]["outcome"] == "accepted"
    assert found["first_at"].endswith("Z")


def test_show_of_an_unknown_event(place: Place) -> None:
    """Exit code 1, and all that is known around it."""
    place.add(_story())

    text = place.run("events", "show", "evt_9", "-p", "stripe", "--around", "10m")
    found = json.loads(place.run("events", "show", "evt_9", "--json").stdout)

    assert text.exit_code == 1
    assert "✗ The journal has no entry of this event of Stripe." in text.stdout
    assert "The last event of Stripe came" in text.stdout
    assert found["found"] is False
    assert found["providers"][0]["claim"] == "none"


async def test_show_prints_the_payload(place: Place) -> None:
    """Whole, or its shape; looking is reported."""
    raw_folder(place.folder / "var").mkdir(parents=True)  # as a gateway makes it that runs here
    async with embedded(place.folder / "var") as broker:
        await broker.declare(DEAD)
        await broker.put(DEAD, event(1, '{"email": "ada@example.com"}', provider="stripe"), FAILED)
        story = Story("id-1", at=time.time() - 60)
        story.received()
        story.attempt("dead", 8)
        place.add(story)

    shape = await asyncio.to_thread(place.run, "events", "show", "id-1", "--shape")
    whole = await asyncio.to_thread(place.run, "events", "show", "id-1", "--payload")
    viewed = await asyncio.to_thread(place.lines, "events", "list", "-q", "outcome:viewed")

    assert '"email": "<string, 15>"' in shape.stdout
    assert "ada@example.com" not in shape.stdout
    assert '"email": "ada@example.com"' in whole.stdout
    assert [each["event_id"] for each in viewed] == ["id-1"]


def test_show_of_a_payload_that_is_gone(place: Place) -> None:
    """The timeline is shown all the same."""
    place.add(_story())

    with pytest.raises(OperatorError, match="in none of the places"):
        place.run("events", "show", "evt_1", "--payload")


def test_hostile_text_is_escaped_everywhere(place: Place) -> None:
    """No escape reaches the terminal, and no line can be forged."""
    story = Story(HOSTILE, at=time.time() - 60)
    story.received(summary=HOSTILE, subject=HOSTILE, account=HOSTILE, type=HOSTILE, detail=HOSTILE)
    story.attempt("retried", 1, queue=HOSTILE, reason=HOSTILE, detail=HOSTILE)
    story.action("dropped", actor=HOSTILE, queue=HOSTILE)
    place.add(story)

    outputs = [
        place.run(*words).output
        for words in (
            ("events", "list"),
            ("events", "show", HOSTILE),
            ("events", "show", HOSTILE + "x"),
            ("events", "list", "-q", f'reason:"{HOSTILE}" outcome:nothing'),
        )
    ]

    for output in outputs:
        assert not {"\x1b", "\u202e", "\r"} & set(output)
    assert len(outputs[0].splitlines()) == 4


def test_on_a_terminal_lines_fit(place: Place) -> None:
    """In colour, at any width; text in a pipe is neither cut nor coloured."""
    place.add(_story("evt_" + "x" * 60), _story())
    for columns in (30, 40, 80, 200):
        with Terminal("events", "list", "-c", str(place.path), cwd=place.folder, columns=columns) as terminal:
            terminal.wait_for("no more")
            shown = terminal.lines
        assert all(cell_width(line) <= columns for line in shown if "entries" not in line), shown


@pytest.mark.parametrize("columns", [1, 10, 30, 40, 69, 70, 80, 120, 300])
@pytest.mark.parametrize("event_id", ["evt_1", "", "x" * 200, "日本" * 40, HOSTILE])
def test_entries_fit_any_width(columns: int, event_id: str) -> None:
    """Wide characters count twice."""
    story = Story(event_id)
    story.received(summary="ja 日本 " * 20)

    for entry in story.entries:
        lines = fitted_lines(entry, max(columns, 20), color=False, now=NOON).splitlines()
        assert all(cell_width(line) <= max(columns, 20) for line in lines)
        assert "\n" not in plain_line(entry)


def test_colours_are_left_out(place: Place) -> None:
    """NO_COLOR on a terminal."""
    place.add(_story())
    shown = []
    for variables in ({}, {"NO_COLOR": "1"}):
        words = ("events", "list", "-c", str(place.path))
        with Terminal(*words, cwd=place.folder, extra=variables) as terminal:
            terminal.wait_for("no more")
            shown.append(terminal.output)

    assert "\x1b[32m" in shown[0]
    assert "\x1b[" not in shown[1]


def test_tail_follows_what_comes(place: Place) -> None:
    """First what was there, then what is added; Ctrl-C ends it."""
    place.add(_story())
    with Terminal(
        "events", "tail", "-c", str(place.path), "-q", "kind:received", cwd=place.folder
    ) as terminal:
        terminal.wait_for("evt_1")
        terminal.wait_for("Press Ctrl-C to stop")
        place.add(_story("evt_2", ago=0))
        terminal.wait_for("evt_2")
        refused = Story("", at=time.time())
        refused.add(Kind.RECEIVED, "invalid_signature", type="", reason="signature_mismatch", status=401)
        place.add(refused)
        terminal.wait_for("invalid signature: signature mismatch")
        assert terminal.stop() == 0


def test_status_without_a_gateway(place: Place) -> None:
    """Exit code 1, and what to do."""
    place.add(_story())

    text = place.run("status")
    (found,) = place.lines("status")

    assert text.exit_code == 1
    assert text.stdout.startswith("✗ No gateway answers at http://127.0.0.1:")
    assert "journal       embedded: 2 entries since" in text.stdout
    assert found["problems"][0]["part"] == "processes"
    assert found["processes"]["is_running"] is False


async def test_status_has_the_queues(place: Place) -> None:
    """In columns; on a narrow terminal, each as a line."""
    async with embedded(place.folder / "var") as broker:
        await broker.declare("billing-agent", DEAD)
        await broker.put(DEAD, event(1), FAILED)

    wide = await asyncio.to_thread(place.run, "status")
    with Terminal("status", "-c", str(place.path), cwd=place.folder, columns=40) as terminal:
        terminal.wait_for("billing-agent.dead")
        terminal.wait_for("1 ready")
        shown = terminal.lines

    assert re.search(r"^billing-agent +0 +0 +0 +\?$", wide.stdout, re.MULTILINE)
    assert re.search(r"^billing-agent\.dead +dead letters +1 +0 +0 +- ", wide.stdout, re.MULTILINE)
    assert all(cell_width(line) <= 40 for line in shown)


def test_secrets_in_text_and_json(place: Place) -> None:
    """By position and fingerprint; exit code 0 while none is overdue, and never the secret."""
    fingerprints = Fingerprints(place.folder / "var" / JOURNAL_FOLDER)
    story = Story(at=time.time() - 60)
    story.received(slot=1, key=fingerprints.of(SECRETS[1]))
    place.add(story)

    text = place.run("secrets", "-p", "stripe")
    found = place.lines("secrets")

    assert text.exit_code == 0
    assert f"✓ stripe  secret 1  {fingerprints.of(SECRETS[1])}\n  In use: it last matched" in text.stdout
    assert [(each["provider"], each["slot"], each["verdict"]) for each in found] == [
        ("stripe", 0, "never_used"),
        ("stripe", 1, "in_use"),
        ("github", 0, "never_used"),
    ]
    assert not any(secret in text.output for secret in SECRETS)


def test_an_overdue_secret_fails_the_command(place: Place) -> None:
    """For a scheduled job: safe to remove, and configured for more than 30 days."""
    folder = place.folder / "var" / JOURNAL_FOLDER
    fingerprints, now = Fingerprints(folder), time.time()
    story = Story(at=now - 60)
    for _ in range(30):
        story.received(slot=0, key=fingerprints.of(SECRETS[0]))
    place.add(story)
    seen = {f"stripe/{fingerprints.of(SECRETS[1])}": [now - 90 * 86_400, now - 40 * 86_400]}
    (folder / FILE_NAME).write_text(json.dumps(seen))

    done = place.run("secrets", "-p", "stripe")

    assert done.exit_code == 1
    assert "Safe to remove: quiet since" in done.stdout
