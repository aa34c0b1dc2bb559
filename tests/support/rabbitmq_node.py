"""The private environment, directories and plugins of a RabbitMQ node."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.ports import free_ports
from support.programs import locate

# Two schedulers and small tables: the defaults are for a machine that does nothing else, and cost most of a
# second at every boot on a small one.
_SERVER_ARGS = "+S 2:2 +SDcpu 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
_CTL_ARGS = "-kernel inet_dist_use_interface {127,0,0,1}"

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
log.console = false
log.file.level = info
"""

_MANAGEMENT = """\
management.tcp.ip = 127.0.0.1
management.tcp.port = {port}
"""

MANAGEMENT = "rabbitmq_management"
"""The plugin with the management API."""

_NEEDED = {MANAGEMENT: ("rabbitmq_management_agent", "rabbitmq_web_dispatch")}
"""What optional plugins need of other ones."""

_JOINING = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {peer}
cluster_formation.randomized_startup_delay_range.min = 0
cluster_formation.randomized_startup_delay_range.max = 1
"""


@dataclass(frozen=True, slots=True)
class Node:
    """The fixed properties of a node: they survive its restarts."""

    name: str
    port: int
    epmd_port: int
    management_port: int
    directory: Path
    environment: dict[str, str]


def prepare(
    directory: Path, configuration: str = "", peer: Node | None = None, plugins: Sequence[str] = ()
) -> Node:
    """Lay out a node in `directory`; `configuration` is added to its own.

    With a `peer` it shares the cookie and the port mapper of that node, and joins its cluster at the first start.
    It has the optional `plugins`.
    """
    port, distribution_port, epmd_port, management_port = free_ports(4)
    if MANAGEMENT in plugins:
        configuration += _MANAGEMENT.format(port=management_port)
    if peer:
        epmd_port = peer.epmd_port
        configuration += _JOINING.format(peer=peer.name)
    # The short host name `localhost` resolves on every machine, whatever the machine calls itself today.
    name = f"rabbit-{secrets.token_hex(4)}@localhost"

    # Written in advance: the node and an early rabbitmqctl would otherwise race to make one up.
    cookie = directory / ".erlang.cookie"
    cookie.write_text((peer.directory / ".erlang.cookie").read_text() if peer else secrets.token_hex(10))
    cookie.chmod(0o400)
    (directory / "rabbitmq.conf").write_text(_CONFIGURATION.format(port=port) + configuration)
    (directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
    (directory / "conf.d").mkdir()

    # Nothing of the caller's RABBITMQ_*, ERL_* or RELEASE_* may reach into the node.
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("RABBITMQ_", "ERL_", "RELEASE_"))
    }
    environment = inherited | {
        "HOME": str(directory),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_CRASH_DUMP": "/dev/null",
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(directory / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "node.pid"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(directory / "plugins-expanded"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(directory / "feature_flags"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _SERVER_ARGS,
        "RABBITMQ_CTL_ERL_ARGS": _CTL_ARGS,
        "RABBITMQ_MAX_NUMBER_OF_PROCESSES": "65536",
        "RABBITMQ_MAX_NUMBER_OF_ATOMS": "1048576",
        # Makes the start script `exec` the Erlang machine instead of waiting for it, so that the process we
        # started is the one to kill. It tells systemd nothing unless NOTIFY_SOCKET is set too.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    environment.pop("NOTIFY_SOCKET", None)
    needed = {*plugins, *(each for plugin in plugins for each in _NEEDED.get(plugin, ()))}
    if scripts := _lean_home(directory / "home", needed):
        environment["RABBITMQ_SCRIPTS_DIR"] = str(scripts)
    return Node(
        name=name,
        port=port,
        epmd_port=epmd_port,
        management_port=management_port,
        directory=directory,
        environment=environment,
    )


def _lean_home(home: Path, wanted: set[str]) -> Path | None:
    """Mirror the installation with no optional plugins but those wanted; None if its layout is not as expected.

    Erlang looks for each of a thousand modules in every plugin's directory in turn. With the forty
    optional plugins out of the path, the node boots in 60 % of the time.
    """
    scripts = Path(locate("rabbitmq-server")).resolve().parent
    plugins = scripts.parent / "plugins"
    if not (scripts / "rabbitmq-defaults").exists() or not plugins.is_dir():
        return None
    for source in (scripts, scripts.parent / "escript", plugins):
        target = home / source.name
        target.mkdir(parents=True)
        for entry in source.iterdir():
            plugin = entry.name.partition("-")[0]
            is_optional = plugin.startswith("rabbitmq_") and plugin not in {*wanted, "rabbitmq_prelaunch"}
            if source is not plugins or not is_optional:
                (target / entry.name).symlink_to(entry)
    return home / scripts.name
