"""What a secret looks like when it was not copied as it is: found at the start, and never told itself.

Quotes of an env file, a byte order mark of an editor, a character of no width from a web page: the gateway would start,
and refuse every delivery.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

SHORTEST = 8
"""Characters below which a secret is refused; somebody who has one signed delivery tries them all."""

SHORT = 16
"""Characters below which a secret is warned of; some senders give no longer ones."""

_PLACEHOLDER = re.compile(
    r"\$\{?[a-z0-9_]*\}?|(.)\1*|(whsec_|the|your|my|webhook|signing|key|secret|password|change|me|test|example|default|here|todo|x|[-_ .<>])+",
    re.IGNORECASE,
)
"""A variable that something forgot to replace, one character, or nothing but such words."""

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
"""Secrets in the documentation of GitHub, Standard Webhooks, Svix and Slack."""

_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}",
    "\N{LEFT SINGLE QUOTATION MARK}": "\N{RIGHT SINGLE QUOTATION MARK}",
    "\N{DOUBLE LOW-9 QUOTATION MARK}": "\N{LEFT DOUBLE QUOTATION MARK}",
    "«": "»",
}
_ASSIGNMENT = re.compile(
    r"(export\s+|set\s+|setx\s+|\$env:)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*(?=[^=\s])", re.IGNORECASE
)
_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|SECRET|TOKEN|KEY|PASSWORD")
_PREFIXES = re.compile(r"(v1,)?(whsec_)?")
_PEM = "-----BEGIN "
_BLANK = " "


def problem_of(secret: str) -> str | None:
    """Say what makes a text no secret, whatever it is for; None if it may be one."""
    if not secret.strip():
        return "is empty; everybody could sign with an empty secret"
    if secret != secret.strip():
        return "has white space around it"
    if _PLACEHOLDER.fullmatch(secret):
        return "looks like a placeholder; use the secret that the sender shows you"
    return None


def length_of(secret: str) -> int:
    """The number of characters that are secret: without ``whsec_``, which everybody knows."""
    return len(secret) - (match.end() if (match := _PREFIXES.match(secret)) else 0)


def doubts_about(secret: str) -> Iterator[str]:
    """Say what in a secret most likely does not belong to it, a line each, and nothing of the secret itself."""
    if len(secret) > 1 and _QUOTES.get(secret[0]) == secret[-1]:
        yield "is in quotes, which count; an env file of Docker keeps them: leave them out"
    elif secret[0] in _QUOTES or secret[-1] in {*_QUOTES, *_QUOTES.values()}:
        yield "has a quote at one end, which counts; leave it out if the sender does not show it"
    if "\ufeff" in secret:
        yield "has a byte order mark in it, which counts; save the file as UTF-8 without one"
    elif invisible := _invisible(secret):
        yield f"has {invisible} in it, which counts; copy it again, or type it"
    if (match := _ASSIGNMENT.match(secret)) and (
        match[1] or _NAME.fullmatch(secret.partition("=")[0].strip())
    ):
        yield "begins like an assignment (NAME=); leave in only what stands behind the equals sign"
    if secret in _PUBLISHED:
        yield "is the example of a sender's documentation, which everybody knows; use your own"
    elif _GUESSABLE.fullmatch(secret):
        yield "is made of words that anybody would try; use the secret that the sender shows you"


def _invisible(secret: str) -> str | None:
    """Name the first character that nobody sees; a key in PEM has lines."""
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
