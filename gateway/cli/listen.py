"""``gateway listen``: POST verified events to an application on this machine, as they come, from a cursor."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import typer

from gateway.cli.common import load_with_dev_secrets, run
from gateway.cli.listening.memory import STANDARD, Memory, state_folder
from gateway.cli.listening.screen import Screen
from gateway.cli.listening.sending import LocalSender
from gateway.cli.listening.session import Item, Session
from gateway.cli.listening.source import LocalSource, RemoteSource, Source
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.journal.query_language import parse_moment
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import is_terminal
from gateway.operations.outbound import senders_of
from gateway.outbound.original import Senders, bundled_sender

_TARGET = re.compile(r":?([0-9]{1,5})(/[^\s\x00-\x1f]*)?")


class Wanted(NamedTuple):
    """What the options say.

    Attributes:
        target: `PORT` or `PORT/PATH`.
        url: The address of another gateway's console; None for the one of the configuration.
        token: A token of it.
        pattern: A pattern over routing keys.
        since: Where to begin; None to go on at the cursor, or now.
        as_sender: Whether requests are those of the provider.
    """

    target: str
    url: str | None
    token: str | None
    pattern: str
    since: str | None
    as_sender: bool


def run_listen(path: Path, wanted: Wanted) -> None:
    """Send events to the application until Ctrl-C or `q`."""
    silence_logs()
    url, now = local_url_of(wanted.target), time.time()
    since = parse_moment(wanted.since, now) if wanted.since else now
    source: Source
    senders: Senders
    if wanted.url:
        if not wanted.token:
            raise OperatorError(
                "--from needs --token, or GATEWAY_TOKEN: `gateway console tokens create NAME --role operator` makes one there"
            )
        memory = Memory(state_folder(), f"{wanted.url} {url} {wanted.pattern}")
        source, place, senders = (
            RemoteSource(wanted.url, wanted.token, wanted.pattern, since),
            wanted.url,
            bundled_sender,
        )
    else:
        config, _ = load_with_dev_secrets(path)
        _check(config)
        memory = Memory(config.data_dir / "listen", f"{url} {wanted.pattern}")
        source, place, senders = (
            LocalSource(config, wanted.pattern, since),
            str(config.data_dir),
            senders_of(config),
        )
    sender = LocalSender(url, memory, senders, as_sender=wanted.as_sender)
    cursor = "" if wanted.since else memory.content.cursor
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        run(_listen(source, sender, memory, cursor, f"{place} → {url}", is_original=wanted.as_sender))


def local_url_of(target: str) -> str:
    """Return the address on this machine that `PORT/PATH` names.

    Raises:
        typer.BadParameter: It names none.
    """
    match = _TARGET.fullmatch(target)
    if match is None or not 0 < int(match[1]) < 65536:
        raise typer.BadParameter(
            f"{target!r} is no port of this machine; write 3000 or 3000/hooks", param_hint="PORT/PATH"
        )
    return f"http://127.0.0.1:{int(match[1])}{match[2] or '/'}"


def _check(config: Config) -> None:
    if not config.archive.enabled:
        raise OperatorError(
            "there is no archive to follow: set archive.enabled to true in the configuration, and start the gateway again"
        )


async def _listen(
    source: Source, sender: LocalSender, memory: Memory, cursor: str, head: str, *, is_original: bool
) -> None:
    session = Session(sender)
    on_terminal = is_terminal(sys.stdout) and sys.stdin.isatty()
    told: set[str] = set()

    def secrets() -> Iterator[str]:
        yield from (
            f"verify {name} with the secret {memory.secret_for(name).receiver}" for name in sorted(told)
        )

    screen = Screen(session, head, secrets) if on_terminal else None

    def tell_secret(name: str) -> None:
        if name in told:
            return
        told.add(name)
        text = f"verify {name} with the secret {memory.secret_for(name).receiver}"
        if screen:
            screen.note(text)
        else:
            typer.echo(text, err=True)

    def show(item: Item) -> None:
        if screen is None:
            typer.echo(item.line())

    if not is_original:
        tell_secret(STANDARD)
    else:
        for name in memory.content.secrets:
            tell_secret(name)
    if screen is None:
        typer.echo(f"{head}. Press Ctrl-C to stop.", err=True)
    await sender.start()
    following = asyncio.create_task(_follow(source, session, memory, cursor, tell_secret, show))
    try:
        await (following if screen is None else _show(screen, following))
    finally:
        following.cancel()
        await asyncio.wait({following})
        await sender.stop()


async def _show(screen: Screen, following: asyncio.Task[None]) -> None:
    """Show the screen until somebody quits, or there is nothing more to follow."""
    showing = asyncio.create_task(screen.run())
    done, _ = await asyncio.wait({following, showing}, return_when=asyncio.FIRST_COMPLETED)
    if following in done:
        showing.cancel()
        await asyncio.wait({showing})
    for task in done:
        task.result()


async def _follow(
    source: Source,
    session: Session,
    memory: Memory,
    cursor: str,
    tell_secret: Callable[[str], None],
    show: Callable[[Item], None],
) -> None:
    """Send what comes, one after another, and remember where to go on after each batch."""
    async for events, after in source.batches(cursor):
        for each in events:
            tell_secret(session.sender.adapter_of(each.body))
            item = session.add(each.key, each.body)
            await session.send(item)
            show(item)
        memory.move_to(after)
