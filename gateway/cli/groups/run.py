"""The commands that run the gateway or a worker: ``serve``, ``dev`` and ``worker``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.completion import complete_adapters
from gateway.cli.help import RUN, Commands
from gateway.cli.options import DEFAULT_CONFIG, AdminBindOption, BindOption, ConfigOption, LogFormatOption

run = Commands()


@run.command(rich_help_panel=RUN)
def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    bind: BindOption = None,
    admin_bind: AdminBindOption = None,
    log_format: LogFormatOption = None,
) -> None:
    """Start the gateway in production mode.

    All secrets must be set. Redis and RabbitMQ may start later; /readyz reports when events can be accepted.

    Signals: SIGTERM drains in-flight requests and exits; a second SIGTERM exits immediately. SIGHUP reloads the
    configuration: providers, secrets and limits change without downtime. If the new configuration is invalid, the
    previous one stays active.

    Exit codes: 0 stopped by a signal, 1 an address is in use or a store cannot be opened, 3 invalid configuration.
    """
    from gateway.cli.serve import run_serve

    run_serve(config, bind, admin_bind, log_format)


@run.command(rich_help_panel=RUN)
def dev(
    providers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Adapters to run, such as stripe github, instead of a configuration.",
            show_default=False,
            autocompletion=complete_adapters,
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    demo: Annotated[
        bool, typer.Option("--demo", help="Run the demo, even if there is a config.yaml.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            help="Listen on this port of 127.0.0.1, and on the next one for metrics.", min=1, max=65534
        ),
    ] = None,
    bind: BindOption = None,
    admin_bind: AdminBindOption = None,
    samples: Annotated[bool, typer.Option(help="Send one sample event per provider at startup.")] = True,
) -> None:
    """Try the gateway on this machine: embedded stores, generated secrets, and a worker that prints events.

    It runs config.yaml; in a folder without one, the demo; or the providers that are named. Secrets that are not set in
    the environment or in .env are generated once and saved to data_dir/dev.env. Other commands in this folder find the
    running gateway by themselves. Set REDIS_URL and RABBITMQ_URL to use real servers. Press Ctrl-C to stop.

    For example:

    - `gateway dev`
    - `gateway dev stripe github`
    - `gateway dev --port 8090`
    """
    from gateway.cli.dev import run_dev

    if port:
        bind, admin_bind = bind or [f"127.0.0.1:{port}"], admin_bind or [f"127.0.0.1:{port + 1}"]
    run_dev(config, providers or (), bind, admin_bind, is_demo=demo, send_samples=samples)


@run.command(rich_help_panel=RUN)
def worker(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME", help="A Worker object, such as billing.agent:worker.", show_default=False
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Declare the worker's queues, or verify existing ones, and exit.")
    ] = False,
    log_format: LogFormatOption = None,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Restart after changes of the module's source files; in-flight events finish first.",
        ),
    ] = False,
    metrics: Annotated[
        str | None, typer.Option(help="Serve Prometheus metrics at /metrics here.", metavar="HOST:PORT")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Run a worker: consume its queue with retries and idempotency.

    The configuration supplies the Redis and RabbitMQ connections; the providers' secrets are not needed. Several
    processes can run the same worker and share its events.

    Signals: on SIGTERM, handlers get the worker's grace period to finish; unfinished events are requeued. A second
    SIGTERM exits immediately.

    For example:

    - `gateway worker agent:worker`
    - `gateway worker agent:worker --reload`
    - `gateway worker agent:worker --metrics 127.0.0.1:9464`
    - `gateway worker billing.agent:worker --check`

    Exit codes: 0 stopped by a signal, 1 no such worker, an address is in use, the broker is unreachable (--check) or a
    handler thread did not finish in time, 3 invalid configuration, or the queue exists with different settings.
    """
    from gateway.cli.worker import run_reloading, run_worker

    if reload and not check:
        run_reloading(config, target, log_format, metrics)
    run_worker(config, target, log_format, metrics, only_check=check)


@run.command(rich_help_panel=RUN)
def listen(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PORT/PATH",
            help="Where the application listens on this machine, such as 3000/hooks.",
            show_default=False,
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="The address of another gateway's console, such as https://gateway.internal:8081; by default the "
            "gateway of this configuration.",
            metavar="URL",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="A token of that console with the role operator.",
            metavar="TOKEN",
            envvar="GATEWAY_TOKEN",
            show_envvar=True,
        ),
    ] = None,
    match: Annotated[
        str,
        typer.Option("--match", "-m", help="Send only events whose routing keys match.", metavar="PATTERN"),
    ] = "#",
    as_sender: Annotated[
        bool,
        typer.Option(
            "--as-sender",
            help="Send the provider's own requests, signed as the provider signs, instead of CloudEvents signed as "
            "Standard Webhooks.",
        ),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            help="Begin with what came since 10m, or since a time, instead of where the last run ended.",
            metavar="WHEN",
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """POST verified events to an application on this machine, as they come, without a tunnel.

    It follows the archive of a gateway from a cursor that it keeps in a file: nothing is taken from any queue, and what came
    while it did not run comes when it starts again. Requests are signed with a secret of this machine, which is shown.

    On a terminal: a list with `enter` for detail, `r` to send again, `e` to edit and send, `f` to filter, `q` to quit.

    For example:

    - `gateway listen 3000/hooks`
    - `gateway listen 3000/hooks --as-sender --match 'stripe.invoice.*' --since 10m`
    - `gateway listen 3000 --from https://gateway.internal:8081 --token "$TOKEN"`

    Exit codes: 0 stopped by q or Ctrl-C, 1 there is no archive, or the other gateway refuses, 3 invalid configuration.
    """
    from gateway.cli.listen import Wanted, run_listen

    run_listen(config, Wanted(target, url, token, match, since, as_sender))
