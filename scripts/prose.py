#!/usr/bin/env python3
"""Find wording that a reader in this field would stumble over, and say what to write instead.

It reads README.md and the other pages, the texts of the site's generators, and in the program all docstrings (the help of the
command line is made of them), help texts, and the texts of log lines. Code in prose (`like this`) is left alone.

A rule is a pattern and a better wording. It must give no false alarms: words that are right somewhere do not belong here.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Rule(NamedTuple):
    """Wording to avoid.

    Attributes:
        pattern: What to find, in any case.
        instead: What to write.
    """

    pattern: str
    instead: str


RULES = (
    # Relative clauses without a noun
    Rule(
        r"what (?:becomes of|comes (?:again|back)|fails\b(?! the| to)|is dead|was there before)",
        "name it: the failed event",
    ),
    Rule(r"\bwho(?:m|so)?ever\b", "anyone who; the client that"),
    # Words of another trade
    Rule(r"\b(?:comes?|came|coming) again\b", "is retried; is redelivered"),
    Rule(r"\bcomes? twice\b", "is duplicated; arrives twice"),
    Rule(
        r"\bgiv(?:e|es|en|ing) up (?:on )?(?:the |an? |its )?(?:event|message|delivery)|\b(?:event|message)s? (?:that )?(?:\w+ )?(?:has been|have been|is|are|was|were) given up",
        "exhausted its retries; dead-lettered",
    ),
    Rule(
        r"\b(?:is|are|was|were|be|being) told\b(?! to\b| apart\b)", "receives; is informed; the response is …"
    ),
    Rule(r"\bin hand\b", "in flight"),
    Rule(r"\bheld to\b", "validated against; target"),
    Rule(r"\bhand(?:s|ed|ing)? (?:\w+ )?back\b", "requeue; return"),
    Rule(r"\blook(?:s|ing)? after\b", "manage; inspect"),
    Rule(r"\bgreet(?:s|ed|ing|ings)?\b", "endpoint verification; handshake"),
    Rule(r"\bspoil(?:s|t|ed)?\b", "corrupt; tamper with"),
    Rule(r"\bmend(?:s|ed|ing)?\b", "fix; repair"),
    Rule(r"\blest\b", "so that … not; to prevent"),
    Rule(r"\bfor want of\b", "because … is missing"),
    Rule(r"\bnothing but\b", "only"),
    Rule(r"\bclaim store\b(?!`)", "deduplication store"),
    Rule(r"\bin good order\b", "gracefully"),
    Rule(r"\bstranger(?:s|'s)?\b", "an unauthenticated client"),
    Rule(r"\bsigned moment\b", "signed timestamp"),
    Rule(r"\bpatience\b", "timeout"),
    Rule(r"\bbur(?:y|ies|ied)\b", "dead-letter"),
    Rule(r"\bput(?:s|ting)? off\b", "defer"),
    Rule(
        r"(?<!there\x20)\bis no (?:pattern|event|worker|schema|queue|list|stream|file|adapter|provider|URL|JSON)\b",
        "is not a …",
    ),
    Rule(r"\bno mistake\b", "valid"),
    Rule(r"\bas it should be\b", "as expected"),
    Rule(r"\bnobody listens\b", "connection refused"),
    Rule(r"\bmade known\b", "published; reported"),
    Rule(r"\bswallow(?:s|ed)? (?:no |an? |the )?(?:event|claim)s?\b", "suppress"),
    Rule(r"\brival\b", "runs concurrently"),
    Rule(r"\bsay no\b|\bsays? yes\b", "the response"),
    Rule(r"\bis had again\b|\bto be had\b", "is available"),
    Rule(r"\bgood for\b(?! \w+ing)", "valid for"),
    Rule(r"\bmaltreat", "disturb"),
    Rule(r"\btakes? (?:no|any) (?:more )?events\b", "accepts no events"),
    Rule(r"\bthis and no more\b|\ba word and no more\b", "only"),
)
"""All rules. The report names the wording found and the alternative."""

_CODE = re.compile(r"```.*?^\s*```|``.*?``|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->", re.MULTILINE | re.DOTALL)
_HELP = {"help", "epilog", "description"}
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_SOURCES = ("gateway", "examples", "scripts/pages")
_SKIPPED = {ROOT / "CHANGELOG.md"}  # its older entries are history


class Text(NamedTuple):
    """A text for people, and where it stands."""

    path: Path
    line: int
    text: str


def texts() -> Iterator[Text]:
    """Yield all texts to check."""
    for page in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))):
        if page not in _SKIPPED:
            yield Text(page, 1, page.read_text("utf-8"))
    for file in sorted((ROOT / "scripts/pages").glob("*.yaml")):
        yield Text(file, 1, file.read_text("utf-8"))
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from _texts_of(path)


def _texts_of(path: Path) -> Iterator[Text]:
    """Yield the docstrings, the help texts and the texts of log lines in a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield Text(path, node.lineno, node.value.value)
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in _HELP:
                    yield from _strings(path, keyword.value)
            is_log = isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS
            if is_log and node.args:
                yield from _strings(path, node.args[0])


def _strings(path: Path, node: ast.expr) -> Iterator[Text]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Text(path, node.lineno, node.value)


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, from 0, the wording and the alternative of each finding in a text."""
    prose = _CODE.sub(lambda code: "\n" * code[0].count("\n") + "x", text)
    for rule in RULES:
        for found in re.finditer(rule.pattern.replace(" ", r"\s+"), prose, re.IGNORECASE):
            yield prose.count("\n", 0, found.start()), " ".join(found[0].split()), rule.instead


def main() -> int:
    """Print all findings, and return 1 if there are any."""
    count = 0
    for path, first, text in texts():
        for line, wording, instead in findings(text):
            count += 1
            print(f"{path.relative_to(ROOT)}:{first + line}: “{wording}”; better: {instead}", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
