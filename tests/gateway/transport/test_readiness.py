"""Waiting until something is ready."""

from __future__ import annotations

import math

import pytest

from gateway.transport.readiness import wait_ready


@pytest.mark.parametrize("timeout", [60.0, math.inf])
async def test_it_returns_as_soon_as_it_is_ready(timeout: float) -> None:
    """Each look is a chance, and the time is not waited out."""
    looks = iter([False, False, True])

    assert await wait_ready(lambda: next(looks), timeout)


async def test_what_is_ready_is_not_waited_for() -> None:
    """Not even with no time at all."""
    assert await wait_ready(lambda: True, 0)


async def test_it_gives_up_after_the_timeout() -> None:
    """And says so."""
    assert not await wait_ready(lambda: False, 0.05)
