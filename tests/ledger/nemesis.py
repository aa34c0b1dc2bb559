"""The nemesis: a thread per target that injects faults at random times, from a seed."""

from __future__ import annotations

import random
import threading

from ledger.book import Book, Fault
from ledger.faults import KILL, Kind

# Seconds between two faults of a target, at most.
_PAUSES = {"gateway": 4.0, "Redis": 3.0, "RabbitMQ": 5.0, "clients": 5.0}
# What comes of them, in faults a second.
_KILLS, _OTHERS = 0.29, 1.2


class Nemesis:
    """Injects faults until it is stopped, and undoes them all.

    Args:
        kinds: what can happen, by target.
        book: what takes note.
        seed: of all its choices.
        kills: how many kills of the gateway there are to be.
        faults: how many others.
        seconds: over how long; 0 for as soon as can be.
    """

    def __init__(
        self,
        kinds: dict[str, tuple[Kind, ...]],
        book: Book,
        seed: int,
        kills: int,
        faults: int,
        seconds: float,
    ) -> None:
        slower = max(1.0, seconds * _OTHERS / faults)
        self._pauses = {target: pause * slower for target, pause in _PAUSES.items()}
        self._pauses["gateway"] = _PAUSES["gateway"] * max(1.0, seconds * _KILLS / kills)
        self._kinds = kinds
        self._book = book
        self._is_over = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(
                target=self._harm,
                args=(target, random.Random(f"{seed} {target}")),
                name=f"nemesis of {target}",
            )
            for target in kinds
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, with every fault undone.

        Raises:
            BaseException: a fault could not be done or undone.
        """
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    @property
    def has_failed(self) -> bool:
        """Whether a fault could not be done or undone."""
        return bool(self._failures)

    @property
    def kills(self) -> int:
        """How often the gateway was killed."""
        return sum(fault.name == KILL for fault in self._book.faults)

    @property
    def faults(self) -> int:
        """How many faults there were beside the kills."""
        return len(self._book.faults) - self.kills

    def _harm(self, target: str, dice: random.Random) -> None:
        try:
            while not self._is_over.wait(dice.uniform(0, self._pauses[target])):
                kinds = self._kinds[target]
                (kind,) = dice.choices(kinds, [kind.weight for kind in kinds])
                self._inflict(target, kind, dice.uniform(0, kind.longest))
        except BaseException as error:  # noqa: BLE001 -- raised again by stop
            self._failures.append(error)

    def _inflict(self, target: str, kind: Kind, duration: float) -> None:
        began = self._book.now()
        with kind.make():
            self._is_over.wait(duration)
        self._book.faults.append(Fault(began, self._book.now(), target, kind.name))
