"""Delete events that wait for an operator: only those that somebody has seen, or whose number somebody has confirmed."""

from __future__ import annotations

from collections import Counter

from gateway.config import Config
from gateway.errors import OperatorError
from gateway.operations.actions import Action, reported_actions
from gateway.operations.letters import OnProgress, finish, ignore, note, read_letters
from gateway.operations.readings import open_letters
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter


class Listed:
    """The events that somebody has seen, and none that came later.

    Attributes:
        copies: How often each failure of an event is listed: an event may fail again, and be in a queue twice.
    """

    def __init__(self) -> None:
        self.copies: Counter[str] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """List an event."""
        self.copies[_failure_of(letter)] += 1

    def take(self, letter: DeadLetter) -> bool:
        """Return whether an event is listed, and strike it off."""
        failure = _failure_of(letter)
        if not self.copies[failure]:
            return False
        self.copies[failure] -= 1
        return True

    def __len__(self) -> int:
        """Return the number of listed events."""
        return self.copies.total()


async def drop_listed(
    config: Config, queue: str, listed: Listed, *, actor: str = "", on_progress: OnProgress = ignore
) -> int:
    """Delete the events that were listed, and return their number.

    Raises:
        OperatorError: The queue does not exist, or the broker fails.
    """
    count, total = 0, len(listed)
    async with (
        reported_actions(config, actor) as actions,
        open_letters(config, queue, is_changed=True) as letters,
    ):
        on_progress(0, total)

        async def drop(letter: DeadLetter) -> None:
            nonlocal count
            await letters.drop(letter)
            note(actions, Action.DROPPED, letter, queue)
            count += 1
            on_progress(count, total)

        async for letter in letters.browse():
            if listed.take(letter):
                await finish(drop(letter))
    on_progress(count, count)
    return count


async def drop_letters(
    config: Config,
    queue: str,
    event_filter: EventFilter,
    *,
    confirmed: int,
    actor: str = "",
    on_progress: OnProgress = ignore,
) -> int:
    """Delete the selected events if there are as many as somebody has confirmed, and return their number.

    Raises:
        OperatorError: There are more or fewer, the queue does not exist, or the broker fails. Nothing was deleted if the
            number differs.
    """
    listed = Listed()
    await read_letters(config, queue, event_filter, on_letter=listed.add)
    if len(listed) != confirmed:
        raise OperatorError(
            f"{queue} has {len(listed):,} such events now, and {confirmed:,} were confirmed; nothing was deleted. "
            "Look at them again and confirm their number"
        )
    return await drop_listed(config, queue, listed, actor=actor, on_progress=on_progress)


def _failure_of(letter: DeadLetter) -> str:
    """Return what distinguishes this failure of an event from a later one of the same event."""
    return f"{letter.when} {letter.message_id}"
