"""The memory of refused requests: bounded, shared, and never confused by what is in it."""

from __future__ import annotations

import os

import pytest

from gateway.journal.capture import MAX_BODY, MAX_RECORDS, REGION_SIZE, CapturedRequest, CaptureRing


def request(number: int, provider: str = "github", body: bytes | None = b"{}") -> CapturedRequest:
    """A refused request."""
    return CapturedRequest(
        number,
        1_800_000_000.0,
        provider,
        "invalid_signature",
        "signature_mismatch",
        "203.0.113.0/24",
        "POST",
        f"/webhooks/{provider}",
        b"",
        "",
        [(b"x-hub-signature-256", b"sha256=00"), (b"x-odd", b"\xff\x00")],
        len(body or b""),
        body,
    )


@pytest.fixture
def ring() -> CaptureRing:
    """The memory of two processes."""
    return CaptureRing(slots=2)


def test_what_one_process_keeps_another_reads(ring: CaptureRing) -> None:
    """By the descriptor alone, the newest first."""
    ring.writer(0).put(request(1))
    ring.writer(1).put(request(2, "stripe"))

    other = CaptureRing(os.dup(ring.descriptor))

    assert other.records() == [request(2, "stripe"), request(1)]


def test_the_last_twenty_of_a_provider_are_kept(ring: CaptureRing) -> None:
    """Of all processes together."""
    for number in range(100):
        ring.writer(number % 2).put(request(number))

    assert [record.entry for record in ring.records()] == list(range(99, 99 - MAX_RECORDS, -1))


def test_a_flood_at_one_provider_leaves_the_others_alone(ring: CaptureRing) -> None:
    """Also if there is room for few requests."""
    writer = ring.writer()
    for number in range(5):
        writer.put(request(number, "quiet"))
    for number in range(10, 500):
        writer.put(request(number, f"loud{number % 8}", b"x" * MAX_BODY))

    records = ring.records()
    assert [record.entry for record in records if record.provider == "quiet"] == [4, 3, 2, 1, 0]
    assert records[0] == request(499, "loud3", b"x" * MAX_BODY)
    assert sum(record.size for record in records) < 2 * REGION_SIZE


def test_a_process_that_takes_a_place_goes_on_with_its_memory(ring: CaptureRing) -> None:
    """Neither is anything lost, nor is there more than before."""
    for number in range(15):
        ring.writer().put(request(number))
    writer = ring.writer()
    for number in range(15, 30):
        writer.put(request(number))

    assert [record.entry for record in ring.records()] == list(range(29, 9, -1))


def test_half_of_a_record_is_none(ring: CaptureRing) -> None:
    """As a reader finds it while it is being written."""
    ring.writer().put(request(1, body=b"x" * 10_000))
    ring.writer(1).put(request(2))
    os.pwrite(ring.descriptor, b"\0" * 100, 4096 + 6_000)

    assert [record.entry for record in ring.records()] == [2]


def test_memory_that_nobody_uses_takes_no_pages() -> None:
    """Eight MiB a process are a limit, and no cost."""
    ring = CaptureRing(slots=4)
    ring.writer(3).put(request(1))

    assert os.fstat(ring.descriptor).st_size == 4 * REGION_SIZE
    assert os.fstat(ring.descriptor).st_blocks * 512 <= 64 * 1024
