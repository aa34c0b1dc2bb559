"""A stand-in for an API: it answers on loopback as a test says, and records its requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.loopback import LoopbackServer, Quiet


@dataclass(frozen=True)
class Answer:
    """What a request is answered; JSON."""

    status: int
    content: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request that came.

    Attributes:
        at: when, by the monotonic clock.
        headers: with names in lower case.
        content: the value of its JSON; None without a body.
    """

    at: float
    headers: dict[str, str]
    content: Any


class StandIn(LoopbackServer):
    """An API that answers by ``answers``.

    Args:
        answers: for ``GET /path`` and the like what it is answered in turn; the last one stays. Others get a 404.
    """

    def __init__(self, answers: Mapping[str, list[Answer]]) -> None:
        self._answers = {request: list(in_turn) for request, in_turn in answers.items()}
        self._asked: list[tuple[str, Asked]] = []
        self._lock = threading.Lock()
        stand_in = self

        class Handler(Quiet):
            def do_GET(self) -> None:  # noqa: N802 -- named by the library
                answer = stand_in._answer(self)
                body = json.dumps(answer.content).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET  # noqa: N815 -- named by the library

        super().__init__(Handler)

    def asked(self, request: str) -> list[Asked]:
        """The requests that came, such as ``GET /path``, in their order."""
        with self._lock:
            return [asked for name, asked in self._asked if name == request]

    @property
    def requests(self) -> list[str]:
        """All that came, each as ``GET /path``."""
        with self._lock:
            return [name for name, _ in self._asked]

    def set(self, request: str, answer: Answer) -> None:
        """Answer ``request`` so from now on."""
        with self._lock:
            self._answers[request] = [answer]

    def _answer(self, request: BaseHTTPRequestHandler) -> Answer:
        name = f"{request.command} {request.path}"
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        headers = {key.lower(): value for key, value in request.headers.items()}
        asked = Asked(time.monotonic(), headers, json.loads(body) if body else None)
        with self._lock:
            self._asked.append((name, asked))
            in_turn = self._answers.get(name, [Answer(404)])
            return in_turn.pop(0) if len(in_turn) > 1 else in_turn[0]
