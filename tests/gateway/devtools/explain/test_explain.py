"""`gateway explain`: each mistake once, told by its name; and never a secret or the signature that would be right."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from gateway.adapters.adapter import Adapter
from gateway.cli.main import app
from gateway.config import load_config
from gateway.config.resolve import adapter_of
from gateway.devtools.explain import Case, body_variants, explain, read_capture
from gateway.devtools.explain.body_variants import bodies
from gateway.devtools.explain.hypotheses import hypotheses
from gateway.errors import OperatorError
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.public_key import PublicKeySpec
from gateway.signatures.schemes.standard_webhooks import StandardWebhooksSpec
from support.deliveries import NAMES, NOW, delivered

SECRETS = {
    "stripe": "whsec_5f1dbe9b1c3a4f6e8d7c2b1a09f8e7d6",
    "github": "It's a secret to everybody, really",
    "partner": "whsec_" + base64.b64encode(b"a key of the partner, 32 bytes..").decode(),
    "acme": base64.b64encode(b"the key of acme in base64 text").decode(),
    "shop": "7f" * 20,
    "plain": "a plain secret of sixteen",
}
CONFIG = """
server: {{max_body: 1MiB}}
providers:
  stripe: {{adapter: stripe, secrets: ["{stripe}"]}}
  github: {{adapter: github, secrets: ["{github}"]}}
  partner: {{adapter: standard_webhooks, secrets: ["{partner}"]}}
  acme:
    adapter: hmac
    secrets: ["{acme}"]
    signature:
      header: X-Acme-Signature
      signed: "{{timestamp}}.{{body}}"
      timestamp: {{header: X-Acme-Timestamp}}
    event_id: body:/id
  shop:
    adapter: hmac
    secrets: ["{shop}"]
    signature: {{header: X-Shop-Signature, encoding: base64, signed: "{{url}}{{body}}"}}
    public_url: https://hooks.example.com/webhooks/shop
  plain: {{adapter: hmac, secrets: ["{plain}"], signature: {{header: X-Plain, prefix: "sha256="}}}}
"""
BODY = '{"id": "evt_1", "note": "größer <b> a/b", "total": 12}'.encode()
LONG_AGO = 1_700_000_000


@dataclass(frozen=True)
class Sent:
    """A request as its sender made it."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def having(self, name: str, change: Callable[[str], str]) -> Sent:
        """The same with another value in one header."""
        return replace(
            self,
            headers=tuple((each, change(value) if each == name else value) for each, value in self.headers),
        )

    def renamed(self, name: str, to: str) -> Sent:
        """The same with another name of one header."""
        return replace(
            self, headers=tuple((to if each == name else each, value) for each, value in self.headers)
        )

    def without(self, name: str) -> Sent:
        """The same with one header less."""
        return replace(self, headers=tuple(field for field in self.headers if field[0] != name))

    def raw(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"POST {self.url} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode() + self.body


def signed(
    name: str,
    *,
    body: bytes = BODY,
    at: float | None = None,
    secret: str | None = None,
    url: str = "",
    **other: Any,
) -> Sent:
    """What the sender of a provider sends; ``other`` is how it signs, where that is not as it is configured."""
    adapter = ADAPTERS[name]
    if other:
        signature = adapter.spec.signature
        changed = type(signature).model_validate(signature.model_dump() | other)
        adapter = Adapter(name, adapter.spec.model_copy(update={"signature": changed}))
    fields = {"Host": "gateway.internal:8080", "Content-Type": "application/json"}
    fields |= {"Webhook-Id": "msg_1"} if name == "partner" else {}
    request = RawRequest(
        body=body,
        headers=Headers([(field.lower().encode(), value.encode()) for field, value in fields.items()]),
        path=urlsplit(url or "/webhooks/" + name).path,
        url=url or f"https://hooks.example.com/webhooks/{name}",
    )
    made = adapter.scheme.sign(request, secret or SECRETS[name], time.time() if at is None else at)
    return Sent(f"/webhooks/{name}", tuple((fields | made.headers).items()), made.body)


def _adapters(folder: Path) -> dict[str, Adapter]:
    (folder / "config.yaml").write_text(CONFIG.format(**SECRETS), "utf-8")
    providers = load_config(folder / "config.yaml").providers
    return {name: adapter_of(provider) for name, provider in providers.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a configuration."""
    return tmp_path_factory.mktemp("explain")


ADAPTERS: dict[str, Adapter] = {}


@pytest.fixture(autouse=True, scope="module")
def _known(folder: Path) -> None:
    ADAPTERS.update(_adapters(folder))


def run(folder: Path, capture: bytes, *words: str) -> Result:
    """What `gateway explain` says of a capture; a mistake of the operator is raised."""
    (folder / "capture").write_bytes(capture)
    words = ("explain", str(folder / "capture"), "--config", str(folder / "config.yaml"), *words)
    return CliRunner().invoke(app, words, catch_exceptions=False)


def expect_discreet(output: str, name: str, sent: Sent) -> None:
    """Neither a secret, nor any signature: of the request as it came, or as it should have come."""
    for secret in SECRETS.values():
        assert secret not in output
        assert secret.removeprefix("whsec_") not in output
    fields = [*sent.headers, *signed(name, body=sent.body, at=LONG_AGO).headers]
    for part in (part for field, value in fields if field != "Host" for part in re.split(r"[,=]", value)):
        assert len(part) < 16 or part not in output


def compact(body: bytes) -> bytes:
    """JSON written anew, as JavaScript does."""
    return json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()


def rewritten(**options: Any) -> bytes:
    """JSON written anew by Python."""
    return json.dumps(json.loads(BODY), **options).encode()


MISTAKES: list[tuple[str, Callable[[], Sent], str]] = [
    # the body
    ("github", lambda: replace(signed("github", body=compact(BODY)), body=rewritten()), "it was signed without spaces"),
    ("github", lambda: replace(signed("github", body=rewritten()), body=compact(BODY)),
     "a space after each comma and colon, with non-ASCII characters escaped"),
    ("github", lambda: replace(signed("github", body=rewritten(indent=2)), body=compact(BODY)), "indented by two"),
    ("github", lambda: replace(signed("github", body=b'{"a": 1, "b": 2}'), body=b'{"b":2,"a":1}'), "with sorted keys"),
    ("github", lambda: replace(signed("github", body=compact(BODY).replace(b"/", b"\\/")), body=compact(BODY)),
     "slashes escaped"),
    ("github", lambda: replace(signed("github", body=compact(BODY).replace(b"<", b"\\u003c").replace(b">", b"\\u003e")),
                               body=compact(BODY)), "<, > and & escaped"),
    ("stripe", lambda: replace(signed("stripe"), body=BODY + b"\n"), "ends with a line feed that was not signed"),
    ("stripe", lambda: replace(signed("stripe"), body=BODY + b"\r\n"), "ends with white space that was not signed"),
    ("partner", lambda: replace(signed("partner", body=BODY + b"\n"), body=BODY), "line feed at its end is missing"),
    ("acme", lambda: replace(signed("acme", body=b"a\nb"), body=b"a\r\nb"), "end with CR LF, but were signed with LF"),
    ("acme", lambda: replace(signed("acme", body=b"a\r\nb"), body=b"a\nb"), "end with LF, but were signed with CR LF"),
    ("acme", lambda: replace(signed("acme"), body=b"\xef\xbb\xbf" + BODY), "it starts with a byte order mark"),
    ("acme", lambda: replace(signed("acme"), body=base64.b64encode(BODY)), "it is base64-encoded, but was signed decoded"),
    ("acme", lambda: replace(signed("acme"), body=BODY.decode("latin-1").encode()), "encoded as UTF-8 twice"),
    ("acme", lambda: replace(signed("acme"), body=BODY.decode().encode("latin-1")), "it is in Latin-1"),
    ("acme", lambda: replace(signed("acme"), body=json.dumps(BODY.decode()).encode()), "wrapped in a JSON string"),
    ("github", lambda: replace(signed("github", body=b"payload=%7B%22a%22%3A+1%7D"), body=b'{"a": 1}'),
     "the decoded field payload of the form"),
    ("github", lambda: replace(signed("github", body=b"a=1 2&b=3"), body=b"a=1+2&b=3"), "percent-encoded"),
    # the header
    ("github", lambda: signed("github").renamed("X-Hub-Signature-256", "X-Signature"), "is in the header X-Signature"),
    ("stripe", lambda: signed("stripe").renamed("Stripe-Signature", "X-Stripe-Sign"), "is in the header X-Stripe-Sign"),
    ("partner", lambda: signed("partner").renamed("webhook-signature", "X-Signature"), "is in the header X-Signature"),
    ("github", lambda: signed("github").without("X-Hub-Signature-256"), "(signature_missing)"),
    ("acme", lambda: signed("acme").without("X-Acme-Timestamp"), "(timestamp_missing)"),
    ("github", lambda: replace(signed("github"), headers=(("X-Hub-Signature-256", "sha256=" + "0" * 64),
                                                          *signed("github").headers)), "has 2 values, one of which is valid"),
    ("github", lambda: signed("github").having("X-Hub-Signature-256", lambda value: f"{value}, {value}"),
     "has 2 values, one of which is valid"),
    ("github", lambda: signed("github").having("X-Hub-Signature-256", lambda value: f'"{value}"'), "is quoted"),
    ("github", lambda: signed("github").having("X-Hub-Signature-256", lambda value: value[7:]), "the prefix of the signature is nothing, not"),
    ("plain", lambda: signed("plain", prefix="v1="), "is `v1=`, not `sha256=`"),
    ("partner", lambda: signed("partner").having("webhook-signature", lambda value: value[3:]), "`v1,` is missing"),
    ("partner", lambda: signed("partner").having(
        "webhook-signature", lambda value: "v1," + base64.b64decode(value[3:]).hex()), "is in hexadecimal"),
    ("plain", lambda: signed("plain", encoding="base64"), "the encoding of the signature is base64, not hex"),
    ("shop", lambda: signed("shop", encoding="base64url"), "the encoding of the signature is base64url, not base64"),
    ("plain", lambda: signed("plain", algorithm="sha1"), "the algorithm is sha1, not sha256"),
    ("github", lambda: signed("github", algorithm="sha512"), "the algorithm is sha512, not sha256"),
    # the secret
    ("acme", lambda: signed("acme", secret_format="base64"), "the format of the secret is base64, not raw"),
    ("shop", lambda: signed("shop", secret_format="hex"), "the format of the secret is hex, not raw"),
    ("stripe", lambda: signed("stripe", secret=SECRETS["stripe"][6:]), "without the prefix whsec_"),
    ("github", lambda: signed("github", secret=SECRETS["github"] + "\n"), "with a line feed at the end"),
    ("github", lambda: signed("github", secret=SECRETS["stripe"]), "the secret of the provider stripe"),
    ("partner", lambda: signed("partner", secret="whsec_" + base64.b64encode(SECRETS["partner"].encode()).decode()),
     "the format of the secret is raw, not whsec_"),
    ("github", lambda: signed("github", secret="quite another secret"), "No single known mistake"),
    # the time
    ("acme", lambda: signed("acme", at=time.time() + 3600), "the receiver's clock is behind by about 3"),
    ("acme", lambda: signed("acme", timestamp={"header": "X-Acme-Timestamp", "unit": "ms"}),
     "the timestamp is in milliseconds, not in seconds"),
    # the address
    ("shop", lambda: signed("shop", url="http://hooks.example.com/webhooks/shop"), "for http://hooks.example.com/"),
    ("shop", lambda: signed("shop", url="https://hooks.example.com:443/webhooks/shop"), "hooks.example.com:443/"),
    ("shop", lambda: signed("shop", url="https://hooks.example.com/webhooks/shop/"), "/webhooks/shop/, not for"),
    ("shop", lambda: signed("shop", url="http://gateway.internal:8080/webhooks/shop"), "http://gateway.internal:8080/"),
    ("shop", lambda: replace(signed("shop"), url="/webhooks/shop?a=1"), "shop without the query, not for"),
    ("plain", lambda: signed(
        "plain", signed="{method}{url}{body}", url="http://gateway.internal:8080/webhooks/plain"), "`{method}{url}{body}` is signed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "said"), MISTAKES, ids=[f"{name}: {said}" for name, _, said in MISTAKES]
)
def test_a_mistake_is_told_by_its_name(folder: Path, name: str, make: Callable[[], Sent], said: str) -> None:
    """With what to do about it, and without a secret or a signature."""
    sent = make()
    done = run(folder, sent.raw())

    assert said in done.stdout
    assert done.exit_code == 1
    assert 3 <= len(done.stdout.splitlines()) <= 4
    expect_discreet(done.output, name, sent)


def test_what_verifies_is_told_too(folder: Path) -> None:
    """With exit code 0: what has just come, what carries no time, and an address with its query."""
    with_query = replace(
        signed("shop", url="https://hooks.example.com/webhooks/shop?a=1"), url="/webhooks/shop?a=1"
    )
    for name, sent, said in (
        ("stripe", signed("stripe"), "accepted within 300 s of that. The request passes verification."),
        ("github", signed("github"), "It has no timestamp, so a replayed request is valid too."),
        ("partner", signed("partner"), "The request passes verification."),
        ("shop", with_query, "a replayed request is valid too."),
    ):
        done = run(folder, sent.raw())
        assert said in done.stdout
        assert done.exit_code == 0
        expect_discreet(done.output, name, sent)


def test_an_old_capture_is_judged_as_of_its_own_time(folder: Path) -> None:
    """And says so; the time of its arrival, where it is known, shows a clock that is wrong."""
    sent = signed("stripe", at=LONG_AGO).raw()
    old, early, late = (
        run(folder, sent, *words)
        for words in ((), ("--at", str(LONG_AGO - 900)), ("--at", "2023-11-14T23:13:20+00:00"))
    )

    assert "The request passed verification at that time" in old.stdout
    assert (old.exit_code, early.exit_code, late.exit_code) == (0, 1, 1)
    assert "900 s earlier" in early.stdout
    assert "the receiver's clock is behind by about 900 s" in early.stdout
    assert "3600 s later" in late.stdout
    assert "delivered late, or the receiver's clock is ahead" in late.stdout
    assert run(folder, sent, "--at", "2023-11-14T22:13:21Z").exit_code == 0


@pytest.mark.parametrize("text", ["yesterday", "2023-11-14T23:13:20", "-1", ""])
def test_a_time_that_is_none_is_told(folder: Path, text: str) -> None:
    """Or one without a zone, which could be any."""
    done = run(folder, signed("stripe").raw(), "--at", text)

    assert done.exit_code == 2
    assert "is not a time" in done.stderr


@pytest.mark.parametrize(
    "write",
    [
        lambda sent: {"headers": dict(sent.headers), "body": sent.body.decode()},
        lambda sent: {"headers": sent.headers, "body_base64": base64.b64encode(sent.body).decode()},
        lambda sent: {
            "headers": [{"name": name, "value": value} for name, value in sent.headers],
            "body": sent.body.decode(),
        },
        lambda sent: {
            "headers": {name: [value] for name, value in sent.headers},
            "body": sent.body.decode(),
            "url": "https://x.example/webhooks/github",
        },
    ],
)
def test_a_capture_may_be_json(folder: Path, write: Callable[[Sent], dict[str, Any]]) -> None:
    """Headers as an object or as a list, the body as text or in base64."""
    sent = signed("github")
    content = {"method": "POST", "url": sent.url} | write(sent)

    assert run(folder, json.dumps(content).encode()).exit_code == 0


def test_a_body_that_was_captured_parsed_is_written_again(folder: Path) -> None:
    """In the ways in which senders write."""
    sent = signed("github", body=compact(BODY))
    content = {"url": sent.url, "headers": dict(sent.headers), "body": json.loads(BODY)}
    done = run(folder, json.dumps(content).encode())

    assert "it was signed without spaces, with non-ASCII characters unescaped" in done.stdout


def test_a_capture_may_be_saved_by_an_editor_or_come_in_chunks(folder: Path) -> None:
    """With line feeds alone in its head; and as it went over the wire."""
    sent = signed("github")
    head, _, body = sent.raw().partition(b"\r\n\r\n")
    chunked = head + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + body[:5] + b"\r\n"
    chunked += b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(body) - 5, body[5:])

    assert run(folder, head.replace(b"\r\n", b"\n") + b"\n\n" + body).exit_code == 0
    assert run(folder, chunked).exit_code == 0


def test_the_provider_may_be_named(folder: Path) -> None:
    """Where the path does not tell; a capture may come from standard input."""
    sent = replace(signed("github"), url="/hooks/1")
    words = ["explain", "-", "--config", str(folder / "config.yaml"), "--provider", "github"]

    assert CliRunner().invoke(app, words, input=sent.raw(), catch_exceptions=False).exit_code == 0
    with pytest.raises(OperatorError, match="add --provider: acme, github"):
        run(folder, sent.raw())
    with pytest.raises(OperatorError, match="has no provider 'nobody'"):
        run(folder, sent.raw(), "--provider", "nobody")


@pytest.mark.parametrize(
    ("capture", "said"),
    [
        (b"", "not a captured request"),
        (b"\xff\xfe\x00", "does not begin with a request line"),
        (b"POST /webhooks/github HTTP/1.1\r\nno field\r\n\r\n", "line 2 is not a header"),
        (b"{", "not a captured request"),
        (b"{}", "add --provider"),
        (b'{"headers": 1}', "headers is neither an object nor a list"),
        (b'{"headers": {"a": 1}}', "must be strings"),
        (b'{"headers": {"\xe2\x82\xac": "a"}}', "not a captured request"),
        (b'{"headers": {"a\\u001b": "a"}}', "the name of a header contains invalid characters"),
        (b'{"url": "http://["}', "not a captured request"),
        (b'{"body_base64": "?"}', "body_base64 is not base64"),
        (b'{"body_base64": 1}', "body_base64 is not base64"),
        (b'{"headers": %s}' % json.dumps([["a", "b"]] * 300).encode(), "more than 200 headers"),
        (b"POST /webhooks/github HTTP/1.1\r\n\r\n" + b"x" * (1024**2 + 1), "more than max_body"),
        (b"POST /webhooks/github HTTP/1.1\r\n\r\n" + b"x" * (7 * 1024**2), "is larger than any request"),
        (b"POST /webhooks/github HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", "not a captured request"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_capture_is_told(folder: Path, capture: bytes, said: str) -> None:
    """In one line."""
    with pytest.raises(OperatorError, match=re.escape(said)) as caught:
        run(folder, capture)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    """With its name."""
    with pytest.raises(OperatorError, match=r"gone\.http: No such file"):
        CliRunner().invoke(
            app, ["explain", "gone.http", "--config", str(folder / "config.yaml")], catch_exceptions=False
        )


HEADS = st.sampled_from(
    [
        b"POST /webhooks/stripe HTTP/1.1\r\nStripe-Signature: t=1,v1=",
        b"POST /webhooks/github HTTP/1.1\r\nX-Hub-Signature-256: ",
        b'{"url": "/webhooks/shop?", "headers": {"X-Shop-Signature": "a", "host": "[", "X-Forwarded-Host": "',
        b'{"headers": {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "',
        b"",
    ]
)


@given(HEADS, st.binary(max_size=60), st.sampled_from([b"", b"\r\n\r\n{}", b'"}, "body": "{}"}']))
def test_no_capture_makes_it_fail(head: bytes, middle: bytes, tail: bytes) -> None:
    """It is explained, or refused as no capture."""
    try:
        capture = read_capture(head + middle + tail, 1024)
    except OperatorError:
        return
    request = RawRequest(
        body=capture.body,
        headers=capture.headers,
        path=capture.path,
        query=capture.query,
        url=f"http://{capture.path}",
    )
    for name, adapter in ADAPTERS.items():
        explain(Case(adapter, [SECRETS[name]], request, other_secrets={"other": ["x"]}), LONG_AGO)


def test_a_case_shows_no_secret() -> None:
    """Wherever it is printed."""
    request = RawRequest(body=b"", headers=Headers([]))
    case = Case(
        ADAPTERS["github"], [SECRETS["github"]], request, other_secrets={"stripe": [SECRETS["stripe"]]}
    )

    assert not [secret for secret in SECRETS.values() if secret in repr(case)]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30 + b"0," * 20_000 + b"0" + b"]" * 30,
        b"[" * 100_000,
        b'{"a":' * 30 + b"{}" + b"}" * 30 + b" " * 900_000,
        b"," * 1_000_000,
    ],
    ids=["deep and long", "not JSON", "blanks", "commas"],
)
def test_what_is_made_of_a_body_is_bounded(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Indented, it would have many times its size."""
    monkeypatch.setattr(body_variants, "_MAX_INDENTATION", 1_000_000)
    assert max(len(made) for _, made in bodies(body, None, None)) < 3 * len(body) + 1_000_000


def test_what_is_tried_of_a_request_that_was_made_up_is_bounded() -> None:
    """However many headers and addresses it names."""
    fields = [(b"x-forwarded-host", b"h%d" % number) for number in range(60)]
    fields += [(b"x-forwarded-prefix", b"/p%d" % number) for number in range(60)]
    fields += [(b"x-shop-signature", b",".join(b"p%d=x" % number for number in range(5000)))]
    fields += [(b"x-signature-%d" % number, b"x") for number in range(79)]
    request = RawRequest(body=b"{}", headers=Headers(fields), path="/a", url="http://h/a")
    for name in ("shop", "stripe", "acme", "partner"):
        assert sum(1 for _ in hypotheses(Case(ADAPTERS[name], [SECRETS[name]], request))) < 2000


def test_a_search_ends() -> None:
    """By the time that it works, and it is said that it was not finished."""
    seconds = iter(range(0, 1000, 10))
    request = RawRequest(body=b"{}", headers=Headers([(b"x-hub-signature-256", b"sha256=" + b"0" * 64)]))
    case = Case(ADAPTERS["github"], [SECRETS["github"]], request)
    found = explain(case, LONG_AGO, work_clock=lambda: float(next(seconds)))
    assert found.lines[-1].startswith("Not all common mistakes were tried")
    assert next(seconds) < 100


@pytest.mark.parametrize(
    "content",
    [
        b'{"body": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"body": ' + b"[" * 100_000,
        b'{"headers": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"{" * 100_000,
        b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fffffff\r\n" * 10_000,
        b"\n" * 1_000_000,
    ],
    ids=["deep body", "open body", "deep headers", "braces", "headers", "chunks", "lines"],
)
def test_a_hostile_capture_is_judged_or_refused(folder: Path, content: bytes) -> None:
    """In a few lines; whatever else is raised is a bug."""
    with suppress(OperatorError):  # it is no capture
        done = run(folder, content, "--provider", "github")
        assert done.exit_code == 1
        assert done.stdout.count("\n") < 10


@pytest.mark.parametrize("size", [1024**2 - 100])
def test_a_large_body_does_not_take_long(folder: Path, size: int) -> None:
    """Of a megabyte of JSON that no hypothesis explains."""
    body = json.dumps([{"a": "ß", "b": 1.5}] * (size // 30)).encode()
    done = run(folder, signed("github", body=body, secret="quite another secret").raw())

    assert "No single known mistake" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_sender_is_understood(name: str) -> None:
    """As it sends, and with a line feed more than it has signed; a few need a key that is not at hand."""
    delivery = delivered(name)
    case = Case(delivery.adapter, [delivery.secrets.receiver], delivery.raw(), delivery.parameters)
    right = explain(case, NOW)
    wrong = explain(case.with_request(body=case.request.body + b"\n"), NOW)
    if right.lines[0].startswith("Cannot verify offline"):
        return

    assert right.is_verified
    signature = delivery.adapter.spec.signature
    if isinstance(signature, HmacSpec | StandardWebhooksSpec | PublicKeySpec) and "{body}" in getattr(
        signature, "signed", "{body}"
    ):
        assert "a line feed that was not signed" in wrong.lines[1]
    for field in delivery.signing:
        value = delivery.request.headers[field]
        assert len(value) < 24 or value not in "".join(right.lines + wrong.lines)
    assert delivery.secrets.receiver not in "".join(right.lines + wrong.lines)
