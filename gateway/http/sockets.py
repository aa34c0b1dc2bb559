"""Sockets that listen: one or several addresses, of both families."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from gateway.config.bind_addresses import EVERYWHERE_4, EVERYWHERE_6, split_bind
from gateway.errors import AddressInUse, OperatorError

_BACKLOG = 2048
"""Connections that the kernel holds until the event loop accepts them."""

_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of a family or an address that this machine does not have."""

_REMEDIES = {
    errno.EADDRINUSE: "; another program, or another address of ours, is there",
    errno.EADDRNOTAVAIL: "; this machine has no such address",
    errno.EACCES: "; ports below 1024 take a privilege",
}
"""The most likely cause of each error, for the operator."""


def open_sockets(binds: list[str], setting: str) -> list[socket.socket]:
    """Open the sockets that listen at ``binds``; a host name gets one for each address it resolves to.

    Args:
        binds: addresses, each ``host:port``.
        setting: the setting under ``server`` they come from, for the error message.

    Raises:
        OperatorError: an address is taken, or this machine does not have it.
    """
    places = [split_bind(bind) for bind in binds]
    with ExitStack() as failed:
        sockets: list[socket.socket] = []
        for bind, (host, port) in zip(binds, places, strict=True):
            try:
                opened = _open_all(host, port, is_for_both=(EVERYWHERE_4, port) not in places)
            except OSError as error:
                remedy = _REMEDIES.get(error.errno or 0, "")
                text = (
                    f"cannot listen at {bind}: {error.strerror or error}{remedy}. "
                    f"Change server.{setting} or use --{setting.replace('_', '-')}."
                )
                is_taken = error.errno == errno.EADDRINUSE
                raise (AddressInUse(bind, text) if is_taken else OperatorError(text)) from error
            sockets += [failed.enter_context(each) for each in opened]
        failed.pop_all()
    return sockets


def _open_all(host: str, port: int, *, is_for_both: bool) -> list[socket.socket]:
    """Open a socket at each address of a host, skipping families that this machine does not have.

    Raises:
        OSError: an address is taken, or none is left.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((family, address) for family, *_, address in found)
    missing: OSError | None = None
    with ExitStack() as failed:
        sockets: list[socket.socket] = []
        for family, address in addresses:
            try:
                sockets.append(
                    failed.enter_context(open_socket(family, address, port, is_for_both=is_for_both))
                )
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error
            else:
                port = sockets[-1].getsockname()[
                    1
                ]  # with port 0, all addresses share the port that the first one got
        if missing and not sockets:
            if host == EVERYWHERE_6 and is_for_both:  # this machine has IPv4 only
                return _open_all(EVERYWHERE_4, port, is_for_both=False)
            raise missing
        failed.pop_all()
    return sockets


def open_socket(
    family: socket.AddressFamily, address: tuple[object, ...], port: int, *, is_for_both: bool
) -> socket.socket:
    """Open one socket. At all IPv6 addresses it accepts IPv4 as well, unless another socket does."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            takes_both = is_for_both and address[0] == EVERYWHERE_6
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not takes_both)
        listener.bind((address[0], port, *address[2:]))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
