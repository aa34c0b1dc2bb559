"""Where a handler failed: the frames of its author, and where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.worker.tracebacks import describe_trace, own_frames, place_of

THIS = Path(__file__).name


def fail_in_library() -> None:
    """Fail below the frames of the standard library."""
    json.loads("{")


def caught(raises: type[Exception] = ValueError) -> Exception:
    """Return an exception with the traceback of a handler that calls a library."""
    with pytest.raises(raises) as found:
        fail_in_library()
    return found.value


def test_frames_of_libraries_are_left_out() -> None:
    """The innermost frame is the last line that the author wrote."""
    assert [frame.name for frame in own_frames(caught())] == ["caught", "fail_in_library"]
    assert describe_trace(caught()).splitlines()[-1].endswith('in fail_in_library: json.loads("{")')


def test_the_place_is_relative_to_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editor takes it; elsewhere the path is whole."""
    monkeypatch.chdir(Path(__file__).parent)
    assert place_of(caught()).startswith(f"{THIS}:")
    monkeypatch.chdir("/")
    assert place_of(caught()).partition(":")[0] == str(Path(__file__)).lstrip("/")


def test_a_handler_that_is_installed_keeps_its_first_and_last_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no frame of an author then."""
    monkeypatch.setattr("gateway.worker.tracebacks._is_installed", lambda _: True)

    assert [frame.name for frame in own_frames(caught())] == ["caught", "raw_decode"]


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    """And no trace."""
    assert place_of(ValueError("x")) == describe_trace(ValueError("x")) == ""
