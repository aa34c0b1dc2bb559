"""The addresses that a gateway listens at: one or several, of both families."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from gateway.config import Config
from gateway.config.bind_addresses import local_url
from gateway.errors import OperatorError
from gateway.http import sockets as listening_sockets
from gateway.server import listening
from support.ports import free_ports
from support.spies import SECRET


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


def config(bind: Any, admin: Any = "127.0.0.1:0") -> Config:
    """A configuration that listens there."""
    return Config.model_validate(
        {
            "server": {"bind": bind, "admin_bind": admin},
            "providers": {"github": {"adapter": "github", "secrets": [SECRET]}},
        }
    )


@contextmanager
def at(*binds: str) -> Iterator[list[socket.socket]]:
    """The sockets that listen at these addresses."""
    with listening(config(list(binds))) as (public, _):
        yield public


def peers(sockets: list[socket.socket], port: int, *hosts: str) -> list[str]:
    """The families by which each host is reached, as the sockets that listen see them."""
    found = []
    for host in hosts:
        with socket.create_connection((host, port), timeout=5) as caller:
            own = caller.getsockname()[:2]
            for listener in sockets:
                listener.settimeout(0)
                try:
                    connection, peer = listener.accept()
                except BlockingIOError:
                    continue
                with connection:
                    assert peer[1] == own[1]
                    found.append(peer[0])
    return found


@needs_ipv6
def test_all_of_ipv6_is_all_of_ipv4_too() -> None:
    """Whatever the system's own choice is."""
    (port,) = free_ports(1)
    with at(f"[::]:{port}") as sockets:
        assert peers(sockets, port, "127.0.0.1", "::1") == ["::ffff:127.0.0.1", "::1"]


@needs_ipv6
@pytest.mark.parametrize("is_first", [True, False])
def test_all_addresses_of_both_families_can_be_listed(is_first: bool) -> None:
    """In either order: then each socket has its family alone."""
    (port,) = free_ports(1)
    binds = [f"0.0.0.0:{port}", f"[::]:{port}"]
    with at(*(binds if is_first else reversed(binds))) as sockets:
        assert peers(sockets, port, "127.0.0.1", "::1") == ["127.0.0.1", "::1"]


@needs_ipv6
def test_several_addresses_are_listened_at() -> None:
    """Also one of each family, at one port or two."""
    port, other = free_ports(2)
    with at(f"127.0.0.1:{port}", f"[::1]:{port}", f"127.0.0.1:{other}") as sockets:
        assert peers(sockets, port, "127.0.0.1", "::1") == ["127.0.0.1", "::1"]
        assert peers(sockets, other, "127.0.0.1") == ["127.0.0.1"]


@pytest.mark.parametrize("port", [0, None], ids=["any port", "a port"])
def test_a_name_is_all_that_it_stands_for(port: int | None) -> None:
    """At one port."""
    with at(f"localhost:{free_ports(1)[0] if port is None else port}") as sockets:
        hosts, ports = zip(*(each.getsockname()[:2] for each in sockets), strict=True)

    found = {info[4][0] for info in socket.getaddrinfo("localhost", 1)}
    assert set(hosts) == (found if _has_ipv6() else found - {"::1"})
    assert len({*ports}) == 1


def test_all_addresses_are_those_of_ipv4_where_there_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one setting does for machines with IPv6 and without."""
    listener = listening_sockets.open_socket

    def fail_at_ipv6(family: socket.AddressFamily, *arguments: Any, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        return listener(family, *arguments, **options)

    monkeypatch.setattr(listening_sockets, "open_socket", fail_at_ipv6)
    (port,) = free_ports(1)
    with at(f"[::]:{port}") as bound:
        assert peers(bound, port, "127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(OperatorError, match="no such family"), at(f"0.0.0.0:{port}", f"[::]:{port}"):
        pytest.fail("it cannot listen")


def test_an_address_that_is_taken_is_told_and_the_others_are_closed() -> None:
    """With the address, and the setting to change."""
    free, taken = free_ports(2)
    with (
        socket.create_server(("127.0.0.1", taken)),
        pytest.raises(OperatorError, match=f"cannot listen at 127.0.0.1:{taken}: .*Change server.admin_bind"),
        listening(config(f"127.0.0.1:{free}", [f"127.0.0.1:{taken}"])),
    ):
        pytest.fail("it cannot listen")

    with ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.1", free)))


def test_an_address_that_is_taken_by_another_of_ours_is_told_so() -> None:
    """A name can stand for an address that is listed as well."""
    (port,) = free_ports(1)
    with (
        pytest.raises(OperatorError, match="another address of ours, is there"),
        at(f"localhost:{port}", f"127.0.0.1:{port}"),
    ):
        pytest.fail("it cannot listen")


@pytest.mark.parametrize(
    ("bind", "told"),
    [
        ("192.0.2.1:8080", "this machine has no such address"),
        ("no-such-host.invalid:8080", "(known|resol|associated)"),
    ],
)
def test_an_address_that_is_none_of_this_machine_is_not_called_taken(bind: str, told: str) -> None:
    """Nobody looks for another program then."""
    with pytest.raises(OperatorError, match=told) as caught, at(bind):
        pytest.fail("it cannot listen")
    assert "another" not in str(caught.value)


@pytest.mark.parametrize(
    ("bind", "told"),
    [
        (8080, "write HOST:PORT"),
        ("a..b:8080", "write HOST:PORT"),
        (f"{64 * 'a'}:8080", "write HOST:PORT"),
        ("[::ffff:127.0.0.1]:8080", "is an IPv4 address in brackets; write 127.0.0.1:8080"),
    ],
)
def test_what_cannot_be_listened_at_is_found_with_the_configuration(bind: Any, told: str) -> None:
    """And not by the first look-up of the name, with a traceback."""
    with pytest.raises(ValueError, match=r"server\.bind") as caught:
        config(bind)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        ("[2001:db8::1]:80", "http://[2001:db8::1]:80"),
        ("gateway.internal:80", "http://gateway.internal:80"),
    ],
)
def test_this_machine_calls_what_listens_at_all_addresses_by_its_own(bind: str, url: str) -> None:
    """As `gateway send` does."""
    assert local_url(bind) == url
