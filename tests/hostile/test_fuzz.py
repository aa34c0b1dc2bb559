"""No bytes cause a 500, each request has one outcome, and only signed events are published."""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostile.mutations import Tally, fuzz, mutate, split
from hostile.signed import acme, github, partner, stripe
from hostile.target import Target
from hostile.wire import Wire, converse
from support.inbox import data_of
from support.waiting import wait_until

INPUTS = int(os.environ.get("HOSTILE_FUZZ_INPUTS", "3000"))
"""How many inputs the byte-level fuzzer sends."""

SEED = int(os.environ.get("HOSTILE_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
"""What the inputs are made from; a failure tells it, and setting it repeats them."""

BATCH = 500
SIGNERS = (acme, github, stripe, partner)


def _expect_only_signed(target: Target, signed: set[bytes], before: Counter[str], tally: Tally) -> None:
    """Expect that all answers were counted, none was a bug, and only signed events were published."""
    assert tally.bugs == {}
    # A client that leaves before its answer is counted, too. No answer goes out uncounted.
    wait_until(lambda: tally.answers <= target.outcomes() - before, 5, f"{tally.answers} were counted")
    assert "internal" not in target.outcomes()
    assert {data_of(event) for event in target.published().values()} <= signed
    target.expect_well()


async def test_mutated_requests(target: Target) -> None:
    """Valid requests with bytes flipped, put in, taken out, doubled and mixed, cut into any pieces."""
    signed = {data_of(event) for event in target.published().values()} | {partner(target.secrets).body}
    for begin in range(0, INPUTS, BATCH):
        # Signed anew for each batch: their moments must not pass while the fuzzer runs.
        wires = [signer(target.secrets) for signer in SIGNERS * 6]
        signed |= {wire.body for wire in wires}
        seeds = [bytes(wire.chunked() if number % 3 else wire) for number, wire in enumerate(wires)]
        seeds += [first + second for first, second in pairwise(seeds)]

        def make(number: int, begin: int = begin, seeds: list[bytes] = seeds) -> list[bytes]:
            numbers = random.Random(f"{SEED}-{begin + number}")
            return split(mutate(seeds, numbers), numbers)

        before = target.outcomes()
        tally = await fuzz(target.address, make, min(BATCH, INPUTS - begin))
        tally.bugs = {f"HOSTILE_FUZZ_SEED={SEED}, {begin}+{name}": data for name, data in tally.bugs.items()}
        _expect_only_signed(target, signed, before, tally)


_BYTES = st.binary(max_size=20)
_VALUES = st.one_of(
    _BYTES, st.sampled_from([b"", b"0", b"1", b"chunked", b"close", b"keep-alive", b"application/json"])
)
_NAMES = st.one_of(
    st.from_regex(rb"[A-Za-z-]{1,12}", fullmatch=True),
    st.sampled_from([
        b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Expect", b"Content-Type",
        b"Content-Encoding", b"X-Acme-Signature", b"X-Acme-Timestamp", b"X-Forwarded-For", b"traceparent", b"Trailer",
    ]),
    _BYTES,
)  # fmt: skip
_LINES = st.one_of(
    st.just(b"POST /webhooks/acme HTTP/1.1"),
    st.tuples(
        st.sampled_from([b"POST", b"GET", b"HEAD", b"post", b"CONNECT", b"PRI"]) | _BYTES,
        st.sampled_from(
            [b"/webhooks/acme", b"/webhooks/", b"*", b"http://x/webhooks/acme", b"/webhooks/%61cme"]
        )
        | _BYTES,
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0"]) | _BYTES,
    ).map(b" ".join),
)
_FRAMINGS = st.sampled_from(["length", "chunked", "none", "both"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=_LINES,
    extra=st.lists(st.tuples(_NAMES, _VALUES), max_size=6),
    framing=_FRAMINGS,
    body=st.none() | st.binary(max_size=60),
    is_signed=st.booleans(),
)
def test_requests_by_their_grammar(
    target: Target,
    line: bytes,
    extra: list[tuple[bytes, bytes]],
    framing: str,
    body: bytes | None,
    *,
    is_signed: bool,
) -> None:
    """Any method, target, version, fields, framing and body, signed or not."""
    wire = acme(target.secrets, body)
    signed = {wire.body} if is_signed else set()
    if not is_signed:
        wire = wire.but("X-Acme-Signature", "sha256=" + "0" * 64)
    _, stored = target.stored()

    exchange = converse(
        target.address, _framed(wire, framing, line, extra), half_close=True, until_closed=True
    )

    assert all(reply.status != 500 for reply in exchange.replies)
    published = target.stored()[1] - stored
    assert published <= len(signed)
    if signed and published:
        assert wire.body in {data_of(event) for event in target.published().values()}


def _framed(wire: Wire, framing: str, line: bytes, extra: list[tuple[bytes, bytes]]) -> bytes:
    match framing:
        case "chunked":
            wire = wire.chunked()
        case "none":
            wire = wire.without("Content-Length")
        case "both":
            wire = wire.plus("Transfer-Encoding", "chunked")
    for name, value in extra:
        wire = wire.plus(name, value)
    return bytes(wire.asking(line))
