"""A signed request as a file that ``gateway explain`` reads, or as a curl command."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import urlsplit

import typer

from gateway.devtools.simulator import SignedRequest
from gateway.errors import OperatorError
from gateway.transport.private_files import private_opener


def write_request(request: SignedRequest, file: Path | None) -> None:
    """Write a request to ``file``, or print it as a curl command.

    Raises:
        OperatorError: The file cannot be written, or the body cannot be part of a command.
    """
    if file is None:
        typer.echo(as_curl(request))
        return
    try:
        with open(file, "wb", opener=private_opener) as target:
            target.write(as_http(request))
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error
    typer.echo(f"saved to {file}; read it with `gateway explain {shlex.quote(str(file))}`", err=True)


def as_http(request: SignedRequest) -> bytes:
    """Return the bytes of the request as HTTP/1.1."""
    url = urlsplit(request.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = {"Host": url.netloc, **request.headers, "Content-Length": str(len(request.body))}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + request.body


def as_curl(request: SignedRequest) -> str:
    """Return a command for a shell that sends the request with curl.

    Raises:
        OperatorError: The body is not text.
    """
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        raise OperatorError("the body is not text, so it cannot be part of a command; use --save") from None
    if "\0" in body:
        raise OperatorError("the body has a null character, so it cannot be part of a command; use --save")
    words = [f"curl -i {shlex.quote(request.url)}"]
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers.items()]
    return " \\\n  ".join([*words, f"--data-binary {shlex.quote(body)}"])
