"""Finds what belongs to the patterns that match a routing key, among any number of patterns.

The patterns form one tree of words, so that a key costs what matches it, and not one comparison for each pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Node(Generic[Item]):
    """A word of patterns, and what follows it."""

    __slots__ = ("following", "items")

    def __init__(self) -> None:
        self.following: dict[str, _Node[Item]] = {}
        self.items: list[Item] = []


class PatternTree(Generic[Item]):
    """Patterns as topic exchanges of AMQP match them, each with what belongs to it."""

    def __init__(self) -> None:
        self._root: _Node[Item] = _Node()

    def add(self, pattern: str, item: Item) -> None:
        """Add what belongs to a pattern."""
        node = self._root
        for word in pattern.split("."):
            node = node.following.setdefault(word, _Node())
        node.items.append(item)

    def find(self, key: str) -> Iterator[Item]:
        """Yield what belongs to the patterns that match a routing key, as often as it was added."""
        words = key.split(".")
        waiting, seen = [(self._root, 0)], {(id(self._root), 0)}

        def visit(node: _Node[Item] | None, depth: int) -> None:
            # Several ways can lead to one place of a pattern with more than one #.
            if node is not None and (id(node), depth) not in seen:
                seen.add((id(node), depth))
                waiting.append((node, depth))

        while waiting:
            node, depth = waiting.pop()
            if depth == len(words):
                yield from node.items
            else:
                visit(node.following.get(words[depth]), depth + 1)
                visit(node.following.get("*"), depth + 1)
            if (rest := node.following.get("#")) is not None:
                for after in range(depth, len(words) + 1):
                    visit(rest, after)
