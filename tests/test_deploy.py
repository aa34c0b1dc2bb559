"""deploy/: the examples are valid, fit one another and the program, and give no more rights than it takes."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from gateway import __version__
from gateway.cli.main import app
from gateway.config import load_config
from gateway.worker import Worker
from support.ports import free_port
from support.repository import ROOT
from support.tls import certify

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SECRET = "0123456789abcdef-of-the-tests"


def documents(name: str) -> dict[str, dict[str, Any]]:
    """The objects of a manifest, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8"))}


GATEWAY, WORKER, OUTBOUND = map(documents, ("gateway.yaml", "worker.yaml", "outbound.yaml"))
PODS = {
    "gateway": GATEWAY["StatefulSet"]["spec"]["template"]["spec"],
    "worker": WORKER["Deployment"]["spec"]["template"]["spec"],
    "outbound": OUTBOUND["Deployment"]["spec"]["template"]["spec"],
}


def unknown_options(words: list[str]) -> set[str]:
    """The options of a command line that its command does not have."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup):
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    return {word for word in rest if word.startswith("--")} - known


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the system."""
    return subprocess.run(
        command,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def found(program: str) -> str:
    """The path of a program; skip the test where it is not installed."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if not path:
        pytest.skip(f"{program} is not installed")
    return path


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_the_least_rights(name: str) -> None:
    """Not root, no token of the cluster, a file system that it cannot write, no capability."""
    pod = PODS[name]
    (container,) = pod["containers"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert f"--uid {pod['securityContext']['runAsUser']} " in dockerfile


@pytest.mark.parametrize("name", PODS)
def test_what_a_pod_mounts_and_runs_is_there(name: str) -> None:
    """Volumes, ports of probes, and options of the command."""
    pod = PODS[name]
    (container,) = pod["containers"]
    claims = GATEWAY["StatefulSet"]["spec"]["volumeClaimTemplates"] if name == "gateway" else []
    volumes = {each["name"] for each in pod["volumes"]} | {each["metadata"]["name"] for each in claims}
    ports = {each["name"] for each in container["ports"]}
    probes = [value for key, value in container.items() if key.endswith("Probe")]

    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert {(probe.get("httpGet") or probe["tcpSocket"])["port"] for probe in probes} <= ports
    assert not unknown_options(container["args"])
    assert pod["terminationGracePeriodSeconds"] > Worker(queue="any", events=["#"]).grace


def test_the_spool_of_a_pod_outlives_it() -> None:
    """On a volume of its own, which is not deleted with it."""
    spec = GATEWAY["StatefulSet"]["spec"]
    (container,) = PODS["gateway"]["containers"]
    config = yaml.safe_load((KUBERNETES / "config.yaml").read_text("utf-8"))

    assert {"name": "data", "mountPath": config["data_dir"]} in container["volumeMounts"]
    assert spec["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


def test_only_webhooks_are_reachable_from_outside() -> None:
    """The service has no port for the admin listener, and the ingress no path for health checks."""
    (port,) = GATEWAY["Service"]["spec"]["ports"]
    (rule,) = GATEWAY["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]

    assert port["targetPort"] == path["backend"]["service"]["port"]["name"] == "webhooks"
    assert path["path"] == "/webhooks/"


def test_the_configuration_of_the_manifests_is_valid() -> None:
    """With the variables of the example secret, and its worker is one."""
    variables = re.findall(
        r"^(\w+)=(.*)$", (KUBERNETES / "secret.example.env").read_text("utf-8"), re.MULTILINE
    )
    config = load_config(KUBERNETES / "config.yaml", {name: value or SECRET for name, value in variables})
    names: dict[str, object] = {}
    exec((KUBERNETES / "worker.py").read_text("utf-8"), names)

    assert isinstance(names["worker"], Worker)
    assert set(config.providers) == {"stripe", "github"}
    assert [bind.rpartition(":")[2] for bind in (*config.server.bind, *config.server.admin_bind)] == [
        "8080",
        "8081",
    ]


def test_pods_of_deliveries_take_what_their_file_says(tmp_path: Path) -> None:
    """Added to the configuration of the others."""
    text = (KUBERNETES / "outbound.yaml").read_text("utf-8")
    (setting,) = re.findall(r"^#   (outbound: .+)$", text, re.MULTILINE)
    content = yaml.safe_load((KUBERNETES / "config.yaml").read_text("utf-8")) | yaml.safe_load(setting)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**content, "postgres": {"url": "postgresql://x/y"}}))
    names = ("STRIPE_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET")
    variables = {**dict.fromkeys(names, SECRET), "REDIS_URL": "redis://x", "RABBITMQ_URL": "amqp://x"}
    config = load_config(path, {**variables, "OUTBOUND_KEY": base64.b64encode(bytes(32)).decode()})

    assert config.outbound.separate
    assert not config.has_way_out  # until it has endpoints


def test_the_manifests_can_be_put_together(tmp_path: Path) -> None:
    """By kubectl, where it is installed: with names that have the digest of the configuration."""
    kubectl = found("kubectl")
    shutil.copytree(KUBERNETES, tmp_path / "k")
    for name in ("secret", "worker"):
        shutil.copy(KUBERNETES / f"{name}.example.env", tmp_path / f"k/{name}.env")
    done = run(kubectl, "kustomize", str(tmp_path / "k"), HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr
    kinds = [each["kind"] for each in yaml.safe_load_all(done.stdout)]
    assert sorted(kinds) == sorted([*GATEWAY, *WORKER, "ConfigMap", "ConfigMap", "Secret", "Secret"])
    assert f"/agent-webhook-gateway:{__version__}" in done.stdout
    assert not re.findall(r"name: webhook-(?:gateway|worker)$", done.stdout.partition("volumes:")[2])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    """With its options, and restarts it unless its configuration is invalid."""
    text = unit.read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=/opt/webhook-gateway/bin/gateway (.+)$", text, re.MULTILINE)

    assert not unknown_options(command.split())
    assert "RestartPreventExitStatus=3\n" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_valid_and_confined(tmp_path: Path, unit: Path) -> None:
    """As systemd judges it, where it is installed."""
    analyze = found("systemd-analyze")
    copy = tmp_path / unit.name.replace("@.", "@worker.")
    copy.write_text(unit.read_text("utf-8").replace("/opt/webhook-gateway/bin/gateway", sys.executable))
    verified = run(analyze, "verify", "--man=no", str(copy))
    if "Failed to" in verified.stderr and "connect" in verified.stderr:
        pytest.skip("systemd cannot be asked here")

    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "host"),
    [("webhook-gateway", "hooks.example.com"), ("webhook-console", "console.example.com")],
)
def test_nginx_takes_its_files(tmp_path: Path, name: str, host: str) -> None:
    """Where it is installed."""
    nginx = found("nginx")
    certify(tmp_path)
    text = (DEPLOY / f"nginx/{name}.conf").read_text("utf-8")
    for old, new in (
        (f"/etc/ssl/{host}.pem", f"{tmp_path}/server.pem"),
        (f"/etc/ssl/{host}.key", f"{tmp_path}/server.key"),
        ("443", str(free_port())),
    ):
        text = text.replace(old, new)
    folders = " ".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {folders}\n{text} }}"
    )
    done = run(nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))

    assert done.returncode == 0, done.stderr


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    """Where it is installed."""
    caddy = found("caddy")
    words = ("validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "caddy/Caddyfile"))
    done = run(caddy, *words, DOMAIN="hooks.example.com", HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr


def test_the_proxies_wait_longer_than_the_gateway_takes() -> None:
    """And keep idle connections for less time than it does; else a request meets a closed connection."""
    server = load_config(
        KUBERNETES / "config.yaml",
        dict.fromkeys(("STRIPE_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET"), SECRET)
        | {"REDIS_URL": "redis://x", "RABBITMQ_URL": "amqp://x"},
    ).server
    text = (DEPLOY / "nginx/webhook-gateway.conf").read_text("utf-8")
    seconds = {name: int(value) for name, value in re.findall(r"(\w+_timeout) (\d+)s;", text)}

    assert seconds["proxy_read_timeout"] > server.deadline
    assert seconds["keepalive_timeout"] < server.keep_alive


def test_the_image_is_built_for_both_architectures_with_its_bill_of_materials() -> None:
    """And labelled with where it comes from."""
    text = (DEPLOY / "docker-bake.hcl").read_text("utf-8")

    assert '["linux/amd64", "linux/arm64"]' in text
    assert '"type=sbom"' in text
    assert (
        '"org.opencontainers.image.source"   = "https://github.com/webhook-gateway/webhook-gateway"' in text
    )
