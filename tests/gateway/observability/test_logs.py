"""The logs: one line of JSON a request, with what an operator needs and nothing that is secret."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.observability import logs
from support.repository import ROOT

SECRET = "hunter2-and-a-little-more"

# In a process of its own: the configuration of logs is one for the process.
_SEND = """
import asyncio, hmac, logging, sys
from pathlib import Path
import httpx
from support.door import Door
from gateway.app import Gateway
from gateway.claims.memory import MemoryClaims
from gateway.config import Config
from gateway.observability.logs import configure_logs
from gateway.publishers.memory import MemoryPublisher

SECRET = "{secret}"
configure_logs("{format}")

class Broken(MemoryPublisher):
    async def publish(self, message):
        if message.message_id == "bug":
            raise RuntimeError("a bug\\nin two lines")
        await super().publish(message)

def fields(event_id, body, **changes):
    signature = "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    return {{"X-GitHub-Delivery": event_id, "X-GitHub-Event": "zen", "X-Hub-Signature-256": signature,
            "Authorization": "Bearer " + SECRET, **changes}}

async def main():
    config = Config.model_validate({{"data_dir": sys.argv[1], "providers": {{
        "github": {{"adapter": "github", "secrets": [SECRET]}}}}}})
    publisher = Broken()
    gateway = Gateway(config, Path(), claims=MemoryClaims(), publisher=publisher)
    body = b'{{"note":"personal","sender":{{"login":"x"}}}}'
    async with httpx.AsyncClient(transport=Door(gateway), base_url="http://g") as client:
        async def post(event_id, path="/webhooks/github", body=body, **changes):
            await client.post(path, content=body, headers=fields(event_id, body, **changes))
        await post("one")
        await post("one")
        await post("two", **{{"X-Hub-Signature-256": "sha256=" + "0" * 64}})
        await post("three", path="/webhooks/git-hub?token=personal")
        await post("bug")
        await post("four", body=b'{{"sender":"personal"}}')
        publisher.unavailable_reason = "the broker is away"
        await post("five")
    logging.getLogger("a.library").warning("something %s", "odd")
    logging.getLogger("a.library").info("not important")

asyncio.run(main())
"""


def output_of(folder: Path, log_format: str) -> str:
    """What the process wrote."""
    code = _SEND.format(secret=SECRET, format=log_format)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
    )
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The lines of production."""
    return [json.loads(line) for line in output_of(tmp_path_factory.mktemp("logs"), "json").splitlines()]


def test_each_request_is_one_line(lines: list[dict[str, Any]]) -> None:
    """With how it ended."""
    requests = [line for line in lines if line["event"] == "request"]

    assert [(line["outcome"], line["status"], line["level"]) for line in requests] == [
        ("accepted", 202, "info"),
        ("duplicate", 200, "info"),
        ("invalid_signature", 401, "warning"),
        ("unknown_provider", 404, "warning"),
        ("internal", 500, "warning"),
        ("quarantined", 202, "info"),
        ("broker_unavailable", 503, "warning"),
    ]
    assert len(lines) == len(requests) + 2


def test_a_line_tells_what_an_operator_needs(lines: list[dict[str, Any]]) -> None:
    """Which event of whom, how large, how long; and why, when there is a why."""
    first = lines[0]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("timestamp"))
    assert 0 <= first.pop("ms") < 10_000
    assert first == {
        "level": "info",
        "event": "request",
        "outcome": "accepted",
        "status": 202,
        "provider": "github",
        "event_type": "zen",
        "event_id": "one",
        "size": 42,
        "client": "127.0.0.1",
        "cause": None,
    }
    causes = {line["outcome"]: line.get("cause") for line in lines if line["event"] == "request"}
    assert causes["invalid_signature"] == "signature_mismatch"
    assert causes["quarantined"] == "/sender: must be an object or null, is a string"
    assert causes["unknown_provider"] == "no provider 'git-hub'; did you mean 'github'?"
    (unknown,) = [line for line in lines if line.get("outcome") == "unknown_provider"]
    assert (unknown["method"], unknown["path"]) == ("POST", "/webhooks/git-hub")
    assert causes["broker_unavailable"] == "the broker is away"


def test_a_bug_has_its_traceback_in_one_line(lines: list[dict[str, Any]]) -> None:
    """As an error, with where it happened."""
    (bug,) = [line for line in lines if line["event"] == "internal error"]

    assert bug["level"] == "error"
    assert bug["provider"] == "github"
    assert "RuntimeError: a bug\nin two lines" in bug["exception"]


def test_what_libraries_log_is_among_it_from_warnings_up(lines: list[dict[str, Any]]) -> None:
    """Formatted, and with the name of the library."""
    last = lines[-1]

    assert (last["level"], last["event"], last["logger"]) == ("warning", "something odd", "a.library")
    assert "not important" not in json.dumps(lines)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_and_nothing_personal_is_logged(tmp_path: Path, log_format: str) -> None:
    """Neither the secret, nor headers, nor bodies, nor queries; not even beside a bug."""
    output = output_of(tmp_path, log_format)

    assert "accepted" in output
    assert "RuntimeError" in output
    assert SECRET not in output
    assert "personal" not in output
    assert "sha256=" not in output


def test_the_logger_of_production_has_every_level_that_is_used() -> None:
    """It is a class of its own; a level that it lacked would fail where it is needed most."""
    package = Path(inspect.getfile(gateway)).parent
    sources = [path.read_text("utf-8") for path in package.rglob("*.py")]
    used = {level for source in sources for level in re.findall(r"\blog\.([a-z]+)\(", source)} - {"bind"}

    assert {"info", "warning", "exception"} <= used
    assert all(hasattr(logs.JsonLogger, level) for level in used), used


def test_on_a_terminal_nothing_that_a_sender_wrote_moves_the_cursor() -> None:
    """Whichever field it stands in."""
    script = (
        "import structlog; from gateway.observability.logs import configure_logs; configure_logs('console');"
        r"structlog.get_logger().info('request', event_id='1\x1b[2J\u202e\u200b', cause='a\nb', status=202)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.count("\n") == 1
    assert done.stdout.strip().isprintable()
    assert "\\u202e" in done.stdout
