"""The diagrams of the documentation, drawn as SVG from a few boxes and arrows.

``python scripts/pages/diagrams.py`` writes them into docs/assets. They take the colours of the page that they are part of, and
those of the reader's system when they are an image of their own, as in README.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

_ASSETS = Path(__file__).resolve().parents[2] / "docs/assets"
_STYLE = """\
.whgw{--own-ink:#1f2328;--own-line:#57606a;--own-fill:#f6f8fa;--own-accent:#3f51b5;
--ink:var(--md-default-fg-color,var(--own-ink));--line:var(--md-default-fg-color--light,var(--own-line));
--fill:var(--md-code-bg-color,var(--own-fill));--accent:var(--md-accent-fg-color,var(--own-accent));
font:15px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){.whgw{--own-ink:#e6edf3;--own-line:#8d96a0;--own-fill:#161b22;--own-accent:#8c9eff}}
.whgw text{fill:var(--ink);text-anchor:middle}.whgw .small{font-size:13px;fill:var(--line)}.whgw .bold{font-weight:600}
.whgw rect{fill:var(--fill);stroke:var(--line);stroke-width:1.2}.whgw .frame{fill:none;stroke-dasharray:5 4}
.whgw .main{stroke:var(--accent);stroke-width:2}.whgw path{fill:none;stroke:var(--line);stroke-width:1.6}
.whgw .dashed{stroke-dasharray:5 4}.whgw .tip{fill:var(--line);stroke:none}"""


@dataclass
class Diagram:
    """A drawing of boxes and arrows.

    Attributes:
        width: Its width in units of the view box; on a phone a unit is half a pixel or more.
        height: Its height.
        title: What it shows, for readers who cannot see it.
        parts: The SVG of what has been drawn.
    """

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, width: int, height: int, *lines: str, style: str = "") -> None:
        """Draw a box around lines of text; the first line is bold."""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="7" class="{style}"/>')
        top = y + height / 2 - (len(lines) - 1) * 9 + 5
        for number, line in enumerate(lines):
            kind = "small" if number else "bold"
            self.parts.append(
                f'<text x="{x + width / 2:g}" y="{top + number * 18:g}" class="{kind}">{escape(line)}</text>'
            )

    def text(self, x: int, y: int, line: str, style: str = "small") -> None:
        """Write a line centred at ``x``."""
        self.parts.append(f'<text x="{x}" y="{y}" class="{style}">{escape(line)}</text>')

    def frame(self, x: int, y: int, width: int, height: int, label: str) -> None:
        """Draw a dashed frame around several boxes, with a label at its top."""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" class="frame"/>')
        self.text(x + 66, y + 22, label, "bold")

    def arrow(self, *points: tuple[int, int], is_dashed: bool = False, is_double: bool = False) -> None:
        """Draw an arrow along points that are joined by horizontal and vertical lines."""
        line = " ".join(f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(points))
        self.parts.append(f'<path d="{line}" class="{"dashed" if is_dashed else ""}"/>')
        self._tip(points[-2], points[-1])
        if is_double:
            self._tip(points[1], points[0])

    def _tip(self, before: tuple[int, int], at: tuple[int, int]) -> None:
        x, y = at
        dx, dy = (x > before[0]) - (x < before[0]), (y > before[1]) - (y < before[1])
        back, side = 8, 5
        corners = (
            (x, y),
            (x - dx * back - dy * side, y - dy * back - dx * side),
            (x - dx * back + dy * side, y - dy * back + dx * side),
        )
        points = " ".join(f"{cx},{cy}" for cx, cy in corners)
        self.parts.append(f'<polygon points="{points}" class="tip"/>')

    def svg(self) -> str:
        """Return the drawing as an SVG document."""
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="whgw" viewBox="0 0 {self.width} {self.height}">\n'
            f"<title>{escape(self.title)}</title>\n<style>{_STYLE}</style>\n{body}\n</svg>\n"
        )


def overview() -> Diagram:
    """Draw what README.md and the first page show."""
    drawing = Diagram(600, 330, "From a provider's webhook to a worker")
    drawing.box(20, 20, 150, 54, "Stripe, GitHub", "and 150 others")
    drawing.arrow((170, 47), (230, 47))
    drawing.text(200, 38, "POST")
    drawing.frame(230, 10, 350, 206, "gateway")
    drawing.box(244, 46, 90, 54, "verify", "signature", style="main")
    drawing.arrow((334, 73), (350, 73))
    drawing.box(350, 46, 100, 54, "validate", "JSON Schema", style="main")
    drawing.arrow((450, 73), (470, 73))
    drawing.box(470, 46, 92, 54, "dedupe", "claim the id", style="main")
    drawing.arrow((516, 100), (516, 140))
    drawing.box(400, 140, 162, 54, "publish", "wait for the confirm", style="main")
    drawing.arrow((400, 167), (350, 167), is_dashed=True)
    drawing.box(250, 140, 100, 54, "spool", "on disk")
    drawing.text(160, 120, "202 only when")
    drawing.text(160, 138, "the event is safe")
    drawing.arrow((230, 166), (95, 166), (95, 74))
    drawing.arrow((481, 194), (481, 250))
    drawing.box(400, 250, 162, 54, "RabbitMQ", "webhooks")
    drawing.arrow((400, 277), (330, 277))
    drawing.box(150, 250, 180, 54, "your workers", "and AI agents")
    drawing.text(365, 268, "events")
    return drawing


def event_path() -> Diagram:
    """Draw what can happen to one request, step by step."""
    drawing = Diagram(560, 520, "The path of one event through the gateway")
    steps = (
        ("receive", "bounded in bytes and time", "400 408 413 429 431"),
        ("verify", "signature over the raw bytes", "401"),
        ("parse and filter", "strict; id, type, subject", "400 · 200 ignored"),
        ("validate", "JSON Schema", "202 quarantined"),
        ("claim", "was it published before?", "200 duplicate · 503"),
        ("publish", "confirmed, or spooled to disk", "503"),
        ("commit and answer", "the claim becomes permanent", ""),
    )
    for number, (name, text, other) in enumerate(steps):
        y = 12 + number * 72
        drawing.box(20, y, 260, 50, name, text, style="main")
        if number < len(steps) - 1:
            drawing.arrow((150, y + 50), (150, y + 72))
        if other:
            drawing.arrow((280, y + 25), (350, y + 25), is_dashed=number > 0)
            drawing.text(450, y + 30, other, "")
    drawing.arrow((280, 469), (350, 469))
    drawing.text(450, 474, "202 accepted", "bold")
    return drawing


def architecture() -> Diagram:
    """Draw the rooms of the code, and the servers around them."""
    drawing = Diagram(600, 500, "Inside gateway serve")
    drawing.box(225, 12, 150, 44, "provider")
    drawing.arrow((300, 56), (300, 118))
    drawing.text(340, 84, "POST")
    drawing.frame(20, 92, 560, 262, "gateway serve")
    drawing.box(200, 118, 200, 50, "http", "bytes, deadlines, limits", style="main")
    drawing.arrow((300, 168), (300, 190))
    drawing.box(200, 190, 200, 50, "receive", "route, examine, respond", style="main")
    drawing.arrow((200, 204), (115, 204), (115, 284))
    drawing.arrow((260, 240), (260, 284))
    drawing.arrow((350, 240), (350, 284))
    drawing.arrow((400, 204), (500, 204), (500, 284))
    drawing.box(32, 284, 150, 54, "signatures", "who sent it, what it is")
    drawing.box(190, 284, 104, 54, "events", "parse, validate")
    drawing.box(302, 284, 120, 54, "claims", "published before?")
    drawing.box(430, 284, 140, 54, "publishers", "confirm, spool")
    drawing.arrow((362, 338), (362, 394), is_double=True)
    drawing.box(312, 394, 100, 44, "Redis")
    drawing.arrow((500, 338), (500, 394))
    drawing.box(440, 394, 130, 44, "RabbitMQ")
    drawing.arrow((505, 438), (505, 470), (260, 470))
    drawing.box(60, 446, 200, 48, "gateway worker", "run handlers, retry")
    drawing.arrow((180, 446), (180, 416), (312, 416), is_double=True)
    return drawing


DIAGRAMS = {"overview": overview, "event-path": event_path, "architecture": architecture}


def main() -> None:
    """Write all diagrams."""
    for name, draw in DIAGRAMS.items():
        (_ASSETS / f"{name}.svg").write_text(draw().svg(), "utf-8")


if __name__ == "__main__":
    main()
