"""The share of events that is kept: everybody decides alike."""

from __future__ import annotations

import pytest

from gateway.journal.sampling import is_sampled


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_about_the_share_is_kept(share: float) -> None:
    """Of ids that follow one another, too."""
    kept = sum(is_sampled(f"evt_{number:06}", share) for number in range(20_000))

    assert kept == pytest.approx(20_000 * share, rel=0.15)


def test_the_id_decides() -> None:
    """What is kept of a small share is kept of a larger one."""
    kept = [number for number in range(2_000) if is_sampled(f"evt_{number}", 0.1)]

    assert kept
    assert all(is_sampled(f"evt_{number}", 0.2) for number in kept)
