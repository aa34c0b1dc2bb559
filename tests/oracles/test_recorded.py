"""What the senders' own libraries said, as `make oracles` wrote it down, still holds."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from providers import Headers, RawRequest, SignatureRejected, registry

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded.json").read_bytes())
BY_THEM = [entry for entry in RECORDED if entry["signed_by"] == "them"]


def _name(entry: dict[str, Any]) -> str:
    return f"{entry['adapter']}-{entry['by'].replace(' ', '-')}-signed-by-{entry['signed_by']}"


def _request(entry: dict[str, Any], body: bytes) -> RawRequest:
    address = urlsplit(entry["url"])
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in entry["headers"].items()]
    return RawRequest(
        body=body, headers=Headers(fields), path=address.path, query=address.query.encode(), url=entry["url"]
    )


@pytest.mark.parametrize("entry", RECORDED, ids=_name)
def test_what_a_library_signed_or_accepted_is_verified(entry: dict[str, Any]) -> None:
    """And refused under another secret; and with another body, where the signature covers that."""
    adapter = registry.load(entry["adapter"])
    body = base64.b64decode(entry["body"])
    bound = adapter.bind([entry["secret"]], entry["parameters"])
    assert bound.verify(_request(entry, body), entry["now"]).secret_slot == 0
    if adapter.spec.signature.is_body_bound:
        with pytest.raises(SignatureRejected):
            bound.verify(_request(entry, body + b" "), entry["now"])


def test_no_library_disagrees() -> None:
    """The record is kept only while it is clean."""
    assert [_name(entry) for entry in RECORDED if entry["disagreement"]] == []


def test_libraries_of_many_senders_were_asked() -> None:
    """In both directions."""
    assert len({entry["adapter"] for entry in RECORDED}) >= 60
    assert len({entry["adapter"] for entry in BY_THEM}) >= 10
