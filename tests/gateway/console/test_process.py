"""The console as a program: what it does before it serves anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import gateway
from gateway.console.launch import MODULE


def run(**settings: object) -> subprocess.CompletedProcess[str]:
    """Run it with these settings to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", MODULE, json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("more", [{}, {"a": "setting of another version"}])
def test_another_version_is_not_what_the_gateway_runs(more: dict[str, object]) -> None:
    """After an upgrade, the files on disk are another program than the one that runs."""
    done = run(version="0.0.1", log_format="json", **more)

    assert done.returncode == 1
    assert done.stderr == ""
    line = json.loads(done.stdout)
    assert line["event"] == "another version is installed; restart the gateway"
    assert (line["running"], line["installed"]) == ("0.0.1", gateway.__version__)


def test_it_does_not_outlive_a_gateway_that_ended_before_it_began() -> None:
    """Nobody would end it."""
    descriptors = {"admin": [], "counters": 0, "readiness": 0, "captures": None, "outbound": 0}
    done = run(
        config="config.yaml",
        bind=None,
        admin_bind=None,
        is_dev=False,
        log_format="json",
        slots=1,
        descriptors=descriptors,
        version=gateway.__version__,
        parent=os.getppid(),
        predecessor="",
        lifeline=0,
        starts=0,
    )

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
