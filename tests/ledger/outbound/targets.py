"""The receivers of a run: each fails in its own way, and notes every request."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass

from support.receivers import Behaviour, Conversation, Receiver, head_of

ORDER_KEYS = 20
"""Subjects that events of the endpoint with an order have."""

_RESPITE = 2.0
"""Seconds that a receiver asks to be spared for, at most three times as long."""

_SLOWEST = 0.05
"""Seconds that an answer takes at most: what is in flight at a kill would else be hard to hit."""


@dataclass
class Request:
    """One request that arrived.

    Attributes:
        message: Its `webhook-id`.
        event: The id of its event.
        at: When it arrived, in Unix seconds.
        status: What it is answered; None if it is not.
        answered_at: When it was answered; None if it was not.
        digest: That of its body.
        subject: The subject of the event.
        sequence: The sequence of the event.
    """

    message: str
    event: str
    at: float
    digest: str
    subject: str
    sequence: int
    status: int | None = None
    answered_at: float | None = None


class Target(Receiver):
    """A receiver that takes everything.

    Args:
        seed: Of its choices.

    Attributes:
        log: The requests, in the order of their arrival.
    """

    settings: dict[str, object] = {}  # noqa: RUF012 -- of its endpoint, by class

    def __init__(self, seed: str) -> None:
        super().__init__(Behaviour("ledger", self._act, keeps=True))
        self.dice = random.Random(seed)
        self.log: list[Request] = []
        self.tries: defaultdict[str, int] = defaultdict(int)

    async def _act(self, conversation: Conversation) -> None:
        received = self.requests.pop()  # the log has it, in less memory
        event = json.loads(received.body)
        request = Request(
            received.headers["webhook-id"],
            event["id"],
            time.time(),
            hashlib.sha256(received.body).hexdigest(),
            event["subject"],
            int(event["sequence"]),
        )
        self.log.append(request)
        self.tries[request.message] += 1
        await self.answer(conversation, request, is_first=self.tries[request.message] == 1)

    async def answer(self, conversation: Conversation, request: Request, *, is_first: bool) -> None:
        """Answer a request; fails at the first try of an event alone, so that a run ends in time."""
        del is_first
        await self.respond(conversation, request, 200)

    async def respond(self, conversation: Conversation, request: Request, status: int, **fields: str) -> None:
        """Answer with a status after a moment, and note it before the client can know."""
        await asyncio.sleep(self.dice.uniform(0, _SLOWEST))
        request.status, request.answered_at = status, time.time()
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        await conversation.send(head_of(status, {"Content-Length": "0", **named}))


class Flaky(Target):
    """Fails one event in twelve: with 500, by a reset, or without an answer."""

    async def answer(self, conversation: Conversation, request: Request, *, is_first: bool) -> None:
        """See :class:`Target`."""
        if not is_first or self.dice.random() > 1 / 12:
            await self.respond(conversation, request, 200)
        elif (kind := self.dice.randrange(3)) == 0:
            await self.respond(conversation, request, 500)
        elif kind == 1:
            conversation.reset()
        else:
            await conversation.gone()


class Limited(Target):
    """Asks to be spared for a while at one event in a hundred."""

    async def answer(self, conversation: Conversation, request: Request, *, is_first: bool) -> None:
        """See :class:`Target`."""
        if is_first and self.dice.random() < 1 / 100:
            seconds = str(round(_RESPITE * self.dice.randint(1, 3)))
            await self.respond(conversation, request, self.dice.choice([429, 503, 500]), Retry_After=seconds)
        else:
            await self.respond(conversation, request, 200)


class Ordered(Target):
    """Wants events of one subject one after another, and fails one in a hundred."""

    settings = {"order": "subject"}  # noqa: RUF012 -- as above

    async def answer(self, conversation: Conversation, request: Request, *, is_first: bool) -> None:
        """See :class:`Target`."""
        fails = is_first and self.dice.random() < 1 / 100
        await self.respond(conversation, request, 500 if fails else 200)


class Gone(Target):
    """Is gone after a while, and for ever."""

    async def answer(self, conversation: Conversation, request: Request, *, is_first: bool) -> None:
        """See :class:`Target`."""
        await self.respond(conversation, request, 410 if len(self.log) > ORDER_KEYS else 200)


TARGETS: dict[str, type[Target]] = {
    "steady": Target,
    "flaky": Flaky,
    "limited": Limited,
    "ordered": Ordered,
    "gone": Gone,
}
