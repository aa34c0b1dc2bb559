"""The event types that a provider sends and the configuration leaves out, each reported once."""

from __future__ import annotations

import structlog

_MAX_TYPES = 1000
"""Event types of a provider that are remembered; it has far fewer, unless it makes them up."""

log = structlog.get_logger()


class IgnoredTypes:
    """Reports the first ignored event of each type of one provider: a filter with a typing error looks like this.

    Args:
        provider: The provider's name in the configuration.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._reported: set[str] = set()

    def note(self, event_type: str) -> None:
        """Report ``event_type``, unless it was reported before."""
        if event_type not in self._reported and len(self._reported) < _MAX_TYPES:
            self._reported.add(event_type)
            log.warning(
                "event type ignored",
                provider=self._provider,
                event_type=event_type,
                cause=f"no pattern in providers.{self._provider}.events matches it; logged once a type",
            )
