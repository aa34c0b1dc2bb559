"""What hostile senders send through the real listener stays text: on every page that can be reached, and in a terminal."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from collections import Counter, deque
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
from playwright.sync_api import Page

from support import senders
from support.browser import Complaints
from support.gateway_process import PROGRAM, GatewayProcess, Secrets, environment
from support.senders import Delivery, post
from support.waiting import PATIENCE, wait_until

SCRIPT = "document.body.dataset.pwned=1"
TEXTS = (
    f"<script>{SCRIPT}</script>",
    f"</title></textarea></script><img src=x onerror={SCRIPT}>",
    f"\"'><svg onload={SCRIPT}>",
    f"javascript:{SCRIPT}",
    "{{7*7}}${7*7}{%raw%}#{7*7}",
    "\u202egnp.exe \u2066 \x1b[31mred\x1b]0;title\x07 \x00 \ufeff\u2028",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd?a=1#b",
    "x" * 200_000,
)
"""Texts that become something else wherever a page or a terminal lets them."""

SCHEMA = {"$id": "urn:acme:order:1", "type": "object", "properties": {"total": {"type": "integer"}}}
MOST_OF_A_KIND = 8
"""Pages that are visited below each page of the navigation; filters and sorting make more of them than anybody needs."""

COMMANDS = (
    ("events", "list", "--limit", "100"),
    ("events", "list", "--json", "--limit", "100"),
    ("quarantine", "list"),
    ("unrouted", "list"),
    ("status",),
)


def test_hostile_senders_reach_no_page_and_no_terminal(
    tmp_path: Path, page: Page, complaints: Complaints
) -> None:
    """In ids, types, keys and values of signed events, valid and not, and in every part of what was refused."""
    complaints.expect(r"\b(404|400)\b")  # the links of a sender's odd ids may lead to nothing
    (tmp_path / "acme.json").write_text(json.dumps(SCHEMA))
    gateway = GatewayProcess(tmp_path, Secrets(), command=("dev", "--no-samples"))
    content = json.loads(gateway.config.read_text())
    content["providers"]["acme"]["schema"] = "acme.json"
    gateway.config.write_text(json.dumps(content | {"console": {"auth": "none"}}))
    with gateway:
        sent = [_sent(gateway, number, text) for number, text in enumerate(TEXTS)]
        assert [signed for signed, _ in sent] == [[202, 202, 202]] * 8 + [
            [400, 400, 202]
        ]  # names have a limit
        assert {status for _, forged in sent for status in forged} == {401}
        body = b'{"id": "not-utf-8-\xff", "event": "order.created"}'
        assert post(gateway.url, _signed(gateway, body)).status_code == 400
        _wait_for_the_journal(gateway)

        seen = _walk(page, gateway.admin_url)
        assert len(seen) > 40, seen
        assert any("/events/acme/" in path for path in seen)
        assert any(path.startswith("/refusals/") for path in seen)
        assert any(path.startswith("/quarantine/") for path in seen)

        for arguments in COMMANDS:
            done = subprocess.run(  # not through `run_gateway`, which removes the escapes that this is about
                [str(PROGRAM), *arguments, "--config", str(gateway.config)],
                cwd=tmp_path,
                env=environment(gateway.variables),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert "Traceback" not in done.stderr, done.stderr
            assert _controls(done.stdout + done.stderr) == set(), arguments


def _signed(gateway: GatewayProcess, body: bytes) -> Delivery:
    """A body with the signature of our own sender."""
    return Delivery("acme", "", "", senders.acme_headers(gateway.secrets.acme, body), body)


def _sent(gateway: GatewayProcess, number: int, text: str) -> tuple[list[int], list[int]]:
    """Send a text in all places; return the statuses of what was signed, and of what was not."""
    bodies = [
        {"id": f"{number}-id", "event": "order.created", "total": text, text: text},  # violates the schema
        {"id": f"{number}{text}", "event": text, "total": 1, "note": {text: [text]}},
        {"id": f"{number}-only", "event": "order.created", "created_at": text, "total": 1},
    ]
    deliveries = [_signed(gateway, json.dumps(body).encode()) for body in bodies]
    signed = [post(gateway.url, delivery).status_code for delivery in deliveries]
    header = text[:1000].encode("utf-8").replace(b"\x00", b"").replace(b"\x1b", b"").replace(b"\x07", b"")
    forged = []
    for query in ("", "?q=" + header.hex()):
        answer = httpx.post(
            f"{gateway.url}/webhooks/acme{query}",
            content=deliveries[1].body[:60_000],
            headers=[
                (b"X-Acme-Timestamp", b"1"),
                (b"X-Acme-Signature", header),
                (b"User-Agent", header),
                (b"Content-Type", header),
            ],
        )
        forged.append(answer.status_code)
    return signed, forged


def _wait_for_the_journal(gateway: GatewayProcess) -> None:
    """Wait until the last request of all is in the journal."""
    last = senders.acme(gateway.secrets.acme, senders.order(total=1))
    assert post(gateway.url, last).status_code == 202
    wait_until(
        lambda: gateway.get(f"/api/v1/events/acme/{last.event_id}", admin=True).status_code == 200,
        message="the journal is up to date",
    )


def _walk(page: Page, address: str) -> list[str]:
    """Follow the links of all pages; what lies behind no link of ours is not visited."""
    waiting, seen = deque(["/"]), list[str]()
    known, visited = {*waiting}, Counter[str]()
    while waiting:
        path = waiting.popleft()
        kind = path.partition("?")[0].split("/")[1] + ("/" if path.count("/") > 1 else "")
        visited[kind] += 1
        if visited[kind] > MOST_OF_A_KIND:
            continue
        seen.append(path)
        page.goto(address + path, wait_until="domcontentloaded")
        assert page.evaluate("document.body.dataset.pwned") is None, path
        assert _controls(page.inner_text("body")) == set(), path
        hrefs = page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
        for href in hrefs:
            found = urlsplit(urljoin(address + path, href))
            assert found.scheme in {"http", "https"}, href
            target = found.path + (f"?{found.query}" if found.query else "")
            is_ours = f"{found.scheme}://{found.netloc}" == address
            if is_ours and target not in known and "export" not in target and "logout" not in target:
                known.add(target)
                waiting.append(target)
    page.goto("about:blank")
    return seen


def _controls(text: str) -> set[str]:
    """The characters of a text that a terminal or a reader would not show as they are."""
    return {
        character
        for character in text
        if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"} and character not in "\n\t\r\xad"
    }
