"""Commands as bytes, in RESP, the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/).

Nearly all commands are a SET whose options recur, or read or write one field of a hash. What recurs in them is packed
once, and the rest in one step. hiredis packs all other commands; it takes 2.5 times as many instructions for a claim
(2026-11).
"""

from __future__ import annotations

from functools import lru_cache

import hiredis

Value = str | bytes | int
"""A part of a command."""

_MAX_KNOWN_OPTIONS = 256
"""Kinds of SET that are kept. There are a few for each retention that a provider has."""

_HASH_COMMANDS: dict[Value, bytes] = {
    "HMGET": b"*4\r\n$5\r\nHMGET\r\n" + 3 * b"$%d\r\n%b\r\n",
    "HSET": b"*4\r\n$4\r\nHSET\r\n" + 3 * b"$%d\r\n%b\r\n",
}
"""Commands of a key and two further parts, to be filled with the lengths and the bytes of all three."""


def pack(command: tuple[Value, ...]) -> bytes:
    """Return the bytes of a command."""
    if command[0] == "SET":
        key, value = command[1], command[2]
        if type(key) is str and type(value) is bytes:
            name = key.encode()
            return _set_with(command[3:]) % (len(name), name, len(value), value)
    elif (form := _HASH_COMMANDS.get(command[0])) and len(command) == 4:
        _, key, field, value = command
        if type(key) is type(field) is type(value) is bytes:
            return form % (len(key), key, len(field), field, len(value), value)
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # the stub says a tuple of one
    return packed


@lru_cache(_MAX_KNOWN_OPTIONS)
def _set_with(options: tuple[Value, ...]) -> bytes:
    """Return a SET with these options, to be filled with the lengths and the bytes of a key and a value."""
    whole: bytes = hiredis.pack_command(("SET", "", b"", *options))  # type: ignore[arg-type] # as above
    head, _, rest = whole.partition(b"$0\r\n\r\n$0\r\n\r\n")
    return head + 2 * b"$%d\r\n%b\r\n" + rest.replace(b"%", b"%%")
