"""The pages in the order of the navigation, with the key that leads to each after `g`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A link of the navigation.

    Attributes:
        href: The path.
        label: The name of the page.
        icon: Its icon.
        key: The letter after `g`; empty for none.
        waiting: How many events wait there.
        tone: The tone of the number.
    """

    href: str
    label: str
    icon: str
    key: str = ""
    waiting: int = 0
    tone: str = ""


_GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "",
        (
            Entry("/", "Overview", "home", "o"),
            Entry("/events", "Events", "event", "e"),
            Entry("/requests", "Requests", "request", "r"),
            Entry("/live", "Live", "live", "l"),
        ),
    ),
    (
        "Waiting for you",
        (
            Entry("/quarantine", "Quarantine", "quarantine", "n", tone="warn"),
            Entry("/dead-letters", "Dead letters", "dead", "d", tone="bad"),
            Entry("/unrouted", "Unrouted", "unrouted", "u", tone="warn"),
            Entry("/refusals", "Refusals", "refusal", "f"),
        ),
    ),
    (
        "System",
        (
            Entry("/providers", "Providers", "provider", "p"),
            Entry("/queues", "Queues", "queue", "q"),
            Entry("/replay", "Replay", "replay", "y"),
            Entry("/settings", "Settings", "settings", "s"),
        ),
    ),
)


def navigation(waiting: Mapping[str, int]) -> list[tuple[str, list[Entry]]]:
    """Return the navigation with the number of events that wait for somebody on each page."""
    return [
        (group, [entry._replace(waiting=waiting.get(entry.href, 0)) for entry in entries])
        for group, entries in _GROUPS
    ]


def label_of(href: str) -> str:
    """Return the name of the page at a path of the navigation."""
    return next(entry.label for _, entries in _GROUPS for entry in entries if entry.href == href)
