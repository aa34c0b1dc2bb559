"""Turns: however much a tenant or an endpoint has, everybody else goes on."""

from __future__ import annotations

from gateway.outbound.turns import Turns


def test_tenants_take_turns_and_then_their_endpoints() -> None:
    """A tenant with three endpoints has as many turns as one with one."""
    turns = Turns()
    for tenant, endpoint in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")):
        turns.add(tenant, endpoint)

    assert [turns.next() for _ in range(8)] == ["a1", "b1", "a2", "b1", "a3", "b1", "a1", "b1"]
    assert len(turns) == 4


def test_one_that_is_added_again_keeps_its_place() -> None:
    """Otherwise one that gets much would never have its turn."""
    turns = Turns()
    for endpoint in ("x", "y"):
        turns.add("a", endpoint)
    turns.add("a", "x")

    assert [turns.next(), turns.next()] == ["x", "y"]


def test_those_that_are_gone_take_none() -> None:
    """Nor do those that never took any."""
    turns = Turns()
    assert turns.next() is None
    turns.add("a", "x")
    turns.discard("a", "y")
    turns.discard("b", "x")
    assert turns
    turns.discard("a", "x")

    assert not turns
    assert turns.next() is None
