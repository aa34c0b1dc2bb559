"""Proxies in front of gateways, with the files of deploy/ but for certificates, ports and the slowest timeouts."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port
from support.process import Child
from support.programs import locate
from support.repository import ROOT
from support.waiting import wait_until

READ_TIMEOUT = 2
"""Seconds that the proxies wait for a body that does not come, in place of ten."""


def nginx_configuration(folder: Path, port: int, gateways: Sequence[int]) -> tuple[str, list[str]]:
    """Return nginx' configuration, and the arguments with which it runs."""
    text = (ROOT / "deploy/nginx/webhook-gateway.conf").read_text("utf-8")
    server = re.compile(r"server 127\.0\.0\.1:8080 (.*;)")
    text = _replaced(text, server, "\n".join(rf"server 127.0.0.1:{each} \1" for each in gateways))
    text = _replaced(text, re.compile(r"listen 443 ssl;"), f"listen 127.0.0.1:{port};")
    text = _replaced(text, re.compile(r"(listen \[::\]|ssl_).*\n"), "\n")
    text = _replaced(text, re.compile(r"client_body_timeout 10s"), f"client_body_timeout {READ_TIMEOUT}s")
    folders = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\n"
        f"events {{ worker_connections 512; }}\nhttp {{ access_log off; {folders}\n{text} }}\n"
    )
    return whole, ["nginx", "-p", str(folder), "-c"]


def haproxy_configuration(_: Path, port: int, gateways: Sequence[int]) -> tuple[str, list[str]]:
    """Return HAProxy's configuration, and the arguments with which it runs."""
    text = (ROOT / "deploy/haproxy/webhook-gateway.cfg").read_text("utf-8")
    text = _replaced(text, re.compile(r"bind :443 .*"), f"bind 127.0.0.1:{port}")
    for number, (example, gateway) in enumerate(zip((8080, 8090), gateways, strict=True), 1):
        text = _replaced(
            text, re.compile(rf"(server gateway-{number} 127\.0\.0\.1:){example}"), rf"\g<1>{gateway}"
        )
    text = _replaced(text, re.compile(r"maxconn 10000"), "maxconn 500")
    text = _replaced(text, re.compile(r"timeout http-request 10s"), f"timeout http-request {READ_TIMEOUT}s")
    return text, ["haproxy", "-db", "-f"]


PROXIES: dict[str, Callable[[Path, int, Sequence[int]], tuple[str, list[str]]]] = {
    "nginx": nginx_configuration,
    "haproxy": haproxy_configuration,
}


@contextmanager
def proxy(name: str, folder: Path, gateways: Sequence[int]) -> Iterator[str]:
    """Run a proxy in front of the gateways at these ports, and return its address."""
    folder.mkdir()
    port = free_port()
    text, (program, *arguments) = PROXIES[name](folder, port, gateways)
    (folder / "proxy.conf").write_text(text)
    child = Child([locate(program), *arguments, str(folder / "proxy.conf")], log=folder / "proxy.log")

    def listens() -> bool:
        child.expect_running()
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
        return True

    try:
        wait_until(listens, message=f"{name} listens", forgive=(OSError,))
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


def _replaced(text: str, pattern: re.Pattern[str], by: str) -> str:
    """Replace what is there; a file of deploy/ that has changed is not tested by halves."""
    replaced, count = pattern.subn(by, text)
    if not count:
        raise ValueError(f"{pattern.pattern!r} is not in the file")
    return replaced
