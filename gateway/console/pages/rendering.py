"""The templates: Jinja2 with everything escaped, and every text made visible before it is.

No template marks a text as safe, which a test checks. Markup comes from templates alone.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.config import Config
from gateway.console.pages.assets import Assets
from gateway.console.pages.formatting import (
    address,
    ago,
    clock_time,
    count,
    day_time,
    entry_id,
    entry_path,
    event_path,
    exact,
    iso,
    milliseconds,
    percent,
    plural,
    rate,
    short_count,
    size,
    span,
    visible,
)
from gateway.console.pages.wording import STATE_LABELS, STATE_TONES, label_of, tone_of
from gateway.operations.search import describe

_FUNCTIONS = (
    address,
    ago,
    clock_time,
    count,
    day_time,
    describe,
    entry_id,
    entry_path,
    event_path,
    exact,
    iso,
    label_of,
    milliseconds,
    percent,
    plural,
    rate,
    short_count,
    size,
    span,
    tone_of,
)


def _finalize(value: Any) -> Any:
    """Make each value that a template prints visible; what a macro has made is left as it is."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return visible(value)
    return "" if value is None else value


def quoted(text: str) -> str:
    """Put a text into the quotes of a query, so that blanks and colons in it are its own."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def public_address(config: Config, provider: str) -> str:
    """Return the address to give to a provider."""
    settings = config.providers[provider]
    return settings.public_url or f"https://<your host>{settings.path or f'/webhooks/{provider}'}"


def make_environment(assets: Assets) -> Environment:
    """Return the environment with the functions that the templates use."""
    environment = Environment(
        loader=PackageLoader("gateway.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.globals |= {function.__name__: function for function in _FUNCTIONS}
    environment.globals |= {
        "asset": assets.path,
        "milliseconds_of": lambda seconds: milliseconds(seconds * 1000),
        "public_address": public_address,
        "quoted": quoted,
        "state_label": lambda state: STATE_LABELS[state],
        "state_tone": lambda tone: STATE_TONES[tone],
        "text_of": lambda content: content.decode("utf-8", "backslashreplace"),
        "trace_link": lambda pattern, trace: pattern.replace("{trace_id}", quote(trace, safe="")),
    }
    return environment
