"""Explain a refused request that the gateway has kept in memory."""

from __future__ import annotations

from gateway.config import Config
from gateway.devtools.explain import Capture, Explanation


def explain_refusal(
    config: Config, provider: str, capture: Capture, *, now: float, arrived_at: float | None = None
) -> Explanation:
    """Try the common mistakes on one request, with the secrets that the configuration has now.

    Raises:
        OperatorError: The configuration has no such provider.
    """
    raise NotImplementedError
