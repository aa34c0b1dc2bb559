"""Requests to valgrind from inside the process that it runs.

A program talks to valgrind by a sequence of instructions that do nothing on a processor. There is no Python package for
it, and a C extension would need a compiler wherever the tests run, so the sequence is written as machine code here.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys

_TOOL_BASE = ord("C") << 24 | ord("T") << 16
"""The first request that callgrind understands; see ``valgrind/callgrind.h``."""

_DUMP, _ZERO, _START = _TOOL_BASE, _TOOL_BASE + 1, _TOOL_BASE + 4

_CODE = bytes.fromhex(
    "4889f8"  # mov  rax, rdi   the request and its arguments
    "31d2"  # xor  edx, edx   the answer without valgrind
    "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol  rdi, 3; 13; 61; 51   together nothing
    "4887db"  # xchg rbx, rbx   here valgrind acts
    "4889d0"  # mov  rax, rdx
    "c3"  # ret
)
"""``VALGRIND_DO_CLIENT_REQUEST_EXPR`` of ``valgrind/valgrind.h`` as a function for x86-64."""


class Valgrind:
    """The valgrind that runs this process; without one, nothing happens."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        self._arguments = (ctypes.c_uint64 * 6)()

    def start(self) -> None:
        """Begin to count; until now the program ran several times as fast."""
        self._request(_START)

    def zero(self) -> None:
        """Forget what was counted so far."""
        self._request(_ZERO)

    def dump(self) -> None:
        """Write what was counted since the last dump, or since :meth:`zero`, to a file of its own."""
        self._request(_DUMP)

    def _request(self, number: int) -> None:
        self._arguments[0] = number
        self._ask(ctypes.addressof(self._arguments))


def is_supported() -> bool:
    """Return whether this processor and system are those that the sequence was written for."""
    return sys.platform == "linux" and platform.machine() == "x86_64"
