"""Which events get entries if `journal.sample` keeps a share of them."""

from __future__ import annotations

from zlib import crc32


def is_sampled(event_id: str, share: float) -> bool:
    """Return whether an event belongs to the share that is kept.

    The id decides, so that processes and workers agree, and the entries of an event are all there or all missing.
    """
    return share >= 1 or crc32(event_id.encode()) < share * 2**32
