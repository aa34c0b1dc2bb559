"""Detect secrets that were not copied exactly, at the start and without ever printing them.

A secret can pick up the quotes of an env file, the byte order mark of an editor, or a zero-width character of a web page.
The gateway would start with it, and refuse every request.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MIN_LENGTH = 8
"""The fewest characters of a secret. Anyone who has one signed request can try out all shorter ones."""

RECOMMENDED_LENGTH = 16
"""Characters below which a secret causes a warning. It is no error, because some providers issue shorter ones."""

_PLACEHOLDER = re.compile(
    r"\$\{?[a-z0-9_]*\}?|(.)\1*|(whsec_|the|your|my|webhook|signing|key|secret|password|change|me|test|example|default|here|todo|x|[-_ .<>])+",
    re.IGNORECASE,
)
"""Matches a variable that was not replaced, one repeated character, or a text that consists of such words only."""

_GUESSABLE = re.compile(
    r"(whsec_|the|your|my|webhook|signing|shared|key|secret|token|password|change|me|test|example|default|dummy|sample"
    r"|github|gitlab|stripe|slack|shopify|admin|user|dev|prod|letmein|qwerty|abc|hunter|[-_ .!:])+[0-9]{0,10}!?",
    re.IGNORECASE,
)

_PUBLISHED = frozenset(
    {
        "It's a Secret to Everybody",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "8f742231b10e8888abcd99yyyzzz85a5",
    }
)
"""Example secrets in the documentation of GitHub, Standard Webhooks, Svix and Slack."""

_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}",
    "\N{LEFT SINGLE QUOTATION MARK}": "\N{RIGHT SINGLE QUOTATION MARK}",
    "\N{DOUBLE LOW-9 QUOTATION MARK}": "\N{LEFT DOUBLE QUOTATION MARK}",
    "«": "»",
}
"""Opening quotes and their closing ones."""

_ASSIGNMENT = re.compile(
    r"(export\s+|set\s+|setx\s+|\$env:)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*(?=[^=\s])", re.IGNORECASE
)
_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|SECRET|TOKEN|KEY|PASSWORD")
_PREFIXES = re.compile(r"(v1,)?(whsec_)?")
_PEM = "-----BEGIN "
_BLANK = " "


def problem_of(secret: str) -> str | None:
    """Return why a text cannot be a secret of any kind, or None if it can."""
    if not secret.strip():
        return "is empty; anybody could sign with an empty secret"
    if secret != secret.strip():
        return "has white space around it"
    if _PLACEHOLDER.fullmatch(secret):
        return "looks like a placeholder; use the secret that the provider shows you"
    return None


def length_of(secret: str) -> int:
    """Return the number of characters that are secret: without the public prefix ``whsec_``."""
    return len(secret) - (match.end() if (match := _PREFIXES.match(secret)) else 0)


def warnings_about(secret: str) -> Iterator[str]:
    """Yield what probably does not belong to a secret, one line each, quoting none of it."""
    if len(secret) > 1 and _QUOTES.get(secret[0]) == secret[-1]:
        yield "is in quotes, which are part of it; Docker keeps the quotes of an env file: remove them"
    elif secret[0] in _QUOTES or secret[-1] in {*_QUOTES, *_QUOTES.values()}:
        yield "has a quote at one end, which is part of it; remove it if the provider does not show it"
    if "\ufeff" in secret:
        yield "has a byte order mark in it, which is part of it; save the file as UTF-8 without one"
    elif invisible := _invisible(secret):
        yield f"has {invisible} in it, which is part of it; copy it again, or type it"
    if (match := _ASSIGNMENT.match(secret)) and (
        match[1] or _NAME.fullmatch(secret.partition("=")[0].strip())
    ):
        yield "begins like an assignment (NAME=); keep only what follows the equals sign"
    if secret in _PUBLISHED:
        yield "is an example from a provider's documentation, which is public; use your own"
    elif _GUESSABLE.fullmatch(secret):
        yield "is made of words that anybody would try; use the secret that the provider shows you"


def _invisible(secret: str) -> str | None:
    """Name the first invisible character, or return None; a PEM key may have line breaks."""
    is_pem = secret.lstrip().startswith(_PEM)
    for character in secret:
        kind = unicodedata.category(character)
        if (
            kind in ("Cf", "Cc", "Zl", "Zp", "Zs", "Cn", "Co")
            and character != _BLANK
            and not (is_pem and character in "\r\n")
        ):
            return {"\n": "a line feed", "\r": "a carriage return", "\t": "a tab"}.get(
                character, f"the invisible character U+{ord(character):04X}"
            )
    return None
