"""How the bytes of a digest or a signature are written as text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Literal

Encoding = Literal["hex", "base64", "base64url", "base64url-unpadded"]

ENCODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "base64url-unpadded": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}
