"""The terminal view of `gateway listen`: a list of what came, one of them in full, and a line for the filter.

Everything that came from outside is escaped before it is drawn. The terminal is given back as it was, however this ends.

By hand, since the libraries for such views (Textual, prompt_toolkit) bring ten times the code of the rest of the command; it draws
whole frames of at most a screen, a few times a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.listening.session import Item, Session
from gateway.observability.terminal import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    cell_width,
    cut,
    has_color,
    one_line,
    paint,
    printable,
)

_REFRESH = 0.2
"""Seconds between two frames."""

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HELP = "j/k move  enter detail  r resend  e edit and send  f filter  s secrets  q quit"
_DETAIL_HELP = "j/k scroll  r resend  e edit and send  q back"
_KEYS = {"\x1b[A": "k", "\x1b[B": "j", "\x1b[5~": "page up", "\x1b[6~": "page down", "\r": "\n"}


class Screen:
    """Shows a session, and does what keys say.

    Args:
        session: What came.
        head: What stands on top: where events come from and go to.
        secrets: Yields what the application verifies with, a line each.
    """

    def __init__(self, session: Session, head: str, secrets: Callable[[], Iterator[str]]) -> None:
        self._session = session
        self._head = head
        self._secrets = secrets
        self._selected: Item | None = None
        self._follows = True
        self._detail: list[str] | None = None
        self._scroll = 0
        self._filter = ""
        self._typing: str | None = None
        self._note = ""
        self._has_color = has_color(sys.stdout)
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.suspended = False

    async def run(self) -> None:
        """Show it until somebody quits."""
        loop = asyncio.get_running_loop()
        with _raw_terminal() as descriptor:
            loop.add_reader(descriptor, self._read, descriptor)
            try:
                while not self._ended.is_set():
                    if not self.suspended:
                        self._draw()
                    try:
                        async with asyncio.timeout(_REFRESH):
                            await self._ended.wait()
                    except TimeoutError:
                        continue
            finally:
                loop.remove_reader(descriptor)

    def note(self, text: str) -> None:
        """Show a text at the bottom until a key is pressed."""
        self._note = text

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, 64).decode("utf-8", "ignore")
        if data in _KEYS:
            self._press(_KEYS[data])
        elif data == "\x1b" or not data.startswith("\x1b"):
            for key in data:
                self._press(_KEYS.get(key, key))

    def _press(self, key: str) -> None:
        self._note = ""
        if self._typing is not None:
            self._type(key)
            return
        acts: dict[str, Callable[[], None]] = {
            "j": lambda: self._move(1),
            "k": lambda: self._move(-1),
            "page down": lambda: self._move(10),
            "page up": lambda: self._move(-10),
            "\n": self._open,
            "\x1b": self._close,
            "q": self._close if self._detail is not None else self._quit,
            "\x03": self._quit,
            "r": self._resend,
            "e": self._edit,
            "f": self._begin_filter,
            "s": self._show_secrets,
        }
        if act := acts.get(key):
            act()
        if not self.suspended:
            self._draw()

    def _type(self, key: str) -> None:
        assert self._typing is not None  # noqa: S101 -- the caller has looked
        if key in {"\n", "\x1b"}:
            if key == "\n":
                self._filter = self._typing
            self._typing = None
        elif key in {"\x7f", "\b"}:
            self._typing = self._typing[:-1]
        elif key.isprintable():
            self._typing += key
        self._draw()

    def _shown(self) -> list[Item]:
        word = self._filter.lower()
        return [
            each
            for each in self._session.items
            if word in f"{each.key} {each.event_id} {each.summary}".lower()
        ]

    def _current(self) -> Item | None:
        shown = self._shown()
        if self._follows or self._selected not in shown:
            return shown[-1] if shown else None
        return self._selected

    def _move(self, step: int) -> None:
        if self._detail is not None:
            self._scroll = max(self._scroll + step, 0)
            return
        shown, current = self._shown(), self._current()
        if current is None:
            return
        place = min(max(shown.index(current) + step, 0), len(shown) - 1)
        self._selected, self._follows = shown[place], place == len(shown) - 1

    def _open(self) -> None:
        if item := self._current():
            self._selected, self._follows = item, False
            self._detail, self._scroll = list(detail_lines(item)), 0

    def _close(self) -> None:
        self._detail = None

    def _quit(self) -> None:
        self._ended.set()

    def _begin_filter(self) -> None:
        self._detail, self._typing = None, self._filter

    def _show_secrets(self) -> None:
        self._detail, self._scroll = [one_line(line) for line in self._secrets()], 0

    def _resend(self) -> None:
        if item := self._current():
            self._start(item)

    def _start(self, item: Item) -> None:
        async def send() -> None:
            await self._session.send(item)
            if self._detail is not None and self._selected is item:
                self._detail = list(detail_lines(item))

        task = asyncio.create_task(send())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _edit(self) -> None:
        item = self._current()
        if item is None:
            return
        self.suspended = True
        task = asyncio.create_task(self._edit_and_send(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _edit_and_send(self, item: Item) -> None:
        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno()
        loop.remove_reader(descriptor)
        try:
            with _cooked_terminal(descriptor):
                edited = await asyncio.to_thread(edit, item.body)
        except OSError as error:
            self._note = f"the editor cannot be run: {error}"
            return
        except ValueError as error:
            self._note = f"not sent: {error}"
            return
        finally:
            loop.add_reader(descriptor, self._read, descriptor)
            self.suspended = False
        if edited == item.body:
            self._note = "nothing was changed, nothing was sent"
            return
        copy = self._session.add(item.key, edited, is_edited=True)
        self._selected, self._follows, self._detail = copy, True, None
        self._start(copy)

    def _draw(self) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = [self._styled(cut(one_line(self._head), columns), BOLD)]
        body_rows = max(rows - 2, 1)
        if self._detail is not None:
            self._scroll = min(self._scroll, max(len(self._detail) - body_rows, 0))
            lines += [cut(each, columns) for each in self._detail[self._scroll : self._scroll + body_rows]]
        else:
            lines += self._list(columns, body_rows)
        lines += [""] * (rows - 1 - len(lines))
        lines.append(self._styled(cut(self._foot(), columns), DIM))
        frame = "".join(f"\x1b[{number};1H\x1b[2K{line}" for number, line in enumerate(lines[:rows], 1))
        sys.stdout.write(frame)
        sys.stdout.flush()

    def _list(self, columns: int, rows: int) -> list[str]:
        shown, current = self._shown(), self._current()
        if not shown or current is None:
            text = f"Nothing matches {self._filter!r}." if self._filter else "Waiting for events."
            return ["", cut(f"  {one_line(text)}", columns)]
        place = shown.index(current)
        first = min(max(place - rows + 1, 0), max(len(shown) - rows, 0)) if place < rows else place - rows + 1
        return [self._row(each, columns, is_current=each is current) for each in shown[first : first + rows]]

    def _row(self, item: Item, columns: int, *, is_current: bool) -> str:
        mark = "…" if item.is_sending or not item.sent else "✓" if item.is_success else "✗"
        text = cut(item.line(), columns - 4)
        if is_current:
            return f"\x1b[7m {mark} {text}{' ' * max(columns - 3 - cell_width(text), 0)}\x1b[0m"
        style = GREEN if mark == "✓" else RED if mark == "✗" else YELLOW
        return f" {self._styled(mark, style)} {text}"

    def _foot(self) -> str:
        if self._typing is not None:
            return f"filter: {one_line(self._typing)}_   enter to apply, esc to leave"
        if self._note:
            return one_line(self._note)
        filtered = f"  [{one_line(self._filter)}]" if self._filter else ""
        return (_DETAIL_HELP if self._detail is not None else _HELP) + filtered

    def _styled(self, text: str, style: str) -> str:
        return paint(text, style) if self._has_color else text


def detail_lines(item: Item) -> Iterator[str]:
    """Yield an event in full, with each sending: escaped, a line each."""
    yield f"{one_line(item.key)}  {one_line(item.event_id)}"
    yield one_line(item.summary)
    for result in item.sent:
        status = "" if result.status is None else f" {result.status}"
        phases = ", ".join(f"{name} {ms:.0f} ms" for name, ms in result.phases.items())
        yield f"{result.outcome.value.replace('_', ' ')}{status} in {result.ms:.0f} ms  {phases}".rstrip()
        if result.detail:
            yield f"  {one_line(result.detail)}"
        for line in result.excerpt.decode("utf-8", "backslashreplace").splitlines():
            yield f"  | {printable(line)}"
    yield ""
    yield from (printable(line) for line in _pretty(item.body).splitlines())


def edit(body: bytes) -> bytes:
    """Let somebody edit an event in their editor; return its bytes, those of before if nothing was changed.

    Raises:
        OSError: The editor cannot be run.
        ValueError: What came of it is not JSON, or the editor failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    text = _pretty(body)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "event.json"
        path.write_text(text + "\n", "utf-8")
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)  # noqa: S603 -- the user's own editor
        if done.returncode:
            raise ValueError(f"{editor} ended with {done.returncode}")
        changed = path.read_text("utf-8")
    if changed.strip() == text.strip():
        return body
    try:
        return json.dumps(json.loads(changed), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise ValueError(f"it is no JSON any more: {error}") from None


def _pretty(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except ValueError:
        return body.decode("utf-8", "backslashreplace")


@contextmanager
def _raw_terminal() -> Iterator[int]:
    """Read keys one by one, on a screen of its own."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


@contextmanager
def _cooked_terminal(descriptor: int) -> Iterator[None]:
    """Give the terminal to another program for a while."""
    before = termios.tcgetattr(descriptor)
    cooked = termios.tcgetattr(descriptor)
    cooked[3] |= termios.ECHO | termios.ICANON
    try:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, cooked)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()
