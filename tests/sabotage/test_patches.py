"""The patches fit the product and the tests; ``make sabotage`` applies them."""

from __future__ import annotations

import pytest

from sabotage.patch import ROOT, Patch
from sabotage.patches_console import CONSOLE
from sabotage.patches_gateway import GATEWAY
from sabotage.patches_outbound import OUTBOUND
from sabotage.patches_security import SECURITY
from sabotage.patches_workers import WORKERS

PATCHES = CONSOLE + GATEWAY + OUTBOUND + SECURITY + WORKERS


def test_there_are_many() -> None:
    """Each with a title of its own."""
    assert len({patch.title for patch in PATCHES}) == len(PATCHES) >= 30


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.title)
def test_a_patch_fits(patch: Patch) -> None:
    """What it replaces stands there once, and the test that it names is there."""
    patch.check(ROOT)
