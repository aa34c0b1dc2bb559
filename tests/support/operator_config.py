"""A configuration for what an operator asks: two known providers and one of the operator's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.config import Config

STRIPE_SECRET = "whsec_" + "a" * 32


def operator_config(folder: Path, **sections: Any) -> Config:
    """Return a configuration whose data is in ``folder``; further sections as in the file."""
    providers = {
        "stripe": {"adapter": "stripe", "secrets": [STRIPE_SECRET]},
        "github": {"adapter": "github", "secrets": ["b" * 32]},
        "acme": {"adapter": "hmac", "secrets": ["c" * 32], "signature": {"header": "X-Signature"}},
    }
    return Config.model_validate({"data_dir": folder, "providers": providers, **sections})
