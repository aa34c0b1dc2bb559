"""What is known of the event types of adapters, to warn of patterns that no event will match."""

from __future__ import annotations

from difflib import get_close_matches

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.config.models import Config
from gateway.config.resolve import adapter_of
from gateway.events.schemas import Catalogue
from gateway.transport.topic_patterns import key_pattern, key_segment, matches

_MIN_KNOWN_TYPES = 10
"""Known event types of an adapter, below which only a pattern that looks like a misspelling of one is doubted: such a
provider has more types than are known."""

_MISSPELLING = 0.85
"""How similar a misspelling is, from 0 to 1."""


def doubt(pattern: str, adapter: Adapter, catalogue: Catalogue) -> str | None:
    """Return why no event of an adapter is likely to match a pattern over event types; None if one is.

    A pattern of the configuration or of the command line may be in either spelling.
    """
    spelled, known = key_pattern(pattern), _types_of(adapter, catalogue)
    if spelled[0] in "*#" or _is_known(spelled, known):
        return None
    is_well_known = len(known) >= _MIN_KNOWN_TYPES
    close = get_close_matches(spelled, known, n=1, cutoff=0.6 if is_well_known else _MISSPELLING)
    if not (is_well_known or close):
        return None
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"matches none of the {len(known)} known event types of {adapter.spec.title or adapter.name}{hint}"


def doubt_key_pattern(config: Config, pattern: str) -> str | None:
    """Return why no event of the configured providers is likely to match a pattern over routing keys; None if one is."""
    name, dot, event_type = pattern.partition(".")
    if name == "#" or (name == "*" and dot):
        return None
    if not dot:
        return f"matches no event: write {name}.# for all events of a provider"
    if name not in config.providers:
        close = get_close_matches(name, config.providers, n=1)
        return f"names no configured provider{f'; did you mean {close[0]}?' if close else ''}"
    return doubt(event_type, adapter_of(config.providers[name]), Catalogue.bundled())


def doubt_type_pattern(config: Config, pattern: str, provider: str | None = None) -> str | None:
    """Return why no event of the configured providers, or of one of them, is likely to match a pattern over event types."""
    names = [provider] if provider in config.providers else list(config.providers)
    adapters, catalogue = [adapter_of(config.providers[name]) for name in names], Catalogue.bundled()
    types = [_types_of(adapter, catalogue) for adapter in adapters]
    if any(_is_known(key_pattern(pattern), known) for known in types):
        return None
    doubts = [doubt(pattern, adapter, catalogue) for adapter in adapters]
    for why, known in zip(doubts, types, strict=True):
        if get_close_matches(key_pattern(pattern), known, n=1, cutoff=_MISSPELLING):
            return why
    return doubts[0] if all(doubts) else None


def _is_known(spelled: str, known: list[str]) -> bool:
    # A subtype of a known type, such as an action of an issue, need not be known.
    return any(matches(spelled, each) or f"{spelled}.".startswith(f"{each}.") for each in known)


def _types_of(adapter: Adapter, catalogue: Catalogue) -> list[str]:
    """Return the event types of an adapter with a schema or a sample, spelled as in patterns."""
    named = [*catalogue.event_types(adapter.family), *registry.sample_files(adapter.family)]
    return sorted({key_segment(each) for each in named if not each.startswith("_")})
