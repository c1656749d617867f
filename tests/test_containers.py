"""The compose file is the system that `penstock up` starts: same parts, same broker settings; it cannot be run here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.errors import ConfigError
from serving.local import kafka as local_kafka
from serving.manifests import with_parts
from serving.parts import STOP_WITHIN_S, PartSpec, choose_parts

ROOT = Path(__file__).resolve().parents[1]
# named by the image itself or by its listeners, not by choice
OF_THIS_MACHINE = {
    "process.roles",
    "node.id",
    "inter.broker.listener.name",
    "controller.listener.names",
    "listener.security.protocol.map",
    "num.network.threads",
    "num.io.threads",
    "log.cleaner.dedupe.buffer.size",
    "num.partitions",
    "default.replication.factor",
    "min.insync.replicas",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_parts_are_those_of_the_table_as_penstock_deploy_writes_them(compose: dict[str, Any]) -> None:
    services, parts = compose["services"], choose_parts()
    assert services.keys() == {part.name for part in parts} | {"kafka", "redis", "topics", "penstock"}
    for part in parts:
        service = services[part.name]
        assert service["command"] == ["python", "-m", part.module]
        assert f":{service['environment']['PENSTOCK_METRICS_PORT']}/ready" in service["healthcheck"]["test"][-1]
        assert int(service["stop_grace_period"].removesuffix("s")) > STOP_WITHIN_S
    written = (ROOT / "docker-compose.yml").read_text()
    assert with_parts(written, parts, where="docker-compose.yml") == written


def test_each_worker_is_a_service_that_knows_its_number() -> None:
    two = [PartSpec(f"spread-{n}", "dataflows.spread", part="spread", worker=n, workers=2) for n in range(2)]
    written = with_parts((ROOT / "docker-compose.yml").read_text(), two, where="docker-compose.yml")
    services = yaml.safe_load(written)["services"]
    assert services.keys() == {"spread-0", "spread-1", "kafka", "redis", "topics", "penstock"}
    assert [(services[one.name]["environment"]["PENSTOCK_WORKER"], one.worker) for one in two] == [(0, 0), (1, 1)]
    assert services["spread-1"]["environment"]["PENSTOCK_WORKERS"] == 2


def test_a_compose_file_without_a_place_for_the_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the lines .*, got a file without them, at x.yml"):
        with_parts("services: {}\n", choose_parts(), where="x.yml")


def test_the_broker_is_set_up_as_the_local_one(compose: dict[str, Any]) -> None:
    environment = compose["services"]["kafka"]["environment"]
    for name, value in local_kafka._SETTINGS.items():
        if name not in OF_THIS_MACHINE:
            assert str(environment[f"KAFKA_{name.upper().replace('.', '_')}"]) == str(value), name


def test_only_loopback_ports_are_published(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_service_that_waits_waits_for_one_that_tells_when_it_is_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, needed in service.get("depends_on", {}).items():
            assert needed["condition"] == "service_completed_successfully" or "healthcheck" in services[name]


def test_the_image_gets_every_package_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text()
    for folder in ("schemas", "operators", "dataflows", "serving"):
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}" in ignored
    assert dockerfile.count("FROM ") == 2
    assert "USER penstock" in dockerfile.rpartition("FROM ")[2]


def test_docker_itself_accepts_the_compose_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("docker compose is not installed on this machine")
    command = [docker, "compose", "--profile", "core", "--profile", "tools", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
