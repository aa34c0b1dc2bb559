"""Which events something is done with, as bodies of the API say it, and acts as the work of jobs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from gateway.console.problems import Problem
from gateway.operations.jobs import Work
from gateway.operations.letters import OnProgress
from gateway.queues.filter import EventFilter

Word = Annotated[str, Meta(min_length=1, max_length=255)]
Ids = Annotated[list[Annotated[str, Meta(min_length=1, max_length=2048)]], Meta(max_length=1000)]
Number = Annotated[int, Meta(ge=1)]
Filter = TypeVar("Filter", bound=EventFilter)


class Selection(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The events that something is done with: those that meet all conditions.

    Attributes:
        group: The id of their group.
        ids: Their ids.
        provider: Their provider.
        type: A pattern of their types.
        reason: A text within their reason.
        since: The earliest time of receipt, in Unix seconds.
        until: The latest time of receipt, in Unix seconds.
    """

    group: Word | None = None
    ids: Ids = []
    provider: Word | None = None
    type: Word | None = None
    reason: Word | None = None
    since: float | None = None
    until: float | None = None


class Move(Selection, kw_only=True):
    """Events to move.

    Attributes:
        limit: The number of events at most.
        dry_run: Whether they only are to be counted.
    """

    limit: Number | None = None
    dry_run: bool = False


class Dropping(Selection, kw_only=True):
    """Events to delete.

    Attributes:
        confirmed: Their number. If there are more or fewer by now, none is deleted.
    """

    confirmed: Number


def work_of(act: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Work:
    """Return an act as the work of a job."""

    def work(on_progress: OnProgress) -> Awaitable[Any]:
        return act(*arguments, **named, on_progress=on_progress)

    return work


def filter_of(kind: type[Filter], body: Selection) -> Filter:
    """Return the filter of a kind that selects what a body says.

    Raises:
        Problem: The kind of filter knows no groups, and the body names one.
    """
    conditions: dict[str, Any] = {
        "provider": body.provider,
        "pattern": body.type,
        "ids": frozenset(body.ids),
        "reason": body.reason,
        "since": -math.inf if body.since is None else body.since,
        "until": math.inf if body.until is None else body.until,
        "group": body.group,
    }
    known = {each.name for each in fields(kind)}
    if body.group and "group" not in known:
        raise Problem("invalid_body", "unrouted events have no groups; give provider and type")
    return kind(**{name: value for name, value in conditions.items() if name in known})


FAILS = ("operation_failed",)
"""What an operation that asks the broker may answer."""
