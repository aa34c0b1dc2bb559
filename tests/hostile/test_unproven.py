"""An unsigned request costs about as much as a digest of its body, whatever that holds.

The work is measured as processor time, and only ever compared: with that of a forged delivery of Stripe of the same
size, which is digested and no more. Busy neighbours make both dearer, by their caches and by what shares a core. So a
request that seems dear is measured again, by turns with the other one, until the least of each agree on a verdict.
Work in Python over each byte of a body exceeds the limit by far more than neighbours add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.adapters import registry
from hostile.wire import address_of, converse
from support.deliveries import NAMES, URL, delivered, parameters_of
from support.gateway_process import GatewayProcess, Secrets

SIZE = 1_000_000
ALLOWED = 5.0
"""Times the processor time of a forged delivery of Stripe. Mandrill's form full of escapes takes 3.0; a loop in Python over
its bytes would take 30."""

ALLOWED_GREETING = 4.0
"""Times the processor time of a bare refusal."""

ENOUGH = 2
"""Measurements of each side that a verdict takes: one alone could be of a moment at which the other would be dear."""

ATTEMPTS = 30
"""Measurements of each side after which a request is too dear."""

ANSWERS = {400, 401, 403, 404, 415, 429}
"""None of which says that something was accepted; one probe of an address is answered 200."""

TOKEN = "what the sender shows"


def filled(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A body of the size that is full of one thing."""
    return before + piece * ((SIZE - len(before) - len(after)) // len(piece)) + after


DIGESTED = filled(b"x")
"""The body of what the others are compared with."""


def part(name: bytes, content: bytes) -> bytes:
    """One part of a form of several."""
    return b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, content)


JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=x"

BODIES: dict[str, tuple[bytes, bytes]] = {
    "a field of escapes": (FORM, filled(b"%41", b"payload=")),
    "escapes and letters by turns": (FORM, filled(b"%41a", b"mandrill_events=")),
    "percent signs": (FORM, filled(b"%", b"Body=")),
    "separators": (FORM, filled(b"&")),
    "fields": (FORM, filled(b"a=1&")),
    "many fields of escapes": (FORM, b"&".join(b"a%d=%b" % (n, b"%41a" * 277) for n in range(900))),
    "a list of numbers": (JSON, filled(b"0,", b"[", b"0]")),
    "a list of objects": (JSON, filled(b"{},", b'{"value":[', b"{}]}")),
    "a member of lists": (JSON, filled(b"[],", b'{"notificationItems":[{"a":[', b"0]}]}")),
    "deep lists": (JSON, filled(b"[")),
    "deep objects": (JSON, filled(b'{"a":')),
    "escaped letters": (JSON, filled(b"\\u0041", b'{"Message":"', b'"}')),
    "a huge number": (JSON, filled(b"9", b'{"signature":', b"}")),
    "names": (JSON, b"{%b}" % b",".join(b'"k%d":0' % n for n in range(SIZE // 12))),
    "JSON in a text": (JSON, filled(b"[0],", b'{"signature":"{\\"token\\":[', b'0]}"}')),
    "lines that look like a boundary": (MULTIPART, part(b"a", filled(b"\r\n--")) + b"--x--\r\n"),
    "parts": (MULTIPART, b"".join(part(b"a%d" % n, b"v" * 900) for n in range(999)) + b"--x--\r\n"),
    "a token": (b"text/plain", filled(b"A", b"eyJhbGciOiJSUzI1NiJ9.", b"." + b"A" * 342)),
    "dots": (b"text/plain", filled(b".")),
}


def alike(name: str) -> str:
    """What decides how much work a request of a sender is."""
    spec = registry.load(name).spec
    strangers = [handshake.model_dump_json() for handshake in spec.handshakes if not handshake.is_signed]
    return repr((spec.signature.model_dump_json(), spec.content, spec.batch, spec.form_json, strangers))


REPRESENTATIVES = sorted({alike(name): name for name in reversed(NAMES)}.values())
GREETERS = [
    name
    for name in REPRESENTATIVES
    if any(handshake.method == "GET" for handshake in registry.load(name).spec.handshakes)
]


def configured(name: str) -> dict[str, Any]:
    """Return the settings of a provider with another secret than that of the deliveries."""
    made = delivered(name)
    return {
        "adapter": name,
        "secrets": [made.adapter.spec.signature.make_secret().receiver],
        "parameters": parameters_of(made.adapter),
        **(
            {"handshake_token": TOKEN}
            if any(each.needs_token for each in made.adapter.spec.handshakes)
            else {}
        ),
        **({"public_url": URL} if made.bind().needs_url else {}),
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with a provider for each way of signing, whose secrets the tests do not use."""
    overrides = {"providers": {name: configured(name) for name in {*REPRESENTATIVES, "stripe"}}}
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), Secrets(), overrides=overrides) as process:
        yield process


class Meter:
    """Measures what requests cost a gateway, in milliseconds of processor time."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._address = address_of(gateway.url)
        for name in REPRESENTATIVES:  # so that all is imported
            for media_type in (JSON, FORM, MULTIPART):
                self.cost(name, media_type, b"--x--")

    def forgery(self) -> float:
        """Measure a forged delivery of Stripe."""
        return self.cost("stripe", JSON, DIGESTED)

    def cost(self, name: str, media_type: bytes, body: bytes) -> float:
        """Measure a delivery with the signature of another one."""
        made = delivered(name)
        fields = {**made.request.headers, "Content-Type": media_type.decode()}
        query = urlsplit(made.request.url).query.encode()
        line = b"POST /webhooks/%b?%b HTTP/1.1" % (name.encode(), query)
        lines = [f"{field}: {value}".encode("latin-1") for field, value in fields.items()]
        head = [line, b"Host: gateway.test", b"Content-Length: %d" % len(body), *lines]
        return self._measure(b"\r\n".join([*head, b"", body]), ANSWERS)

    def greeting(self, name: str, query: bytes) -> float:
        """Measure twenty GETs with a query."""
        request = b"GET /webhooks/%b?%b HTTP/1.1\r\nHost: gateway.test\r\n\r\n" % (name.encode(), query)
        return sum(self._measure(request, ANSWERS | {200}) for _ in range(20))

    def _measure(self, request: bytes, answers: set[int]) -> float:
        before = self._processor_time()
        exchange = converse(self._address, request)
        assert exchange.replies[0].status in answers, exchange
        return self._processor_time() - before

    def _processor_time(self) -> float:
        tasks = Path(f"/proc/{self._gateway.child.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


@pytest.fixture(scope="module")
def meter(gateway: GatewayProcess) -> Meter:
    """Of that gateway."""
    return Meter(gateway)


def times_dearer(measure: Callable[[], float], reference: Callable[[], float], allowed: float) -> float:
    """Return how many times ``reference`` something costs, as soon as that is ``allowed``.

    Both are measured equally often and by turns, and the least of each counts: what else a machine does can only add.
    """
    best = best_reference = ratio = inf
    for attempt in range(ATTEMPTS):
        best, best_reference = min(best, measure()), min(best_reference, reference())
        ratio = best / best_reference
        if ratio <= allowed and attempt + 1 >= ENOUGH:
            break
    return ratio


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_a_forgery_of_any_sender_costs_little_more_than_its_digest(meter: Meter, name: str) -> None:
    """Whatever fills it."""
    costs = {
        kind: times_dearer(partial(meter.cost, name, media_type, body), meter.forgery, ALLOWED)
        for kind, (media_type, body) in BODIES.items()
    }
    assert {kind: cost for kind, cost in costs.items() if cost > ALLOWED} == {}


QUERIES = {
    "parameters": b"a&" * 3900,
    "escapes": b"hub.mode=" + b"%41" * 2600,
    "a hundred parameters": b"&".join(b"a%d=%b" % (number, b"%41" * 24) for number in range(99)),
    "a long token": b"hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + b"a" * 7700,
    "a long challenge": b"validationToken=" + b"%20" * 2600,
}


@pytest.mark.parametrize("name", GREETERS)
def test_a_long_query_costs_little_more_than_a_bare_refusal(meter: Meter, name: str) -> None:
    """Of whatever handshake."""
    bare = partial(meter.greeting, name, b"a=1")
    costs = {
        kind: times_dearer(partial(meter.greeting, name, query), bare, ALLOWED_GREETING)
        for kind, query in QUERIES.items()
    }
    assert {kind: cost for kind, cost in costs.items() if cost > ALLOWED_GREETING} == {}
