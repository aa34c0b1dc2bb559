"""The program: its commands, and what becomes of their errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.errors import OperatorError

app = typer.Typer(
    name="gateway",
    help="Receive webhooks, prove who sent them, and publish each event once to RabbitMQ.",
    epilog="New here? Run `gateway dev`: it needs no servers and shows events arriving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", help="The configuration file.", envvar="GATEWAY_CONFIG", show_envvar=True),
]
DEFAULT_CONFIG = Path("config.yaml")

BindOption = Annotated[
    list[str] | None,
    typer.Option(help="Overrides server.bind; may be given again for another address.", metavar="HOST:PORT"),
]
AdminBindOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Overrides server.admin_bind; may be given again for another address.", metavar="HOST:PORT"
    ),
]
QueueArgument = Annotated[
    str, typer.Argument(help="The queue of a worker; its dead events are in QUEUE.dead.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The event id.")]
ProviderFilter = Annotated[str | None, typer.Option("--provider", "-p", help="Only those of this provider.")]
EventFilter = Annotated[
    str | None,
    typer.Option(
        "--event", "-e", help="Only types that match: * is one word, # any number.", metavar="PATTERN"
    ),
]
IdFilter = Annotated[str | None, typer.Option("--id", help="Only the one with this event id.")]
ReasonFilter = Annotated[
    str | None, typer.Option("--reason", "-r", help="Only those with this text in what is wrong with them.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, help="So many at most, the oldest first.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON object a line.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show which, and change nothing.")]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    bind: BindOption = None,
    admin_bind: AdminBindOption = None,
    log_format: Annotated[
        str, typer.Option(help="json for programs, console for people.", metavar="FORMAT")
    ] = "json",
) -> None:
    """Run the gateway, for production: every secret must be set.

    Redis and RabbitMQ may come up later; /readyz tells when events can be accepted.

    Signals: SIGTERM finishes what was accepted and ends; a second one ends at once. SIGHUP reads the configuration
    again: providers, their secrets and limits change without a pause, and if there is a mistake in it nothing does.

    Exit codes: 0 ended by a signal, 1 an address is taken or a store cannot be opened, 3 the configuration is
    wrong.
    """
    from gateway.cli.serve import run_serve

    run_serve(config, bind, admin_bind, log_format)


@app.command()
def dev(
    config: ConfigOption = DEFAULT_CONFIG,
    bind: BindOption = None,
    admin_bind: AdminBindOption = None,
    samples: Annotated[
        bool, typer.Option(help="Send one sample event of each provider at the start.")
    ] = True,
) -> None:
    """Try it on your machine: everything embedded, secrets made for you, an example worker printing events.

    Secrets that are not in the environment are made once and kept in data_dir/dev.env, where `gateway send`
    finds them. REDIS_URL and RABBITMQ_URL switch to real servers. Ctrl-C ends it.
    """
    from gateway.cli.dev import run_dev

    run_dev(config, bind, admin_bind, send_samples=samples)


@app.command()
def check(
    config: ConfigOption = DEFAULT_CONFIG,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print the JSON Schema of the configuration file instead.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of all settings, in Markdown, instead.")
    ] = False,
) -> None:
    """Check the configuration and the schemas, without starting anything.

    Each mistake is one line: file, line, the path of the field, what to do. Exit code 3 when there is one.
    """
    from gateway.cli.check import run_check
    from gateway.config.reference import config_schema, render

    if json_schema:
        typer.echo(json.dumps(config_schema(), indent=2))
    elif reference:
        typer.echo(render(), nl=False)
    else:
        run_check(config)


@app.command()
def send(
    provider: Annotated[str, typer.Argument(help="A provider in the configuration.")],
    event: Annotated[str | None, typer.Argument(help="The event type of a built-in sample.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Send this body instead of a sample.")
    ] = None,
    tamper: Annotated[
        str | None, typer.Option(help="Spoil it: body, signature, timestamp or replay.", metavar="HOW")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="How many events, each with its own id.")
    ] = 1,
    repeat: Annotated[int, typer.Option(min=1, help="How often each event is sent.")] = 1,
    key: Annotated[
        Path | None,
        typer.Option(help="Sign with this private key; its public one stands in the configuration."),
    ] = None,
    handshake: Annotated[
        bool, typer.Option("--handshake", help="Greet as the provider does, and send no event.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Where to; by default server.bind of the configuration.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send events as the provider does, signed with the provider's secret, and show what comes back.

    For example:

    - `gateway send stripe`
    - `gateway send github pull_request.opened`
    - `gateway send stripe --tamper body`
    - `gateway send acme --count 10000`
    - `gateway send slack --handshake`

    Exit codes: 0 the answers were as expected, 1 they were not, nobody listens, or there is no such provider,
    sample or file, 2 the command is wrong.
    """
    from gateway.cli.send import run_send

    run_send(config, provider, event, file, tamper, count, repeat, url, key, handshake=handshake)


@app.command()
def tail(
    pattern: Annotated[
        str, typer.Argument(help="Routing keys to show: * stands for one word, # for any number.")
    ] = "#",
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print each event as it is, one a line.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print events as they are published, beside all other consumers. Ctrl-C ends it.

    For example:

    - `gateway tail`
    - `gateway tail 'stripe.invoice.*'`
    - `gateway tail --json | jq .data`
    """
    from gateway.cli.tail import run_tail

    run_tail(config, pattern, as_json=json_lines)


@app.command()
def worker(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:NAME", help="A Worker, such as billing.agent:worker.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Declare its queues, or find them as they should be, and exit.")
    ] = False,
    log_format: Annotated[
        str, typer.Option(help="json for programs, console for people.", metavar="FORMAT")
    ] = "json",
    metrics: Annotated[
        str | None,
        typer.Option(help="Where Prometheus can ask for its numbers, at /metrics.", metavar="HOST:PORT"),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Run a worker: handle the events of its queue, try again what failed, and do nothing twice.

    Of the configuration it reads where Redis and RabbitMQ are; the secrets need not be set. Several processes may run
    one worker, and share its events.

    Signals: SIGTERM lets handlers finish within the worker's grace, hands the rest back and ends; a second one ends at
    once.

    For example:

    - `gateway worker agent:worker`
    - `gateway worker agent:worker --metrics 127.0.0.1:9464`
    - `gateway worker billing.agent:worker --check`

    Exit codes: 0 ended by a signal, 1 there is no such worker, an address is taken, the broker cannot be reached (--check)
    or a thread did not finish in time, 3 the configuration is wrong, or the queue was declared otherwise.
    """
    from gateway.cli.worker import run_worker

    run_worker(config, target, log_format, metrics, only_check=check)


@app.command()
def providers(
    word: Annotated[
        str | None, typer.Argument(metavar="[NAME|WORD]", help="Show one, or list those with a word in them.")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the page of all adapters, in Markdown, instead.")
    ] = False,
    evidence: Annotated[
        Path | None, typer.Option(help="For --reference: a YAML file of what proves each adapter.")
    ] = None,
) -> None:
    """List the adapters, or show one: what its signature covers and does not, and the block to paste.

    For example:

    - `gateway providers`
    - `gateway providers ed25519`
    - `gateway providers stripe`
    """
    from gateway.cli.providers import run_providers, run_reference

    if reference:
        run_reference(evidence)
    else:
        run_providers(word)


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A captured request; - reads it from standard input.")],
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider", "-p", help="A provider in the configuration, where the path does not tell."
        ),
    ] = None,
    arrived_at: Annotated[
        str | None,
        typer.Option(
            "--at", help="When it arrived, as in the log: RFC 3339, or Unix seconds.", metavar="TIME"
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say why a captured request does not verify, offline, by trying what commonly goes wrong.

    The file is raw HTTP (request line, header fields, blank line, body), or JSON: an object with method, url, headers
    and body, or body_base64. An old capture is judged as of its own timestamp, unless --at says when it came. Neither
    secrets nor the signature that would be right are shown.

    For example:

    - `gateway explain request.http`
    - `gateway explain request.json --provider acme --at 2026-11-21T13:00:20Z`

    Exit codes: 0 it verifies, 1 it does not, or it is no request, 3 the configuration is wrong.
    """
    from gateway.cli.explain import run_explain

    run_explain(config, file, provider, arrived_at)


@app.command()
def forget(
    provider: Annotated[str, typer.Argument(help="A provider in the configuration.")],
    event_id: Annotated[
        str, typer.Argument(metavar="ID", help="The event id, as in the answer and the log.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Forget that an event was seen, so that it is accepted again when its sender repeats it.

    Exit codes: 0 forgotten, 1 it was not known or the claim store does not answer.
    """
    from gateway.cli.forget import run_forget

    run_forget(config, provider, event_id)


@app.command()
def replay(
    since: Annotated[
        str, typer.Option(help="Events received from then on: 2h for so long ago, or a time.", metavar="TIME")
    ],
    until: Annotated[
        str | None,
        typer.Option(help="Events received up to then: RFC 3339, or Unix seconds.", metavar="TIME"),
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help="Events of this provider alone.")
    ] = None,
    event: Annotated[
        str, typer.Option(help="Event types: * stands for one word, # for any number.", metavar="PATTERN")
    ] = "#",
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="The event with this id alone; may be given again.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The queue that gets them.", metavar="QUEUE")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The oldest so many at most.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the events, and deliver none of them.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Have a worker handle also those that it has done already.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Deliver events from the archive once more, to one queue and in their order; needs archive.enabled.

    The events are what they were, and marked `"replayed": true`. A worker that guards against doing an event twice
    leaves out what it has done, unless there is --force. Ctrl-C ends it; what was delivered stays.

    For example:

    - `gateway replay --since 2h --provider stripe --event 'invoice.*' --dry-run`
    - `gateway replay --since 2h --provider stripe --event 'invoice.*' --to billing-agent`
    - `gateway replay --since 7d --id evt_1QxSamplePaidOrder --to billing-agent --force`

    Exit codes: 0 all that was selected was delivered, 1 some was not, or there is no archive or no such queue,
    2 the command is wrong, 3 the configuration is.
    """
    from gateway.cli.replay import run_replay

    run_replay(config, to, since, until, provider, event, ids or [], limit, is_dry=dry_run, is_forced=force)


schemas = typer.Typer(
    help="Look at the JSON Schemas that events are held to, propose one from samples, and compare two.",
    no_args_is_help=True,
)
app.add_typer(schemas, name="schemas")


@schemas.command("list")
def schemas_list(
    adapter: Annotated[str | None, typer.Argument(help="An adapter; all of them when left out.")] = None,
) -> None:
    """List the schemas that come with the gateway: event type, title and id.

    The envelope is for the events that have no schema of their own type, nor of the longest dotted prefix of it.
    """
    from gateway.cli.schemas import run_list

    run_list(adapter)


@schemas.command("show")
def schemas_show(
    adapter: Annotated[str, typer.Argument(help="An adapter, as in `gateway schemas list`.")],
    event: Annotated[str, typer.Argument(help="An event type; it need not have a schema of its own.")],
) -> None:
    """Print the schema that an event of this type is held to; which file that is, is told on standard error."""
    from gateway.cli.schemas import run_show

    run_show(adapter, event)


@schemas.command("infer")
def schemas_infer(
    files: Annotated[list[Path], typer.Argument(help="Bodies of one event type, or the events of a batch.")],
    identifier: Annotated[
        str, typer.Option("--id", help="Its $id: the name that refers to it, and stands in each event.")
    ] = "urn:webhook-gateway:schema:ADAPTER:EVENT:1",
    title: Annotated[str, typer.Option(help="Its title.")] = "ADAPTER: EVENT",
    depth: Annotated[
        int, typer.Option(min=1, max=16, help="Levels that are described; below, anything passes.")
    ] = 4,
    with_example: Annotated[
        bool, typer.Option("--with-example", help="Put the first sample into it, as an example.")
    ] = False,
) -> None:
    """Propose a schema from samples: lean, so that other names may come along, and what all have is required.

    Remove what your workers do not rely on: what a schema does not name cannot quarantine an event.

    For example:

    - `gateway schemas infer first.json second.json --title 'Acme: order' > schemas/acme.json`
    """
    from gateway.cli.schemas import run_infer

    run_infer(files, identifier, title, depth, with_example=with_example)


@schemas.command("diff")
def schemas_diff(
    old: Annotated[str, typer.Argument(help="A file, or ADAPTER/EVENT for one that comes with the gateway.")],
    new: Annotated[str, typer.Argument(help="Another, to take its place.")],
) -> None:
    """Tell the changes from one schema to another that break from those that are safe, a line each.

    Breaking is meant from the view of whoever sends: an event that passed the old schema can fail the new one. By a
    safe change none can. The rest is to be looked at. Each line has a JSON Pointer into the schema.

    For example:

    - `gateway schemas diff schemas/acme.json acme-2.json`
    - `gateway schemas diff github/push own-push.json`

    Exit codes: 0 nothing breaks, 1 something does, or a schema cannot be used.
    """
    from gateway.cli.schemas import run_diff

    run_diff(old, new)


spool = typer.Typer(
    help=(
        "Look after the events that wait on disk for RabbitMQ.\n\n"
        "All but drain work beside a running gateway, and change nothing. None needs the secrets of the providers.\n\n"
        "Exit codes: 0 done, 1 it could not be done or something is damaged, 3 the configuration is wrong."
    ),
    no_args_is_help=True,
)
app.add_typer(spool, name="spool")


@spool.command("show")
def spool_show(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show how much waits, for how long, and whether a gateway runs on it."""
    from gateway.cli.spool import run_show

    run_show(config)


@spool.command("verify")
def spool_verify(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Read every event and check it against its digest, and the file itself, changing nothing.

    Exit codes: 0 all is sound, 1 something is damaged or was set aside.
    """
    from gateway.cli.spool import run_verify

    run_verify(config)


@spool.command("drain")
def spool_drain(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Publish what waits, while no gateway runs there: before a machine is given up, say.

    Each event is deleted when RabbitMQ has confirmed it, so that Ctrl-C loses nothing: the rest stays.

    Exit codes: 0 nothing waits any more, 1 a gateway runs, RabbitMQ does not take events, or some were set aside.
    """
    from gateway.cli.spool import run_drain

    run_drain(config)


@spool.command("export")
def spool_export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this new file, not to the terminal.")
    ] = None,
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="The events that were set aside instead, with the reasons.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print what waits, one JSON object a line, and leave it where it is.

    What is not text is in base64, under a name that ends in _base64.

    For example:

    - `gateway spool export | jq -r .body | jq .data`
    - `gateway spool export --corrupt -o corrupt.jsonl`
    """
    from gateway.cli.spool import run_export

    run_export(config, output, corrupt=corrupt)


dead = typer.Typer(
    help=(
        "Look after the events that a worker has given up.\n\n"
        "They are looked at in the order of their queue, and stay in it until they are redriven or dropped. Meanwhile "
        "nobody else gets them.\n\n"
        "Exit codes: 0 done, 1 there is no such queue or event, or the broker cannot be reached, 3 the configuration is "
        "wrong."
    ),
    no_args_is_help=True,
)
app.add_typer(dead, name="dead")


@dead.command("list")
def dead_list(
    queue: QueueArgument,
    provider: ProviderFilter = None,
    event: EventFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List them: when each failed last, provider, event type, id, attempts and the reason.

    For example:

    - `gateway dead list billing-agent`
    - `gateway dead list billing-agent --event 'invoice.*' --reason timeout --json`
    """
    from gateway.cli.dead import run_list
    from gateway.queues.filter import EventFilter

    run_list(
        config,
        queue,
        EventFilter(provider, event, [event_id] if event_id else (), reason),
        limit,
        as_json=json_lines,
    )


@dead.command("show")
def dead_show(
    queue: QueueArgument,
    event_id: IdArgument,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print a whole event with its headers."""
    from gateway.cli.dead import run_show

    run_show(config, queue, event_id)


@dead.command("redrive")
def dead_redrive(
    queue: QueueArgument,
    provider: ProviderFilter = None,
    event: EventFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give them back to their worker, with all attempts before them.

    Each is published to the queue, confirmed, and only then taken from the dead: Ctrl-C loses nothing, and leaves a copy
    at most, with the same id.
    """
    from gateway.cli.dead import run_redrive
    from gateway.queues.filter import EventFilter

    run_redrive(
        config,
        queue,
        EventFilter(provider, event, [event_id] if event_id else (), reason),
        limit,
        dry_run=dry_run,
    )


@dead.command("drop")
def dead_drop(
    queue: QueueArgument,
    provider: ProviderFilter = None,
    event: EventFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete them for good, after showing which and asking."""
    from gateway.cli.dead import run_drop
    from gateway.queues.filter import EventFilter

    run_drop(
        config,
        queue,
        EventFilter(provider, event, [event_id] if event_id else (), reason),
        limit,
        is_sure=yes,
    )


quarantine = typer.Typer(
    help=(
        "Look after the genuine events that were against their schema.\n\n"
        "They stay in the quarantine until they are released. None of this needs the secrets of the providers.\n\n"
        "Exit codes: 0 done, 1 there is no such event, a schema cannot be used, or the broker cannot be reached, "
        "3 the configuration is wrong."
    ),
    no_args_is_help=True,
)
app.add_typer(quarantine, name="quarantine")


@quarantine.command("list")
def quarantine_list(
    provider: ProviderFilter = None,
    event: EventFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List them: when each came, provider, event type, id, and the rules that it breaks."""
    from gateway.cli.quarantine import run_list
    from gateway.queues.filter import EventFilter

    run_list(
        config,
        EventFilter(provider, event, [event_id] if event_id else (), reason),
        limit,
        as_json=json_lines,
    )


@quarantine.command("show")
def quarantine_show(
    event_id: IdArgument,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print a whole event with its headers."""
    from gateway.cli.quarantine import run_show

    run_show(config, event_id)


@quarantine.command("revalidate")
def quarantine_revalidate(
    provider: ProviderFilter = None,
    event: EventFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Tell which pass the schemas of today: those of the providers in the configuration.

    What `redact` has masked is judged as it is now.
    """
    from gateway.cli.quarantine import run_revalidate
    from gateway.queues.filter import EventFilter

    run_revalidate(
        config,
        EventFilter(provider, event, [event_id] if event_id else (), reason),
        limit,
        as_json=json_lines,
    )


@quarantine.command("release")
def quarantine_release(
    provider: ProviderFilter = None,
    event: EventFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also those that are against their schema still.")
    ] = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Publish those that pass the schemas of today, or all with --force, as if they had just come.

    Each goes to the exchange for events with its routing key, its id, the bytes of its data, and `"released": true`. It
    is taken from the quarantine when that is confirmed: Ctrl-C loses nothing, and leaves a copy at most.

    For example:

    - `gateway quarantine release --provider acme --dry-run`
    """
    from gateway.cli.quarantine import run_release
    from gateway.queues.filter import EventFilter

    run_release(
        config,
        EventFilter(provider, event, [event_id] if event_id else (), reason),
        limit,
        is_forced=force,
        dry_run=dry_run,
    )


def main() -> None:
    """Run the program; a mistake of the operator is a line on standard error, never a traceback."""
    try:
        app()
    except OperatorError as error:
        from gateway.observability.terminal import printable

        print(printable(str(error), keep="\n"), file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `gateway tail | head`
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
