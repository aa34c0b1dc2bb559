"""docs/how-to/receive/custom-provider.md: the sender that it shows is accepted by the block beside it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_config
from gateway.config.resolve import adapter_of
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from support.repository import ROOT

PAGE = (ROOT / "docs/how-to/receive/custom-provider.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_sender_of_the_page_is_accepted_by_its_block(tmp_path: Path) -> None:
    """What it sends, and no other event."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    sent: dict[str, Any] = {}
    exec(program, sent)
    (block,) = [block for block in BLOCKS if "json_sorted" in block]
    (tmp_path / "config.yaml").write_text(block, "utf-8")
    provider = load_config(tmp_path / "config.yaml", {}, missing=lambda _: sent["secret"]).providers["orders"]
    adapter = adapter_of(provider).bind(provider.secret_texts())
    headers = Headers([(name.lower().encode(), text.encode()) for name, text in sent["headers"].items()])

    verified = adapter.verify(RawRequest(body=sent["body"], headers=headers), time.time())
    assert adapter.identify(verified, json.loads(sent["body"])).event_id == "evt-1"
    with pytest.raises(SignatureRejected):
        adapter.verify(RawRequest(body=sent["body"].replace(b"10.0", b"11.0"), headers=headers), time.time())
