"""A request that is not sent: as bytes that `gateway explain` reads, and as words of a shell."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

from gateway.cli.saved_request import as_curl, as_http, write_request
from gateway.devtools.explain import read_capture
from gateway.devtools.simulator import SignedRequest
from gateway.errors import OperatorError

BODY = '{\n  "note": "it\'s $HOME `ls` \\\\ ☃"\n}\n'.encode()
REQUEST = SignedRequest("1", "http://127.0.0.1:8080/webhooks/acme?a=b", {"X-Signature": "t='1'"}, BODY)


def test_the_bytes_are_what_explain_reads() -> None:
    """The same method, address, header fields and body."""
    capture = read_capture(as_http(REQUEST), 10_000)

    assert (capture.method, capture.url, capture.body) == ("POST", "/webhooks/acme?a=b", BODY)
    assert capture.headers.get(b"x-signature") == b"t='1'"
    assert capture.headers.get(b"host") == b"127.0.0.1:8080"


def test_the_command_survives_the_shell() -> None:
    """Quotes, variables, commands and line feeds are passed on as they are."""
    words = shlex.split(as_curl(REQUEST).replace("\\\n", ""))

    assert words == [
        *("curl", "-i", REQUEST.url, "-H", "X-Signature: t='1'", "--data-binary", BODY.decode()),
    ]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b"])
def test_a_body_that_no_command_holds_is_refused(body: bytes) -> None:
    """With the way out."""
    with pytest.raises(OperatorError, match="use --save"):
        as_curl(SignedRequest("1", REQUEST.url, {}, body))


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A body of one's own may be personal."""
    write_request(REQUEST, tmp_path / "request.http")

    assert stat.S_IMODE((tmp_path / "request.http").stat().st_mode) == 0o600
    with pytest.raises(OperatorError, match="No such file"):
        write_request(REQUEST, tmp_path / "nowhere" / "request.http")
