"""Lanes: attempts that hang do not take the places of others."""

from __future__ import annotations

from gateway.outbound.lanes import Lane, Lanes


def test_a_lane_has_so_many_places() -> None:
    """And the other one has its own."""
    lanes = Lanes((2, 1))
    lanes.enter(Lane.FAST)
    assert lanes.has_room(Lane.FAST)
    lanes.enter(Lane.FAST)

    assert not lanes.has_room(Lane.FAST)
    assert lanes.has_room(Lane.SLOW)
    lanes.leave(Lane.FAST)
    assert lanes.has_room(Lane.FAST)


def test_an_attempt_that_became_slow_frees_its_place() -> None:
    """Also where the slow lane has none left: it cannot be taken back."""
    lanes = Lanes((2, 1))
    lanes.enter(Lane.FAST)
    lanes.enter(Lane.FAST)
    lanes.move_to_slow()
    lanes.move_to_slow()

    assert lanes.taken == [0, 2]
    assert lanes.has_room(Lane.FAST)
    assert not lanes.has_room(Lane.SLOW)
