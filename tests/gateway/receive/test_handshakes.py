"""Handshakes through the whole gateway: who is let in by which method, what is kept, and what is fetched."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.config import config_warnings, load_config
from gateway.errors import ConfigurationError
from gateway.receive import handshakes
from gateway.transport.https import Fetched, FetchFailed
from support.served import Reply, Serve, Served, webhook

ECHO = {
    "method": "GET",
    "when": {"query:mode": "subscribe"},
    "challenge": "query:challenge",
    "respond": {"body": "{challenge}"},
}
TOUCH = {"method": "HEAD", "respond": {"body": "here"}}
ORIGIN = {
    "method": "OPTIONS",
    "challenge": "header:WebHook-Request-Origin",
    "respond": {"headers": {"WebHook-Allowed-Origin": "{challenge}", "Allow": "POST"}},
}
PING = {
    "method": "POST",
    "when": {"body:/zen": "*"},
    "is_signed": True,
    "respond": {"json": {"type": 1}},
}
TELL = {
    "method": "POST",
    "when": {"header:X-Hook-Secret": "*"},
    "challenge": "header:X-Hook-Secret",
    "enrol": "header:X-Hook-Secret",
    "respond": {"headers": {"X-Hook-Secret": "{challenge}"}},
}
CONFIRM = {
    "method": "POST",
    "when": {"body:/Type": "SubscriptionConfirmation"},
    "is_signed": True,
    "confirm": "body:/SubscribeURL",
    "confirm_hosts": ["sns.*.amazonaws.com"],
}
ADDRESS = "https://sns.eu-west-1.amazonaws.com/?Token=1"
SUBSCRIPTION = b'{"Type":"SubscriptionConfirmation","SubscribeURL":"%b"}' % ADDRESS.encode()
TOLD = "b537207f20cbfa02357cf448134da559"


def line(method: str, query: str = "") -> bytes:
    """A request line."""
    return f"{method} /webhooks/github{query} HTTP/1.1".encode()


def bare(method: str, query: str = "", *fields: bytes) -> bytes:
    """A request without a signature and without a body."""
    length = [b"Content-Length: 0"] if method == "POST" else []
    return b"\r\n".join([line(method, query), b"Host: gateway.test", *length, *fields, b"", b""])


async def ask(served: Served, request: bytes, *, to_head: bool = False) -> Reply:
    """The answer to a request on a connection of its own."""
    caller = await served.call()
    caller.send(request)
    return await caller.reply(to_head=to_head)


async def greeter(serve: Serve, *handshakes: dict[str, Any], **provider: Any) -> Served:
    """A gateway whose sender greets so."""
    return await serve(provider={"handshakes": list(handshakes), **provider})


async def test_a_sender_greets_by_any_method(serve: Serve) -> None:
    """On one connection that stays open; nothing is claimed or published."""
    served = await greeter(serve, ECHO, TOUCH, ORIGIN, PING)
    caller = await served.call()

    echoed = await caller.ask(bare("GET", "?mode=subscribe&challenge=abc%2D1"))
    caller.send(bare("HEAD"))
    touched = await caller.reply(to_head=True)
    allowed = await caller.ask(bare("OPTIONS", "", b"WebHook-Request-Origin: a.example"))
    pinged = await caller.ask(webhook())

    assert (echoed.status, echoed.body) == (200, b"abc-1")
    assert echoed.fields["content-type"] == "text/plain; charset=utf-8"
    assert echoed.fields["x-content-type-options"] == "nosniff"
    assert (touched.status, touched.fields["content-length"]) == (200, "4")
    assert (allowed.status, allowed.fields["webhook-allowed-origin"]) == (200, "a.example")
    assert (pinged.status, pinged.body) == (200, b'{"type":1}')
    assert served.outcomes == {"handshake": 4}
    assert served.published == served.claims.events == []


async def test_a_handshake_does_not_get_between_deliveries(serve: Serve) -> None:
    """What no handshake fits is an event."""
    served = await greeter(serve, ECHO, TELL, PING)

    answer = await ask(served, webhook("1", b'{"action":"created"}'))

    assert answer.status == 202
    assert served.published == ["1"]


@pytest.mark.parametrize(
    ("handshakes", "allowed"),
    [([], "post"), ([PING], "post"), ([ECHO], "post, get"), ([ORIGIN, TOUCH], "post, head, options")],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_other_methods_are_not_let_in(
    serve: Serve, handshakes: list[dict[str, Any]], allowed: str, method: str
) -> None:
    """The answer says by which methods this sender may come."""
    served = await greeter(serve, *handshakes)

    answer = await ask(served, bare(method), to_head=method == "HEAD")

    if method.lower() in allowed.split(", "):
        assert answer.status != 405
    else:
        assert (answer.status, answer.fields["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "query", ["", "?mode=subscribe", "?mode=subscribe&challenge=%3Cb%3E", "?challenge=abc"]
)
async def test_a_greeting_that_does_not_fit_is_answered_like_a_forgery(serve: Serve, query: str) -> None:
    """Only the log knows why."""
    served = await greeter(serve, ECHO)

    answer = await ask(served, bare("GET", query))

    assert answer.word == (401, "invalid_signature")
    assert [each["cause"] for each in served.logs if each["event"] == "request"] == ["handshake_refused"]


async def test_a_signed_greeting_of_somebody_else_is_refused(serve: Serve) -> None:
    """Discord tries that on purpose."""
    served = await greeter(serve, PING)

    answer = await ask(served, webhook("1").replace(b"sha256=", b"sha256=0"))

    assert answer.word == (401, "invalid_signature")
    assert served.published == []


async def test_an_unproven_sender_is_answered_as_the_provider_demands(serve: Serve) -> None:
    """Xero wants no body; who is let in, and refused for something else, is answered as usual."""
    served = await greeter(serve, {**PING, "respond": {}}, refusal={"body": ""})

    refused = await ask(served, webhook("1").replace(b"sha256=", b"sha256=0"))
    greeted = await ask(served, webhook("1"))
    mistaken = await ask(served, webhook("1", b"no json"))

    assert (refused.status, refused.body) == (401, b"")
    assert "content-type" not in refused.fields
    assert (greeted.status, greeted.body) == (200, b"")
    assert mistaken.word == (400, "malformed_json")


async def test_handshakes_are_few(serve: Serve) -> None:
    """Whoever asks for more has to wait; deliveries do not."""
    served = await greeter(serve, ECHO)
    caller = await served.call()

    answers = [(await caller.ask(bare("GET", "?mode=subscribe&challenge=a"))).status for _ in range(40)]
    delivered = await caller.ask(webhook())

    assert answers[:20] == [200] * 20
    assert 429 in answers[20:]
    assert delivered.status == 202


@pytest.mark.parametrize("query", ["?mode=subscribe&challenge=a", "?mode=subscribe", "?mode=x", ""], ids=str)
async def test_handshakes_of_a_stranger_keep_no_sender_out(serve: Serve, query: str) -> None:
    """Answered or refused, they are the stranger's own."""
    served = await serve(server={"trusted_proxies": ["127.0.0.0/8"]}, provider={"handshakes": [ECHO]})
    caller = await served.call()

    async def greet(query: str, client: bytes) -> int:
        fields = (b"X-Forwarded-For: " + client,)
        reply = await ask(served, bare("GET", query, *fields))
        return reply.status

    statuses = [await greet(query, b"203.0.113.9") for _ in range(40)]
    assert 429 in statuses[20:]
    assert 429 not in statuses[:20]
    assert await greet("?mode=subscribe&challenge=a", b"198.51.100.7") == 200
    assert (await caller.ask(webhook("1", b"{}", b"X-Forwarded-For: 203.0.113.9"))).status == 202


async def test_who_shows_the_token_is_let_in_whatever_a_stranger_does(serve: Serve) -> None:
    """Though both come from one address, as behind a proxy that is not named."""
    served = await greeter(serve, {**ECHO, "token": "query:token"}, handshake_token=TOLD)
    wrong = [
        (await ask(served, bare("GET", "?mode=subscribe&challenge=a&token=guess"))).status for _ in range(40)
    ]

    assert 429 in wrong
    assert (await ask(served, bare("GET", f"?mode=subscribe&challenge=a&token={TOLD}"))).status == 200


async def test_a_handshake_that_is_signed_is_let_in_whatever_a_stranger_does(serve: Serve) -> None:
    """Its sender is proven."""
    served = await greeter(serve, ECHO, PING)
    greeted = [(await ask(served, bare("GET", "?mode=subscribe&challenge=a"))).status for _ in range(40)]

    assert 429 in greeted
    assert (await ask(served, webhook("1"))).status == 200


async def test_a_told_secret_is_refused_while_nobody_waits_for_it(serve: Serve, tmp_path: Path) -> None:
    """Or whoever reaches the address could plant one."""
    served = await greeter(serve, TELL)

    answer = await ask(served, bare("POST", "", b"X-Hook-Secret: " + TOLD.encode()))

    assert answer.word == (401, "invalid_signature")
    assert "x-hook-secret" not in answer.fields
    assert served.logs[-1]["cause"] == "enrolment_closed"
    assert not (tmp_path / "enrolled").exists()


async def test_the_first_secret_that_is_told_is_kept(serve: Serve, tmp_path: Path) -> None:
    """For its owner alone; another one does not take its place, and the log knows the place but not the secret."""
    served = await greeter(serve, TELL, secrets=[], enrol=True)

    first, again, other = [
        await ask(served, bare("POST", "", b"X-Hook-Secret: " + secret.encode()))
        for secret in (TOLD, TOLD, TOLD[::-1])
    ]

    file = tmp_path / "enrolled" / "github"
    assert [first.status, again.status, other.status] == [200, 200, 401]
    assert first.fields["x-hook-secret"] == TOLD
    assert file.read_text() == TOLD
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    (told,) = [each for each in served.logs if each["event"] == "secret enrolled"]
    assert (told["provider"], told["file"]) == ("github", str(file))
    assert TOLD not in str(served.logs)


async def test_nothing_is_proven_before_the_secret_is_known(serve: Serve) -> None:
    """Neither by the secret that will be, nor by none."""
    served = await greeter(serve, TELL, secrets=[], enrol=True)

    assert (await ask(served, webhook())).word == (401, "invalid_signature")
    assert served.published == []


class Aws:
    """What stands at the address that confirms, and what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status: int | None = 200
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        monkeypatch.setattr(handshakes, "fetch", self._fetch)

    async def _fetch(self, _: object, url: str) -> Fetched:
        self.asked.append(url)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.status is None:
            raise FetchFailed("does not answer: TimeoutError")
        return Fetched(self.status, b"")


async def test_a_subscription_is_confirmed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the address that the verified greeting names, one at a time, before it is answered."""
    aws = Aws(monkeypatch)
    served = await greeter(serve, CONFIRM)

    answers = await asyncio.gather(*(ask(served, webhook(str(number), SUBSCRIPTION)) for number in range(5)))

    assert [answer.status for answer in answers] == [200] * 5
    assert aws.asked == [ADDRESS] * 5
    assert aws.most_at_once == 1
    assert served.outcomes == {"handshake": 5}


@pytest.mark.parametrize("status", [None, 302, 403, 500])
async def test_what_is_not_confirmed_is_repeated(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    """By the sender, who is asked to."""
    Aws(monkeypatch).status = status
    served = await greeter(serve, CONFIRM)

    answer = await ask(served, webhook("1", SUBSCRIPTION))

    assert answer.word == (503, "confirmation_failed")
    assert "retry-after" in answer.fields


async def test_nothing_is_fetched_for_a_stranger(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor from a host that is not the sender's."""
    aws = Aws(monkeypatch)
    served = await greeter(serve, CONFIRM)

    forged = webhook("1", SUBSCRIPTION).replace(b"sha256=", b"sha256=0")
    elsewhere = webhook("2", SUBSCRIPTION.replace(b"amazonaws.com", b"evil.example"))

    assert [(await ask(served, request)).status for request in (forged, elsewhere)] == [401, 401]
    assert aws.asked == []


SIGNATURE = "signature: {header: X-S}"
TOKEN = "handshakes: [{method: GET, token: query:token}]"
WINDOW = "handshakes: [{method: POST, enrol: header:X-Hook-Secret}]"
ONE = "secrets: [f4c2a9d8e1b7f4c2a9d8e1b7]"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ([ONE, TOKEN], "providers.x.handshake_token: is missing"),
        ([ONE, TOKEN, 'handshake_token: ""'], ".handshake_token: is empty"),
        ([ONE, TOKEN, "handshake_token: ' abcdef'"], ".handshake_token: has white space"),
        ([ONE, TOKEN, "handshake_token: changeme"], ".handshake_token: looks like a placeholder"),
        ([ONE, "handshake_token: k3f9"], ".handshake_token: is not used by adapter hmac"),
        ([ONE, "enrol: true"], ".enrol: is not for adapter hmac"),
        (["secrets: []"], ".secrets: is empty"),
        (["secrets: []", WINDOW], ".secrets: is empty"),
        (["secrets: []", "enrol: true"], ".secrets: is empty"),
    ],
)
def test_mistakes_about_handshakes_are_found(tmp_path: Path, settings: list[str], problem: str) -> None:
    """With their line, and before anything starts."""
    with pytest.raises(ConfigurationError) as error:
        load_config(_write(tmp_path, settings), {})

    assert problem in str(error.value)
    assert "config.yaml:" in str(error.value)


def test_an_open_window_is_warned_of(tmp_path: Path) -> None:
    """Whoever calls first is believed to be the sender."""
    config = load_config(_write(tmp_path, ["secrets: []", WINDOW, "enrol: true"]), {})

    (warning,) = config_warnings(config)
    assert warning.startswith("providers.x.enrol: is true")
    assert "enrolled/x" in warning


def _write(folder: Path, settings: list[str]) -> Path:
    path = folder / "config.yaml"
    lines = ["adapter: hmac", SIGNATURE, *settings]
    path.write_text("providers:\n  x:\n" + "".join(f"    {each}\n" for each in lines), "utf-8")
    return path
