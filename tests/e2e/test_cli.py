"""The command line as users meet it: help, exit codes, and one readable line per mistake."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from gateway.claims import claim_key
from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets, run_gateway
from support.inbox import Inbox
from support.ports import free_port
from support.senders import post

COMMANDS = [
    *("serve", "dev", "init", "check", "send", "tail", "worker", "providers", "schemas", "explain", "forget"),
    *("replay", "spool", "dead", "quarantine", "unrouted"),
]
ExpectClean = Callable[..., None]


@pytest.fixture(scope="module")
def gateway(module_folder: Path, module_secrets: Secrets) -> Iterator[GatewayProcess]:
    """One gateway on the embedded stores for all tests here."""
    with GatewayProcess(module_folder, module_secrets) as process:
        yield process


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, module_secrets: Secrets) -> GatewayProcess:
    """A configuration whose gateway does not run."""
    return GatewayProcess(tmp_path_factory.mktemp("idle"), module_secrets)


def an_event(gateway: GatewayProcess) -> senders.Delivery:
    """One that nobody has seen."""
    return senders.stripe(gateway.secrets.stripe, senders.stripe_event())


def a_ping(gateway: GatewayProcess, event_id: str, hook: str = "") -> senders.Delivery:
    """One of GitHub, and of one of its hooks."""
    ping = senders.github(
        gateway.secrets.github, b'{"zen":"z","hook_id":1,"hook":{"id":1}}', "ping", event_id
    )
    return replace(ping, headers={**ping.headers, **({"X-GitHub-Hook-ID": hook} if hook else {})})


def test_the_help_of_the_program_lists_the_commands(tmp_path: Path) -> None:
    """With --help, with -h, and, as a mistake, without any argument."""
    asked, in_short, bare = (run_gateway(*words, cwd=tmp_path) for words in (["--help"], ["-h"], []))

    assert (asked.returncode, in_short.returncode) == (0, 0)
    assert asked.stdout == in_short.stdout
    assert (bare.stdout + bare.stderr).split() == asked.stdout.split()
    for command in COMMANDS:
        assert re.search(rf"^\W*{command} ", asked.stdout, re.MULTILINE), command
    assert "gateway dev" in asked.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    """Without a configuration; with its exit codes where they mean something, and examples to copy."""
    done = run_gateway(command, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: gateway {command}" in done.stdout
    assert list(tmp_path.iterdir()) == []
    if command in {"serve", "check", "send", "explain", "forget", "replay", "spool", "dead", "quarantine"}:
        assert re.search(r"[Ee]xit codes?\W", done.stdout)
    if command in {"send", "tail", "explain", "replay"}:
        assert f"gateway {command}" in done.stdout.partition("For example:")[2]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    """And nothing else is printed."""
    done = run_gateway("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, version("agent-webhook-gateway"))


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["nonsense"],
        ["serve", "--nonsense"],
        ["serve", "--log-format", "xml"],
        ["send"],
        ["send", "stripe", "--count", "0"],
        ["send", "stripe", "--count", "many"],
        ["send", "stripe", "--tamper", "gently"],
        ["send", "stripe", "--tamper", "body", "--count", "2"],
        ["forget", "stripe"],
        ["tail", "["],
        ["tail", "stripe."],
        ["tail", "a b.#"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_told_apart_by_exit_code_2(
    idle: GatewayProcess, words: list[str], expect_clean: ExpectClean
) -> None:
    """With a message that names what is wrong."""
    done = run_gateway(*words, cwd=idle.directory, extra=idle.variables)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error" in done.stderr
    expect_clean(done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["send", "nobody"], "has no provider 'nobody'; it has acme, github, openai, partner, stripe, svix"),
        (["send", "strpie"], "has no provider 'strpie'; did you mean 'stripe'?"),
        (
            ["send", "stripe", "no.such.event"],
            "there is no sample 'no.such.event' for adapter stripe; there are ",
        ),
        (
            ["send", "stripe", "invoice.payd"],
            "no sample 'invoice.payd' for adapter stripe; did you mean 'invoice.paid'?",
        ),
        (["send", "stripe", "--file", "gone.json"], "gone.json: No such file"),
        (["send", "github", "--tamper", "timestamp"], "github does not sign the time"),
        (["send", "stripe"], "connection refused: http://127.0.0.1:"),
        (["forget", "nobody", "evt_1"], "has no provider 'nobody'"),
        (["forget", "stripe", "evt_unseen"], "stripe: event 'evt_unseen' is not in the deduplication store"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    idle: GatewayProcess, words: list[str], said: str, expect_clean: ExpectClean
) -> None:
    """Exit code 1."""
    done = idle.run(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    expect_clean(done.stdout, done.stderr)


def test_an_adapter_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Exit code 1."""
    done = run_gateway("providers", "nobody", cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"no adapter is called 'nobody' or contains that word; [^\n]*\n", done.stderr)


@pytest.mark.parametrize("words", [["providers"], ["schemas", "list"]], ids=" ".join)
def test_an_adapter_that_was_mistyped_is_guessed(words: list[str], tmp_path: Path) -> None:
    """In place of the list of all."""
    done = run_gateway(*words, "strpie", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("; did you mean 'stripe'?\n")


def test_all_adapters_are_listed_a_line_each(tmp_path: Path) -> None:
    """Whole, also where the terminal is narrow: names are to be copied."""
    done = run_gateway("providers", cwd=tmp_path, extra={"COLUMNS": "80"})
    assert done.returncode == 0
    for name in ("github", "standard_webhooks", "stripe", "svix"):
        assert re.search(rf"^{name} ", done.stdout, re.MULTILINE), name
    assert "adapter: hmac" in done.stderr
    assert "…" not in done.stdout


@pytest.mark.parametrize("name", ["stripe", "github", "openai", "standard_webhooks", "svix"])
def test_an_adapter_is_shown_with_a_block_to_paste(name: str, tmp_path: Path) -> None:
    """The block is a configuration that `gateway check` accepts."""
    done = run_gateway("providers", name, cwd=tmp_path)
    assert done.returncode == 0
    block = done.stdout.rpartition("\nproviders:\n")[2]
    (tmp_path / "config.yaml").write_text(f"providers:\n{block}")
    (variable,) = re.findall(r"\$\{(\w+)}", block)
    secret = Secrets().partner
    checked = run_gateway("check", cwd=tmp_path, extra={variable: secret})
    assert checked.returncode == 0, checked.stderr
    assert secret not in checked.stdout


def test_a_configuration_without_mistakes_is_summed_up(
    idle: GatewayProcess, expect_clean: ExpectClean
) -> None:
    """Exit code 0; every provider with its path, and no secret."""
    done = idle.run("check")
    assert (done.returncode, done.stderr) == (0, "")
    for provider in ("stripe", "github", "openai", "partner", "svix", "acme"):
        assert f"/webhooks/{provider}:" in done.stdout
    assert ", valid; " in done.stdout
    expect_clean(done.stdout)


def test_the_schema_of_the_configuration_is_json(tmp_path: Path) -> None:
    """For editors; no configuration is needed for it."""
    done = run_gateway("check", "--json-schema", cwd=tmp_path)
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"server", "redis", "rabbitmq", "dedupe", "providers"} <= schema["properties"].keys()


BROKEN = """\
server:
  bind: nowhere
  colour: red
providers:
  stripe: {adapter: strip, secrets: ["${STRIPE_WEBHOOK_SECRET}"]}
"""


@pytest.mark.parametrize("command", ["serve", "check", "send", "tail", "dev"])
def test_a_broken_configuration_is_explained_line_by_line(
    command: str, tmp_path: Path, module_secrets: Secrets, expect_clean: ExpectClean
) -> None:
    """Exit code 3; each line is `file:line: path: what to do`."""
    (tmp_path / "config.yaml").write_text(BROKEN)
    words = [command, "stripe"] if command == "send" else [command]
    done = run_gateway(*words, cwd=tmp_path, extra=module_secrets.environment())

    assert done.returncode == 3
    assert done.stdout == ""
    places = [line.split(": ")[:2] for line in done.stderr.splitlines()]
    assert places == [["config.yaml:2", "server.bind"], ["config.yaml:3", "server.colour"]]
    assert "write HOST:PORT" in done.stderr
    expect_clean(done.stderr)


def test_an_unset_secret_is_named_with_its_line(tmp_path: Path) -> None:
    """And what to do."""
    (tmp_path / "config.yaml").write_text(
        'providers:\n  github: {adapter: github, secrets: ["${NOBODY_SET_THIS}"]}\n'
    )
    done = run_gateway("serve", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("config.yaml:2: providers.github.secrets.0: needs the environment variable")
    assert "NOBODY_SET_THIS" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_weak_secret_is_refused_without_being_shown(tmp_path: Path) -> None:
    """The value of a secret is never part of a message."""
    (tmp_path / "config.yaml").write_text(
        'providers:\n  github: {adapter: github, secrets: ["${WEAK_SECRET}"]}\n'
    )
    done = run_gateway("serve", cwd=tmp_path, extra={"WEAK_SECRET": "hunter2"})
    assert done.returncode == 3
    assert "providers.github.secrets.0" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["serve", "check", "tail"])
def test_a_missing_configuration_is_one_line(command: str, tmp_path: Path) -> None:
    """Exit code 3, with the option that names another file."""
    done = run_gateway(command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        done.stderr
        == "config.yaml: there is no such file; name one with --config, or make one with `gateway init`\n"
    )


@pytest.mark.parametrize("option", ["bind", "admin_bind"])
def test_a_taken_port_is_told_with_the_setting_to_change(
    idle: GatewayProcess, option: str, expect_clean: ExpectClean
) -> None:
    """Exit code 1, one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = idle.run("serve", f"--{option.replace('_', '-')}", address)
    assert done.returncode == 1
    assert f"cannot listen at {address}" in done.stderr
    assert f"server.{option}" in done.stderr
    assert done.stderr.count("\n") == 1
    expect_clean(done.stdout, done.stderr)


def test_the_listeners_can_be_moved_by_options(idle: GatewayProcess) -> None:
    """Over what the configuration says."""
    bind, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    words = ("serve", "--config", str(idle.config), "--bind", bind, "--admin-bind", admin)
    with Program(idle.directory, *words, extra=idle.variables) as program:
        program.wait_for(f'"webhooks":"http://{bind}"')
        program.wait_for(f'"admin":"http://{admin}"')
        assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_at_once_and_in_good_order_when_told_to(
    tmp_path: Path, fresh_secrets: Secrets, number: signal.Signals
) -> None:
    """Exit code 0 though connections are open, of which no deadline is waited for; its last line says that it stopped."""
    with GatewayProcess(
        tmp_path, fresh_secrets, overrides={"server": {"deadline": "10m"}, "dedupe": {"lease": "20m"}}
    ) as gateway:
        assert post(gateway.url, an_event(gateway)).status_code == 202
        address = gateway.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1]))):
            assert gateway.stop(number) == 0
        assert gateway.log_lines()[-1]["event"] == "stopped"
        assert gateway.stderr == ""


def test_logs_can_be_made_for_people(idle: GatewayProcess) -> None:
    """One line each, without JSON."""
    words = ("serve", "--config", str(idle.config), "--log-format", "console")
    with Program(idle.directory, *words, extra=idle.variables) as program:
        program.wait_for("listening")
        assert program.stop() == 0
        assert not any(line.startswith("{") for line in program.stdout.splitlines())


def test_one_event_is_shown_with_its_signature_and_its_answer(
    gateway: GatewayProcess, expect_clean: ExpectClean
) -> None:
    """What goes out and what comes back; exit code 0."""
    done = gateway.run("send", "stripe")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"POST {gateway.url}/webhooks/stripe\n" in done.stdout
    assert "Stripe-Signature: t=" in done.stdout
    assert re.search(r'^202 {"status":"accepted","id":"evt_\w+"}$', done.stdout, re.MULTILINE)
    expect_clean(done.stdout)


@pytest.mark.parametrize("provider", ["stripe", "github", "acme", "openai", "partner", "svix"])
def test_every_provider_can_be_played(gateway: GatewayProcess, provider: str) -> None:
    """With its own sample, accepted and not quarantined."""
    done = gateway.run("send", provider)
    assert done.returncode == 0, done.stderr
    assert '\n202 {"status":"accepted"' in done.stdout


@pytest.mark.parametrize(
    ("provider", "how"),
    [
        ("stripe", "body"),
        ("stripe", "signature"),
        ("stripe", "timestamp"),
        ("stripe", "replay"),
        ("github", "body"),
        ("github", "signature"),
        ("github", "replay"),
        ("svix", "timestamp"),
        ("acme", "signature"),
    ],
)
def test_a_spoiled_event_is_answered_as_it_should_be(
    gateway: GatewayProcess, provider: str, how: str
) -> None:
    """Refused, or a duplicate; the command says so and succeeds."""
    done = gateway.run("send", provider, "--tamper", how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("As expected.\n")
    word = "duplicate" if how == "replay" else "invalid_signature"
    assert f'"{word}"' in done.stdout.splitlines()[-2]


def test_a_file_is_sent_as_it_is(gateway: GatewayProcess) -> None:
    """Its bytes and its own id: the second time it is a duplicate."""
    body = senders.stripe_event("payout.paid")
    (gateway.directory / "payout.json").write_bytes(body)
    first, second = (gateway.run("send", "stripe", "--file", "payout.json") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    event_id = json.loads(body)["id"]
    assert f'202 {{"status":"accepted","id":"{event_id}"}}' in first.stdout
    assert f'200 {{"status":"duplicate","id":"{event_id}"}}' in second.stdout


def test_a_forgotten_event_is_accepted_again(gateway: GatewayProcess) -> None:
    """While the gateway runs; forgetting it twice fails the second time."""
    delivery = an_event(gateway)
    assert [post(gateway.url, delivery).status_code for _ in range(2)] == [202, 200]

    done, again = (gateway.run("forget", "stripe", delivery.event_id) for _ in range(2))
    assert len(done.stdout.splitlines()) == 1

    assert (done.returncode, again.returncode) == (0, 1)
    assert delivery.event_id in done.stdout
    assert again.stderr.count("\n") == 1
    gateway.run("forget", "stripe", "evt_another")
    assert post(gateway.url, delivery).json()["status"] == "accepted"


def test_an_event_that_its_id_does_not_name_is_forgotten_by_its_key(gateway: GatewayProcess) -> None:
    """The key is among its attributes; an odd id is taken as it is."""
    delivery = a_ping(gateway, "order 17", hook="592100001")
    assert post(gateway.url, delivery).status_code == 202
    unknown = gateway.run("forget", "github", "order 17")
    assert unknown.returncode == 1
    assert "dedupekey" in unknown.stderr

    key = claim_key("github", "order 17\n9:592100001--").rpartition(":")[2]
    assert gateway.run("forget", "github", key).returncode == 0
    assert post(gateway.url, delivery).json()["status"] == "accepted"
    assert post(gateway.url, a_ping(gateway, "order 18")).status_code == 202
    assert gateway.run("forget", "github", "order 18").returncode == 0


def test_an_event_is_forgotten_in_redis(tmp_path: Path, fresh_secrets: Secrets, redis_url: str) -> None:
    """As in the embedded store; without Redis the command says in one line that it cannot be reached."""
    with GatewayProcess(tmp_path, fresh_secrets, redis_url=redis_url) as gateway:
        delivery = an_event(gateway)
        assert post(gateway.url, delivery).status_code == 202
        assert gateway.run("forget", "stripe", delivery.event_id).returncode == 0
        assert post(gateway.url, delivery).status_code == 202
        gateway.variables["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
        unreachable = gateway.run("forget", "stripe", delivery.event_id)
        assert unreachable.returncode == 1
        assert unreachable.stderr.startswith("the deduplication store is unavailable")
        assert unreachable.stderr.count("\n") == 1


def tail(gateway: GatewayProcess, *words: str) -> Program:
    """`gateway tail` beside a gateway."""
    arguments = ("tail", *words, "--config", str(gateway.config))
    return Program(gateway.directory, *arguments, extra=gateway.variables)


def watch_and_interrupt(gateway: GatewayProcess) -> None:
    """Events are printed as they come, in either form, and Ctrl-C ends the commands quietly."""
    with tail(gateway) as people, tail(gateway, "--json") as machines, tail(gateway, "acme.#") as picky:
        for program in (people, machines, picky):
            program.wait_for("Press Ctrl-C to stop")
        delivery, own = an_event(gateway), senders.acme(gateway.secrets.acme, senders.order())
        for sent in (delivery, own):
            assert post(gateway.url, sent).status_code == 202
        for program in (people, machines, picky):
            program.wait_for(own.event_id)

        assert [program.stop(signal.SIGINT) for program in (people, machines, picky)] == [0, 0, 0]

        first, second = people.stdout.splitlines()
        assert re.match(
            rf"\d\d:\d\d:\d\d  stripe  payout\.paid  {delivery.event_id}  subject=po_1  payout po_1 of 1250\.00 usd was paid  \d+ bytes",
            first,
        )
        assert own.event_id in second
        events = [json.loads(line) for line in machines.stdout.splitlines()]
        assert [event["id"] for event in events] == [delivery.event_id, own.event_id]
        assert events[0]["specversion"] == "1.0"
        assert events[0]["data"] == json.loads(delivery.body)
        (line,) = picky.stdout.splitlines()
        assert own.event_id in line
        for program in (people, machines, picky):
            assert program.stderr.count("\n") == 1
            assert "Traceback" not in program.stderr


def test_the_embedded_queue_can_be_watched(gateway: GatewayProcess) -> None:
    """By several at once."""
    watch_and_interrupt(gateway)


def test_rabbitmq_can_be_watched(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> None:
    """By several at once, without taking anything from other consumers."""
    with GatewayProcess(tmp_path, fresh_secrets, redis_url=redis_url, rabbitmq_url=rabbitmq_url) as gateway:
        inbox = Inbox(rabbitmq_url)
        watch_and_interrupt(gateway)
        assert len(inbox.take_all()) == 2


def test_watching_ends_with_one_line_when_the_broker_cannot_be_reached(idle: GatewayProcess) -> None:
    """Exit code 1."""
    port = free_port()
    variables = idle.variables | {"RABBITMQ_URL": f"amqp://someone:hidden-password@127.0.0.1:{port}/"}
    done = run_gateway("tail", "--config", str(idle.config), cwd=idle.directory, extra=variables)
    assert done.returncode == 1
    assert done.stderr.startswith("cannot read events: ")
    assert done.stderr.count("\n") == 1
    assert "hidden-password" not in done.stdout + done.stderr


@pytest.mark.parametrize(("tamper", "code"), [((), 0), (("--tamper", "body"), 1)])
def test_a_request_can_be_saved_and_explained_without_a_gateway(
    idle: GatewayProcess, tamper: tuple[str, ...], code: int
) -> None:
    """Nothing is sent."""
    file = str(idle.directory / "request.http")
    saved = idle.run("send", "stripe", *tamper, "--save", file)
    assert saved.returncode == 0, saved.stderr
    explained = idle.run("explain", file)
    assert explained.returncode == code
    assert explained.stdout.startswith("stripe: ")


def test_a_request_can_be_sent_with_curl(gateway: GatewayProcess) -> None:
    """The command is accepted by a shell, and the request by the gateway."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    printed = gateway.run("send", "acme", "--curl")
    done = subprocess.run(
        ["/bin/sh", "-c", printed.stdout], capture_output=True, text=True, timeout=30, check=True
    )
    assert '{"status":"accepted"' in done.stdout


def test_adapters_and_schemas_can_be_listed_for_programs(tmp_path: Path) -> None:
    """One JSON object a line; an adapter with its block."""
    (stripe,) = run_gateway("providers", "stripe", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(stripe)["config"].startswith("stripe:\n")
    schemas = run_gateway("schemas", "list", "stripe", "--json", cwd=tmp_path).stdout.splitlines()
    assert {"adapter", "event", "title", "id"} == json.loads(schemas[0]).keys()


def test_the_version_is_a_command_too(tmp_path: Path) -> None:
    """As in other programs."""
    words = (["version"], ["--version"])
    assert len({run_gateway(*each, cwd=tmp_path).stdout for each in words}) == 1
