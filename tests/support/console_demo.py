"""A day in the life of a gateway, for pages to show: entries and numbers of several providers, queues and people."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from gateway.journal import Journal, Point
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.observability.counters import LATENCY_BUCKETS

PROVIDERS: dict[str, Any] = {
    "stripe": {"adapter": "stripe", "secrets": ["whsec_for-the-demo-1", "whsec_for-the-demo-2"]},
    "github": {"adapter": "github", "secrets": ["it-is-long-enough-for-the-demo"]},
    "shopify": {"adapter": "shopify", "secrets": ["it-is-long-enough-for-the-demo"]},
    "slack": {"adapter": "slack", "secrets": ["it-is-long-enough-for-the-demo"]},
}
"""The providers of the demo, as in a configuration."""

_EVENTS = {
    "stripe": (
        ("invoice.paid", "Stripe: invoice in_{n} of 29.00 eur was paid by cus_{c}", "in_{n}", "acct_1Demo"),
        ("invoice.payment_failed", "Stripe: payment of invoice in_{n} of 29.00 eur failed for cus_{c} (attempt 1)", "in_{n}", "acct_1Demo"),
        ("customer.subscription.updated", "Stripe: subscription sub_{n} of cus_{c} is active", "sub_{n}", "acct_1Demo"),
        ("charge.refunded", "Stripe: charge ch_{n} was refunded", "ch_{n}", "acct_1Demo"),
    ),
    "github": (
        ("pull_request.opened", "GitHub: pull request {c} was opened in acme/shop", "acme/shop", "acme"),
        ("push", "GitHub: 3 commits were pushed to main of acme/shop", "acme/shop", "acme"),
        ("workflow_run.completed", "GitHub: workflow run {n} of acme/shop failed", "acme/shop", "acme"),
    ),
    "shopify": (
        ("orders.create", "Shopify: order {n} over 84.50 EUR was created", "{n}", "acme.myshopify.com"),
        ("orders.updated", "Shopify: order {n} was updated", "{n}", "acme.myshopify.com"),
    ),
    "slack": (("app_mention", "Slack: the app was mentioned in C0{c}", "C0{c}", "T0DEMO"),),
}  # fmt: skip
_WEIGHTS = {"stripe": 8, "github": 5, "shopify": 4, "slack": 1}
_QUEUES = {
    "stripe": "billing-agent",
    "github": "review-agent",
    "shopify": "orders-agent",
    "slack": "chat-agent",
}
_FAULTS = ("no_match", "timestamp_too_old", "missing_header", "malformed_signature")


class DemoDay:
    """Makes the entries and the numbers of the last day.

    Args:
        now: Its end, in Unix seconds.
        events: How many events.
        fingerprints: Those of the two secrets of Stripe.
        seed: Makes the same day again.
    """

    def __init__(
        self,
        now: float,
        events: int = 600,
        fingerprints: tuple[str, str] = ("9f2c41aa", "03be77d1"),
        seed: int = 7,
    ) -> None:
        self.now = now
        self._events = events
        self._random = random.Random(seed)
        self._fingerprints = fingerprints
        self._sequence = 0

    def fill(self, journal: Journal) -> None:
        """Write all into a journal."""
        past = (entry for entry in self.entries() if entry.at < self.now)
        journal.append(sorted(past, key=lambda entry: entry.id))
        journal.add_points(list(self.points()))

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of all events, and those of refused requests and people."""
        for number in range(self._events):
            at = self.now - 86_400 * (1 - (number + 0.5) / self._events) + self._random.uniform(-40, 40)
            yield from self._event(min(at, self.now - 2), number)
        yield from self.story(self.now - 1500)
        for action, actor, queue, minutes in (
            ("redriven", "alice", "billing-agent", 22),
            ("released", "bob", "", 95),
            ("replayed", "alice", "orders-agent", 260),
            ("sent", "ci-token", "", 400),
        ):
            yield self._entry(
                self.now - minutes * 60,
                Kind.ACTION,
                action,
                provider="stripe",
                type="invoice.paid",
                event_id=f"evt_1QxDemo{minutes:04d}",
                actor=actor,
                queue=queue,
            )

    def story(self, at: float) -> Iterator[Entry]:
        """Yield the entries of one event with a bit of everything."""
        common: dict[str, Any] = {
            "provider": "stripe",
            "type": "invoice.payment_failed",
            "event_id": "evt_1QxDemoStory",
            "subject": "in_1QxDemoStory",
            "account": "acct_1Demo",
            "summary": "Stripe: payment of invoice in_1QxDemoStory of 29.00 eur failed for cus_RqDemoAda (attempt 1)",
        }
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        yield self._entry(
            at, Kind.RECEIVED, "accepted", "spooled", **common, **self._answer(202), trace=trace
        )
        yield self._entry(at + 2.1, Kind.PUBLISHED, "published", **common)
        worker: dict[str, Any] = {"queue": "billing-agent", "actor": "agent-1:4711", "trace": trace}
        yield self._entry(
            at + 2.3, Kind.HANDLED, "retried", "TimeoutError", **common, **worker, attempt=1, ms=30_012.0,
            detail="agent.py:41 in remind <- crm.py:18 in fetch_customer",
        )  # fmt: skip
        for delay in (4.0, 9.0, 21.0):
            yield self._entry(at + delay, Kind.RECEIVED, "duplicate", **common, **self._answer(200))
        yield self._entry(at + 34.5, Kind.HANDLED, "handled", **common, **worker, attempt=2, ms=412.0)

    def points(self) -> Iterator[Point]:
        """Yield the numbers of each ten minutes."""
        for minute in range(0, 1440, 10):
            at = (self.now - 86_400 + minute * 60) // 60 * 60
            busy = 0.35 + 0.65 * abs(((minute + 400) % 1440) / 720 - 1)
            for provider, weight in _WEIGHTS.items():
                count = int(weight * 90 * busy * self._random.uniform(0.8, 1.2))
                refused = int(count * (0.35 if provider == "shopify" and 1000 < minute < 1060 else 0.002))
                numbers = {
                    "outcome:accepted": count,
                    "outcome:duplicate": int(count * 0.04),
                    "outcome:quarantined": int(count * 0.004),
                    "outcome:invalid_signature": refused,
                    "fault:no_match": refused,
                    "event:accepted": count,
                    "event:duplicate": int(count * 0.04),
                    "event:quarantined": int(count * 0.004),
                    "slot:0": int(count * (0.98 if provider == "stripe" else 1)),
                    "slot:1": int(count * 0.02) if provider == "stripe" else 0,
                    "latency_sum": count * 0.006,
                }
                for bucket in range(len(LATENCY_BUCKETS)):
                    numbers[f"latency:{bucket}"] = int(
                        count * (0.62, 0.24, 0.08, 0.04, 0.015, 0.005)[min(bucket, 5)] * (bucket < 6)
                    )
                for measure, times in numbers.items():
                    if times:
                        yield Point(at, provider, measure, times)

    def _event(self, at: float, number: int) -> Iterator[Entry]:
        chance = self._random.random()
        provider = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if chance < 0.04:
            fault = self._random.choice(_FAULTS)
            yield self._entry(
                at, Kind.RECEIVED, "invalid_signature", fault, provider=provider, **self._answer(401)
            )
            return
        kind, summary, subject, account = self._random.choice(_EVENTS[provider])
        names = {"n": f"1Qx{number:05d}", "c": f"{self._random.randrange(1000, 9999)}"}
        common: dict[str, Any] = {
            "provider": provider,
            "type": kind,
            "event_id": f"{'evt_1QxDemo' if provider == 'stripe' else provider[:2] + '-'}{number:04d}",
            "subject": subject.format(**names),
            "account": account,
            "summary": summary.format(**names),
        }
        slot = int(provider == "stripe" and self._random.random() < 0.02)
        proof: dict[str, Any] = {
            "slot": slot,
            "key": self._fingerprints[slot] if provider == "stripe" else "",
            "age": round(self._random.expovariate(0.8), 1),
        }
        if chance < 0.055:
            yield self._entry(
                at, Kind.RECEIVED, "quarantined", **common, **self._answer(202), **proof,
                detail="/data/object/amount_due: type", reason="schema_mismatch",
            )  # fmt: skip
            return
        yield self._entry(at, Kind.RECEIVED, "accepted", **common, **self._answer(202), **proof)
        worker: dict[str, Any] = {"queue": _QUEUES[provider], "actor": f"agent-{number % 3 + 1}:4711"}
        delay, attempt = 0.02, 1
        while chance > 0.93 and attempt < (9 if chance > 0.985 else 3):
            is_last = attempt == 8
            yield self._entry(
                at + delay, Kind.HANDLED, "dead" if is_last else "retried", "TimeoutError", **common, **worker,
                attempt=attempt, ms=30_000.0, detail="agent.py:41 in remind <- crm.py:18 in fetch_customer",
            )  # fmt: skip
            if is_last:
                return
            delay, attempt = delay * 2 + 31, attempt + 1
        yield self._entry(
            at + delay, Kind.HANDLED, "handled", **common, **worker, attempt=attempt,
            ms=round(self._random.lognormvariate(5.2, 0.9), 1),
        )  # fmt: skip

    def _answer(self, status: int) -> dict[str, Any]:
        return {
            "status": status,
            "ms": round(self._random.lognormvariate(1.2, 0.6), 1),
            "size": self._random.randrange(600, 9000),
            "client": "203.0.113.0/24",
        }

    def _entry(self, at: float, kind: Kind, outcome: str, reason: str = "", **more: Any) -> Entry:
        self._sequence += 1
        return Entry(first_id_at(at) + self._sequence, kind, outcome, reason, gateway="gw-1", **more)
