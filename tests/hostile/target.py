"""A running gateway under hostile input, and what holds of it whatever is sent."""

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hostile.signed import partner
from hostile.wire import Exchange, Wire, address_of, converse
from support.gateway_process import GatewayProcess
from support.waiting import PATIENCE, wait_until

MAX_GROWTH = 100 * 1024**2
"""Bytes of memory that hostile input may cost; the inputs themselves amount to many times that."""


DISCONNECTED = "client_disconnected"

_OUTCOME = re.compile(r'webhook_requests_total\{.*outcome="(\w+)"')
_PUBLISHED = {"accepted", "quarantined"}
_REQUEST = '"event":"request"'
_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


_LOOKED_AT = (
    *(
        "webhook_observed_",
        "webhook_queue_",
        "webhook_worker_",
        "webhook_spool_bytes",
        "webhook_spool_max_bytes",
    ),
    *("webhook_spool_oldest_", "webhook_secret_last_match_", "webhook_secret_removable"),
    "webhook_certificate_expires_",
)
"""How the names of metrics begin that the console adds when it has looked for the first time."""


@dataclass(frozen=True)
class Input:
    """One row of the tables of hostile inputs.

    Attributes:
        number: in the list of 122.
        name: what is wrong with it.
        send: makes the bytes, or the pieces to send one by one, from the secrets of the senders.
        answer: the status and the reason; nothing when the connection just ends.
        closes: whether the connection must be closed afterwards, since no one can tell where the next
            request begins.
        half_close: whether the sender says that no more will come.
    """

    number: int
    name: str
    send: Callable[..., Wire | bytes | Iterable[bytes]]
    answer: str
    closes: bool = False
    half_close: bool = False

    def __str__(self) -> str:
        return f"{self.number}-{self.name[:60].replace(' ', '-')}"


class Target:
    """A gateway with the embedded stores, watched from outside.

    Attributes:
        gateway: the process.
        secrets: of its senders.
        address: of the public listener.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.secrets = gateway.secrets
        self.address = address_of(gateway.url)
        self._series = self._counted()
        self._memory = self.memory()

    def expect(self, hostile: Input) -> None:
        """Send one input; raise unless it gets its answer and the gateway is none the worse for it."""
        pieces = hostile.send(self.secrets)
        with self.watching() as watch:
            exchange = converse(
                self.address,
                bytes(pieces) if isinstance(pieces, Wire) else pieces,
                until_closed=hostile.closes,
                half_close=hostile.half_close,
            )
            if hostile.answer == DISCONNECTED:
                watch.expected[DISCONNECTED] += 1
                assert exchange.replies == [], exchange
            else:
                watch.note(exchange)
                assert exchange.answer == hostile.answer, exchange
            assert exchange.interim == [], exchange
            assert exchange.is_closed or not hostile.closes, exchange

    def _counted(self) -> set[str]:
        """The series of what is counted of requests; the console looks at queues, workers and secrets now and then."""
        return {series for series in self.scrape() if not series.startswith(_LOOKED_AT)}

    def watching(self) -> Watch:
        """A block after which the gateway must be as well as before."""
        return Watch(self)

    def scrape(self) -> dict[str, float]:
        """All metrics: the value of each series."""
        page = converse(address_of(self.gateway.admin_url), _SCRAPE).replies[0].body.decode()
        samples = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in samples}

    def outcomes(self) -> Counter[str]:
        """How many requests ended in which way so far."""
        counts: Counter[str] = Counter()
        for series, value in self.scrape().items():
            if match := _OUTCOME.match(series):
                counts[match[1]] += int(value)
        return +counts

    def stored(self) -> tuple[int, int]:
        """How many claims and how many messages there are."""
        with self._database() as database:
            (counts,) = database.execute(
                "SELECT (SELECT count(*) FROM claims), (SELECT count(*) FROM messages)"
            ).fetchall()
        return int(counts[0]), int(counts[1])

    def published(self) -> dict[str, bytes]:
        """The newest event of each id, as workers would get it."""
        with self._database() as database:
            return dict(database.execute("SELECT message_id, body FROM messages ORDER BY id").fetchall())

    def cpu_seconds(self) -> float:
        """Processor time that the process has needed so far."""
        fields = Path(f"/proc/{self.gateway.child.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of memory that the process has now."""
        status = Path(f"/proc/{self.gateway.child.pid}/status").read_text("ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def expect_well(self) -> None:
        """Raise unless it serves, has grown no labels and little memory, and complains of nothing."""
        wire = partner(self.secrets)
        exchange = converse(self.address, bytes(wire))
        assert exchange.answer == "202 accepted"
        assert self._counted() == self._series
        assert self.memory() < self._memory + MAX_GROWTH
        log = self.gateway.stdout
        assert '"level":"error"' not in log, self.gateway.report()
        assert "Traceback" not in log + self.gateway.stderr, self.gateway.report()
        self.secrets.expect_absent(log, self.gateway.stderr)
        wait_until(
            lambda: self.gateway.stdout.count(_REQUEST) == self.outcomes().total(),
            PATIENCE,
            "each request had one line in the log",
        )

    def _database(self) -> sqlite3.Connection:
        path = self.gateway.directory / "var" / "embedded.db"
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


class Watch:
    """See :meth:`Target.watching`.

    Attributes:
        expected: the outcomes that must be counted and logged for what was sent within the block.
    """

    def __init__(self, target: Target) -> None:
        self.expected: Counter[str] = Counter()
        self._target = target

    def note(self, exchange: Exchange) -> None:
        """Expect one outcome for each answer that was got."""
        self.expected.update(reply.word for reply in exchange.replies)

    def __enter__(self) -> Self:
        self._outcomes = self._target.outcomes()
        self._stored = self._target.stored()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # that is what is wrong
            return
        target = self._target
        expected, published = self.expected, sum(self.expected[outcome] for outcome in _PUBLISHED)
        claims, messages = target.stored()
        assert "internal" not in expected
        assert messages == self._stored[1] + published
        # A refused request leaves nothing behind. Other tests see what an accepted event leaves.
        assert published or claims == self._stored[0]
        wait_until(
            lambda: target.outcomes() - self._outcomes == expected,
            PATIENCE,
            f"the outcomes {dict(expected)} were counted, and no others",
        )
        target.expect_well()
