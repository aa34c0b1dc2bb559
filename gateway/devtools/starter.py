"""The files with which ``gateway init`` begins a project, and what an operator enters at each provider."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from gateway.adapters import registry
from gateway.devtools.provider_reference import config_block

PLACEHOLDER_URL = "https://hooks.example.com"
"""The public address in examples, which the operator replaces."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WIDTH = 96

_CONFIG_HEAD = """\
# The configuration of the gateway. ${NAME} is an environment variable that must be set, here or in the file .env;
# ${NAME:-fallback} has a default. `gateway check` reports every mistake with its line.

redis: {url: "${REDIS_URL:-embedded}"}         # embedded: SQLite in data_dir
rabbitmq: {url: "${RABBITMQ_URL:-embedded}"}   # embedded: a queue in SQLite in data_dir
data_dir: "${GATEWAY_DATA_DIR:-./var}"         # a local disk that outlives the process

providers:
"""

_ENV_HEAD = """\
# Copy this file to .env and fill it in. Commands read .env in the folder in which they are started. Never commit it.
# `gateway dev` generates the secrets that are empty.
"""

_WORKER = '''\
"""A worker: what to do with events. Run it beside the gateway with `gateway worker worker:worker`."""

from gateway.worker import Event, Worker

worker = Worker(queue="worker", events=[{patterns}])


@worker.on({pattern})
async def handle(event: Event) -> None:
    """Print the event. If this raises, the event is retried, and later set aside (`gateway dead list worker`)."""
    print(event.provider, event.eventtype, event.id, event.summary or "", flush=True)
'''


def config_yaml(names: Sequence[str], url: str = PLACEHOLDER_URL) -> str:
    """Return a minimal configuration with the block of each adapter."""
    return _CONFIG_HEAD + "\n".join(_blocks(names, url))


def config_for_dev(names: Sequence[str]) -> str:
    """Return the same without public addresses: ``gateway dev`` knows its own."""
    blocks = (re.sub(r"^ *public_url: .*\n", "", block, flags=re.MULTILINE) for block in _blocks(names, ""))
    return _CONFIG_HEAD + "\n".join(blocks)


def env_example(names: Sequence[str]) -> str:
    """Return the file with the variables that the blocks need, each with what belongs into it."""
    return _ENV_HEAD + "".join(f"\n{part}" for name in names for part in _variables(name))


def worker_py(names: Sequence[str]) -> str:
    """Return a worker that prints the events of all providers."""
    patterns = ", ".join(f'"{name}.#"' for name in names)
    return _WORKER.format(patterns=patterns, pattern='"#"')


def instructions(name: str, url: str = PLACEHOLDER_URL) -> Iterator[str]:
    """Yield the lines that say what to enter at a provider, and what to copy from it."""
    spec = registry.load(name).spec
    yield f"{spec.title}: {spec.docs}"
    rows = [("URL", f"{url}/webhooks/{name}")]
    if spec.setup:
        rows.insert(0, ("where", spec.setup.page))
    if spec.setup and spec.setup.events:
        rows.append(("events", f'what you need, under "{spec.setup.events}"'))
    if spec.enrols:
        rows.append(
            ("secret", "delivered in the handshake and saved in data_dir; the log says what to do next")
        )
    elif spec.signature.needs_secret:
        rows.append(("secret", f"{_secret_of(name)}: into .env as {name.upper()}_WEBHOOK_SECRET"))
    else:
        rows.append(("secret", "none: the provider's public keys are fetched"))
    if any(handshake.needs_token for handshake in spec.handshakes):
        rows.append(("token", f"choose one, enter it there and into .env as {name.upper()}_HANDSHAKE_TOKEN"))
    rows += [
        (each, parameter.description) for each, parameter in spec.parameters.items() if parameter.required
    ]
    if spec.handshakes:
        rows.append(("order", "start the gateway first: the provider calls the URL when you save it"))
    if spec.needs_url:
        rows.append(("note", "it signs the URL: public_url in config.yaml must be exactly what you enter"))
    for heading, text in rows:
        yield from textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {heading:<7} ",
            subsequent_indent=" " * 10,
            break_on_hyphens=False,
        )


def _blocks(names: Sequence[str], url: str) -> Iterator[str]:
    for name in names:
        block = config_block(name).replace(PLACEHOLDER_URL, url)
        yield "".join(f"  {line}\n" for line in block.splitlines())


def _variables(name: str) -> Iterator[str]:
    """Yield each variable of a block with a comment above it."""
    spec = registry.load(name).spec
    described = {f"{name}_{each}".upper(): known.description for each, known in spec.parameters.items()}
    lines = [line for line in config_block(name).splitlines() if not line.strip().startswith("#")]
    for variable in dict.fromkeys(_VARIABLE.findall("\n".join(lines))):
        if variable.endswith("_HANDSHAKE_TOKEN"):
            text = "the token of its handshake; choose one, and enter it there"
        else:
            text = described.get(variable) or _secret_of(name)
        comment = "\n".join(
            textwrap.wrap(f"{spec.title}: {text}", _WIDTH, initial_indent="# ", subsequent_indent="# ")
        )
        yield f"{comment}\n{variable}=\n"


def _secret_of(name: str) -> str:
    """Say which secret a provider's variable takes."""
    spec = registry.load(name).spec
    return spec.setup.secret if spec.setup else f"the secret of its signature ({spec.signature.describe()})"
