"""`gateway dev`: the first minute, with nothing installed, configured or set."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.devtools.provider_reference import config_block
from support.gateway_process import GatewayProcess, Program, Secrets, run_gateway
from support.inbox import Inbox
from support.ports import free_port, free_ports
from support.waiting import wait_until

PROVIDERS = ("stripe", "github", "acme")
UNLIKE = (
    "discord",
    "adyen",
    "postmark",
    "twilio",
    "slack",
    "telnyx",
    "dropbox_sign",
    "aws_sns",
    "mailgun",
    "standard_webhooks",
)
"""Senders that have next to nothing in common."""


def dev(directory: Path, *words: str, extra: Mapping[str, str] | None = None) -> Program:
    """`gateway dev` on private ports, with the configuration that it finds or brings."""
    public, admin = free_ports(2)
    places = ("--bind", f"127.0.0.1:{public}", "--admin-bind", f"127.0.0.1:{admin}")
    return Program(directory, "dev", *words, *places, extra=extra)


def arrivals(program: Program, provider: str) -> list[str]:
    """The ids of the events of one provider that were accepted and came out of the queue."""
    return re.findall(rf"^\S+  ✓  {provider}  \S+  (\S+)", program.stdout, re.MULTILINE)


def address_of(program: Program) -> str:
    """Where senders call."""
    found = re.search(r"webhooks  (http://\S+)/webhooks/", program.stdout)
    assert found
    return found[1]


def configure(folder: Path, *blocks: str) -> None:
    """Write a configuration with these providers."""
    lines = [f"  {line}" for text in blocks for line in text.splitlines()]
    (folder / "config.yaml").write_text("\n".join(["providers:", *lines]) + "\n")


def wait_for_samples(program: Program) -> None:
    """Wait until the received an event of each provider."""
    wait_until(
        lambda: all(arrivals(program, provider) for provider in PROVIDERS), message="the samples arrived"
    )


def in_another_terminal(program: Program, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the proposed command in the same folder, without secrets in the environment."""
    (proposed,) = re.findall(r"Try in another terminal:\n  (.+)\n", program.stdout)
    return run_gateway(*shlex.split(proposed)[1:], *more, cwd=program.directory)


@pytest.mark.parametrize("words", [[], ["--demo"]], ids=["empty folder", "beside a configuration"])
def test_events_arrive_within_moments_of_the_first_start(tmp_path: Path, words: list[str]) -> None:
    """Samples of three providers, then what a second terminal sends; Ctrl-C ends it with exit code 0."""
    if words:
        configure(tmp_path, config_block("gitlab"))
    with dev(tmp_path, *words) as program:
        wait_for_samples(program)
        assert "This is the demo" in program.stdout

        sent, spoiled = in_another_terminal(program), in_another_terminal(program, "--tamper", "body")

        assert sent.returncode == 0, sent.stderr
        assert spoiled.returncode == 0, spoiled.stderr
        (event_id,) = re.findall(r'"status":"accepted","id":"(\w+)"', sent.stdout)
        wait_until(lambda: event_id in arrivals(program, "stripe"), message="the event arrived")
        assert "✗  stripe  invalid signature  signature_mismatch  401 " in program.stdout
        assert program.stop(signal.SIGINT) == 0
        assert program.stderr == ""
        assert len(arrivals(program, "stripe")) == 2
        assert "Traceback" not in program.stdout


def test_the_secrets_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    """In one file that nobody else can read, one for each provider, the same at the next start."""
    kept = tmp_path / "var" / "dev.env"
    with dev(tmp_path) as program:
        program.wait_for("Press Ctrl-C to stop.")
        first = kept.read_text()
        assert kept.stat().st_mode & 0o777 == 0o600
        names = [line.partition("=")[0] for line in first.splitlines()]
        assert names == [f"{provider.upper()}_WEBHOOK_SECRET" for provider in PROVIDERS]
        assert all(line in program.stdout for line in first.splitlines())
        assert program.stop(signal.SIGINT) == 0

        program.start()
        wait_until(lambda: program.stdout.count("Press Ctrl-C to stop.") == 2, message="it started again")
        assert kept.read_text() == first
        wait_for_samples(program)
        assert program.stop(signal.SIGTERM) == 0


def test_secrets_of_the_environment_are_used_and_not_shown(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """Nor written down."""
    with dev(tmp_path, extra=fresh_secrets.environment()) as program:
        wait_for_samples(program)
        assert program.stop(signal.SIGINT) == 0
        fresh_secrets.expect_absent(
            program.stdout, program.stderr, (tmp_path / "var" / "dev.env").read_text()
        )


def test_real_servers_are_used_where_the_environment_names_them(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> None:
    """The worker reads from RabbitMQ, beside any other consumer; nothing is embedded."""
    gateway = GatewayProcess(
        tmp_path,
        fresh_secrets,
        redis_url=redis_url,
        rabbitmq_url=rabbitmq_url,
        command=("dev", "--no-samples"),
    )
    with gateway:
        gateway.wait_for("Press Ctrl-C to stop.")
        assert "deduplication in Redis, events to RabbitMQ" in gateway.stdout
        inbox = Inbox(rabbitmq_url)
        sent = gateway.run("send", "stripe")
        assert sent.returncode == 0, sent.stderr
        (arrival,) = inbox.take(1)
        wait_until(lambda: arrivals(gateway, "stripe") == [arrival.message_id], message="it arrived")
        assert gateway.stop(signal.SIGINT) == 0
        assert not (tmp_path / "var" / "embedded.db").exists()


def test_a_second_one_in_the_same_place_says_what_is_in_its_way(tmp_path: Path) -> None:
    """The port, and how to take another."""
    with dev(tmp_path) as program:
        program.wait_for("Press Ctrl-C to stop.")
        (address,) = re.findall(r"webhooks  http://(\S+)/webhooks/stripe", program.stdout)
        second = run_gateway("dev", "--bind", address, cwd=tmp_path)
        port = int(address.rpartition(":")[2]) + 10
        assert second.returncode == 1
        assert second.stderr == (
            f"{address} is in use by another `gateway dev` (process {program.child.pid}). "
            f"Take other ports: gateway dev --port {port}\n"
        )
        assert in_another_terminal(program).returncode == 0


def test_providers_can_be_named_instead_of_a_configuration(tmp_path: Path) -> None:
    """Their secrets come from .env, or are generated; commands of another terminal find the gateway, and nothing else does."""
    configure(tmp_path, config_block("gitlab"))
    (tmp_path / ".env").write_text(
        "# of the tests\nexport STRIPE_WEBHOOK_SECRET='whsec_only-for-the-tests'\n"
    )
    with dev(tmp_path, "stripe", "twilio") as program:
        program.wait_for("Press Ctrl-C to stop.")
        assert "GITLAB" not in program.stdout
        assert "whsec_only" not in program.stdout
        assert "TWILIO_WEBHOOK_SECRET=" in program.stdout
        for name in ("stripe", "twilio"):
            sent = run_gateway("send", name, cwd=tmp_path)
            assert (sent.returncode, sent.stderr) == (0, "")
        assert program.stop(signal.SIGINT) == 0
    after = run_gateway("send", "twilio", cwd=tmp_path)
    assert after.returncode == 3
    assert "GITLAB_WEBHOOK_SECRET, which is not set" in after.stderr

    unknown = run_gateway("dev", "strpe", cwd=tmp_path)
    assert (unknown.returncode, unknown.stderr) == (1, "there is no adapter 'strpe'; did you mean stripe?\n")


def test_one_option_moves_both_listeners(tmp_path: Path) -> None:
    """To a port and the next one."""
    port = free_port()
    with Program(tmp_path, "dev", "--port", str(port), "--no-samples") as program:
        program.wait_for("Press Ctrl-C to stop.")
        assert f"http://127.0.0.1:{port}/webhooks/stripe" in program.stdout
        assert f"http://127.0.0.1:{port + 1}/metrics" in program.stdout
        assert program.stop(signal.SIGINT) == 0


def test_senders_of_all_kinds_can_be_tried_at_once(tmp_path: Path) -> None:
    """With the blocks that `gateway providers` shows and nothing set; keys in pairs and fetched ones among them."""
    configure(tmp_path, *map(config_block, UNLIKE))
    with dev(tmp_path) as program:
        wait_until(lambda: all(arrivals(program, name) for name in UNLIKE), message="the samples arrived")
        for name in UNLIKE:
            url = f"{address_of(program)}/webhooks/{name}"
            sent = run_gateway("send", name, "--url", url, cwd=tmp_path)
            spoiled = run_gateway("send", name, "--tamper", "signature", "--url", url, cwd=tmp_path)
            assert (sent.returncode, sent.stderr) == (0, "")
            assert spoiled.stdout.endswith("As expected.\n")
        wait_until(
            lambda: all(len(arrivals(program, name)) == 2 for name in UNLIKE),
            message="those that were sent came",
        )
        assert "aws_sns is verified with a generated key" in program.stdout
        assert "PRIVATE KEY" not in program.stdout
        assert program.stop(signal.SIGINT) == 0
        assert program.stderr == ""
        assert "Traceback" not in program.stdout


def test_what_signs_the_address_needs_none_configured_here(tmp_path: Path) -> None:
    """Senders call the gateway itself, which knows by which address; `serve` has to be told it."""
    names = ("twilio", "square", "ebay")
    configure(tmp_path, *(re.sub(r"\n *public_url.*", "", config_block(name)) for name in names))
    with dev(tmp_path) as program:
        wait_until(lambda: all(arrivals(program, name) for name in names), 30, "the samples arrived")
        for name in names:
            sent = run_gateway("send", name, "--url", f"{address_of(program)}/webhooks/{name}", cwd=tmp_path)
            assert (sent.returncode, sent.stderr) == (0, "")
        url = f"{address_of(program)}/webhooks/ebay"
        greeted = run_gateway("send", "ebay", "--handshake", "--url", url, cwd=tmp_path)
        assert (greeted.returncode, greeted.stderr) == (0, "")

    variables = (
        "TWILIO_WEBHOOK_SECRET",
        "SQUARE_WEBHOOK_SECRET",
        "EBAY_WEBHOOK_SECRET",
        "EBAY_HANDSHAKE_TOKEN",
    )
    secrets = dict.fromkeys(variables, "not-a-secret-but-long-enough")
    served = run_gateway("serve", cwd=tmp_path, extra=secrets)
    assert served.returncode == 3
    assert served.stderr.count("public_url is missing") == 3


def test_a_sender_with_a_private_key_is_played_by_whoever_has_it(tmp_path: Path) -> None:
    """Where the public one is configured, what is missing is told in one line."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes_raw().hex()
    configure(tmp_path, config_block("discord").replace("${DISCORD_WEBHOOK_SECRET}", public))
    with dev(tmp_path) as program:
        program.wait_for("no sample sent for discord")
        url = f"{address_of(program)}/webhooks/discord"
        without = run_gateway("send", "discord", "--url", url, cwd=tmp_path)
        with_it = run_gateway("send", "discord", "--url", url, "--key", "key.pem", cwd=tmp_path)
        with_other = run_gateway("send", "discord", "--url", url, "--key", "config.yaml", cwd=tmp_path)

        assert without.returncode == 1
        assert "--key" in without.stderr
        assert without.stderr.count("\n") == 1
        assert with_it.returncode == 0, with_it.stderr
        assert with_other.returncode == 1
        assert with_other.stderr.startswith("config.yaml: is not a private key in PEM")
        assert program.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("is_freed", [False, True])
def test_a_full_disk_is_answered_503_and_told_in_one_line(tmp_path: Path, is_freed: bool) -> None:
    """The gateway goes on, and so does the worker that prints events; Ctrl-C ends both."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=4m",
        "none",
        str(disk),
    ]  # the queue, its log, and the console
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        with dev(tmp_path, extra={"GATEWAY_DATA_DIR": str(disk)}) as program:
            wait_for_samples(program)
            fill = disk / "fill"
            with suppress(OSError), fill.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            url = f"{address_of(program)}/webhooks/stripe"
            extra = {"GATEWAY_DATA_DIR": str(disk)}
            sent = run_gateway("send", "stripe", "--url", url, cwd=tmp_path, extra=extra)
            assert '503 {"status":"unavailable","reason":"broker_unavailable"' in sent.stdout, sent.stderr
            if not is_freed:
                program.wait_for("example worker: cannot read the queue, retrying: ")
                assert program.stop(signal.SIGINT) == 0
                assert "Traceback" not in program.stdout + program.stderr
                return
            fill.unlink()

            def is_accepted() -> bool:
                again = run_gateway("send", "stripe", "--url", url, cwd=tmp_path, extra=extra)
                return again.returncode == 0

            wait_until(is_accepted, message="it accepts events again")
            wait_until(
                lambda: len(arrivals(program, "stripe")) == 2, message="and they come through the queue"
            )
            assert program.stop(signal.SIGINT) == 0
            assert program.stdout.count("example worker: cannot read the queue, retrying: ") <= 1
            assert "Traceback" not in program.stdout + program.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)
