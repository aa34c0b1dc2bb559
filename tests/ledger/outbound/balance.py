"""Whether everything balances: each promise of the way out with what came of it, and what broke it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.outbound.models import Attempt, Delivery, DeliveryState, Endpoint, EndpointState, Health
from ledger.balance import Row
from ledger.outbound.producer import Producer
from ledger.outbound.targets import Request, Target

if TYPE_CHECKING:
    from ledger.outbound.run import Diary

_SLACK = 0.25
"""Seconds by which the clocks of the database, the receivers and the way out may differ: they are one machine's."""

_BUSY = 5.0
"""Seconds by which a busy machine may be late to end an attempt."""

_HEALTH_DELAY = 2.5
"""Seconds after which the state of an endpoint is written, and everybody knows it."""

_SHOWN = 5


class Pair(NamedTuple):
    """An event for an endpoint."""

    endpoint: str
    message: str


class Balance:
    """What came out of a run.

    Attributes:
        rows: The lines of the balance.
        offenders: By the title of a promise, what broke it.
    """

    def __init__(
        self,
        seed: int,
        targets: Mapping[str, Target],
        producer: Producer,
        diary: Diary,
        deliveries: Sequence[Delivery],
        attempts: Mapping[str, Sequence[Attempt]],
        endpoints: Sequence[tuple[Endpoint, Health]],
        log: Path,
        timeout: float,
    ) -> None:
        self._seed = seed
        self._targets = targets
        self._producer = producer
        self._diary = diary
        self._deliveries = {Pair(each.endpoint, each.message): each for each in deliveries}
        self._attempts = {pair: list(attempts.get(each.id, ())) for pair, each in self._deliveries.items()}
        self._requests: defaultdict[Pair, list[Request]] = defaultdict(list)
        for name, target in targets.items():
            for request in target.log:
                self._requests[Pair(f"ep_{name}", request.message)].append(request)
        self._endpoints = endpoints
        self._log = log
        self._timeout = timeout
        self.offenders: dict[str, list[str]] = {}
        self.rows = [*self._volume(), *self._promises()]

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return all(row.is_good is not False for row in self.rows)

    def explain(self) -> str:
        """Everything that helps to find out why a promise was not kept."""
        parts = [f"seed {self._seed}", *(f"{row.title}: {row.value}" for row in self.rows)]
        for title, found in self.offenders.items():
            parts += [f"--- {title}", *found[:_SHOWN]]
        return "\n".join(parts)

    def _volume(self) -> Iterator[Row]:
        states = Counter(each.state.value for each in self._deliveries.values())
        requests = sum(map(len, self._requests.values()))
        recorded = sum(map(len, self._attempts.values()))
        yield Row("seed", str(self._seed))
        yield Row("kills of the way out", f"{len(self._diary.kills):,}")
        for name, count in sorted(self._diary.faults.items()):
            yield Row(f"  {name}", f"{count:,}")
        yield Row("events confirmed", f"{self._producer.confirmed:,}")
        yield Row("events published again without a confirm", f"{self._producer.repeated:,}")
        yield Row("deliveries", ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())))
        yield Row("requests that arrived", f"{requests:,}")
        yield Row("attempts recorded", f"{recorded:,}")
        copies = sum(max(_taken(each) - 1, 0) for each in self._requests.values())
        lost = sum(
            max(len(each) - len(_accepted(self._attempts.get(pair, ()))), 0)
            for pair, each in self._requests.items()
        )
        yield Row("requests in flight at a kill: begun, and their outcome not recorded", f"{lost:,}")
        yield Row("events that a receiver took twice", f"{copies:,}", copies <= lost)
        yield Row("in flight at each kill, on average", f"{lost / max(len(self._diary.kills), 1):.2f}")

    def _promises(self) -> Iterator[Row]:
        yield self._none("lost: confirmed and not taken by a receiver", self._lost())
        yield self._none("delivered in the database and not taken by its receiver", self._made_up())
        yield self._none("sent again though it was recorded as delivered", self._sent_again())
        yield self._none("one event under two ids, or with two bodies", self._unlike())
        yield self._none("earlier than Retry-After allows", self._too_early())
        yield self._none("attempts beyond their deadline", self._too_late())
        yield self._none("overtaken within their key", self._overtaken())
        yield self._none("sent to an endpoint that is gone", self._sent_to_gone())
        yield self._none("tracebacks in the log", self._tracebacks())

    def _none(self, title: str, found: Iterator[str]) -> Row:
        self.offenders[title] = offenders = list(found)
        return Row(title, f"{len(offenders):,}", not offenders)

    def _lost(self) -> Iterator[str]:
        for name, target in self._targets.items():
            if name == "gone":  # what is held for it is in the list of deliveries
                held = {pair.message for pair in self._deliveries if pair.endpoint == "ep_gone"}
                if len(held) != self._producer.confirmed:
                    yield f"gone: {len(held)} deliveries"
                continue
            taken = {each.event for each in target.log if each.status == 200}
            for number in range(self._producer.confirmed):
                if f"evt_{number}" not in taken:
                    yield f"{name}: evt_{number}"

    def _made_up(self) -> Iterator[str]:
        for pair, delivery in self._deliveries.items():
            if delivery.state is DeliveryState.DELIVERED and not _taken(self._requests[pair]):
                yield f"{pair}"

    def _sent_again(self) -> Iterator[str]:
        for pair, attempts in self._attempts.items():
            accepted = _accepted(attempts)
            done = min((_end(each) for each in accepted if each.outcome == "delivered"), default=None)
            for request in self._requests[pair]:
                if done is not None and request.at > done + _SLACK:
                    yield f"{pair}: at {request.at:.3f}, delivered at {done:.3f}"

    def _unlike(self) -> Iterator[str]:
        known: dict[str, tuple[str, str]] = {}
        for target in self._targets.values():
            for each in target.log:
                if known.setdefault(each.event, (each.message, each.digest)) != (each.message, each.digest):
                    yield each.event

    def _too_early(self) -> Iterator[str]:
        for pair, attempts in self._attempts.items():
            for attempt in attempts:
                if attempt.retry_after is None:
                    continue
                for request in self._requests[pair]:
                    if _SLACK < request.at - _end(attempt) < attempt.retry_after - _SLACK:
                        yield f"{pair}: {request.at - _end(attempt):.3f} s after one that asked for {attempt.retry_after:g}"

    def _too_late(self) -> Iterator[str]:
        for pair, attempts in self._attempts.items():
            for attempt in attempts:
                if attempt.ms > 1000 * (self._timeout + _BUSY):
                    yield f"{pair}: {attempt.ms:.0f} ms"

    def _overtaken(self) -> Iterator[str]:
        """Each request of a key comes after all earlier events of the key were taken."""
        taken: dict[int, float] = {}
        by_subject: defaultdict[str, set[int]] = defaultdict(set)
        for each in self._targets["ordered"].log:
            for earlier in by_subject[each.subject]:
                if earlier < each.sequence and taken.get(earlier, float("inf")) > each.at:
                    yield f"{each.subject}: {each.sequence} before {earlier}"
                if earlier > each.sequence and each.sequence not in by_subject[each.subject]:
                    yield f"{each.subject}: {earlier} before {each.sequence}"
            by_subject[each.subject].add(each.sequence)
            if each.status == 200 and each.answered_at is not None:
                taken[each.sequence] = min(each.answered_at, taken.get(each.sequence, float("inf")))

    def _sent_to_gone(self) -> Iterator[str]:
        """After a 410 nothing comes any more, unless a kill came before that was written."""
        state = next(health.state for endpoint, health in self._endpoints if endpoint.id == "ep_gone")
        log = self._targets["gone"].log
        refused = [each.at for each in log if each.status == 410]
        if refused and state is not EndpointState.DISABLED:
            yield f"its endpoint is {state}"
        for at in refused:
            later = [each.at for each in log if each.at > at + _HEALTH_DELAY]
            if later and not any(at < kill < later[0] for kill in self._diary.kills):
                yield f"{later[0] - at:.3f} s after a 410"

    def _tracebacks(self) -> Iterator[str]:
        with self._log.open(encoding="utf-8", errors="replace") as lines:
            yield from (line.rstrip()[:2000] for line in lines if "Traceback" in line)


def _taken(requests: Sequence[Request]) -> int:
    return sum(each.status == 200 for each in requests)


def _end(attempt: Attempt) -> float:
    return attempt.at + attempt.ms / 1000


def _accepted(attempts: Sequence[Attempt]) -> Collection[Attempt]:
    """Return the attempts whose outcome changed their delivery.

    One that a killed process had sent to the database, and that was written after its successor took over, is kept, and changed
    nothing. Its number is that of an attempt of the successor, which ended later.
    """
    return {each.number: each for each in sorted(attempts, key=_end)}.values()
