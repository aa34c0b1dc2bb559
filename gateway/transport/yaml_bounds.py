"""What a text in YAML would cost to compose, seen event by event before it is composed.

Composing recurses for each level, PyYAML takes the square of the depth, and aliases of aliases grow exponentially.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml


class Reading(NamedTuple):
    """How far a text has been read.

    Attributes:
        line: The line of the last event, counted from 1.
        aliases: The aliases so far.
        depth: The levels that are open.
    """

    line: int
    aliases: int
    depth: int


def read_events(text: str | bytes) -> Iterator[Reading]:
    """Yield how far a text has been read after each event. A caller that stops early pays for no more.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    aliases = depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        yield Reading(event.start_mark.line + 1 if event.start_mark else 1, aliases, depth)
