"""Writes the parts of topics.yaml as services of docker-compose.yml and as Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import yaml

from schemas.topics import PartDeclaration, load_parts
from serving.errors import ConfigError
from serving.parts import PartSpec

PORT = 9100
"""Where a part in a container serves `/metrics` and `/ready`."""
GRACE_S = 30
"""How long Kubernetes waits after SIGTERM: three times what a part has under our own supervisor."""
BEGIN, END = "  # parts of topics.yaml, written by `penstock deploy`", "  # end of the parts"
_HOME = "/var/lib/penstock"
_ORDINAL = "metadata.labels['apps.kubernetes.io/pod-index']"


def with_parts(compose: str, parts: Sequence[PartSpec], *, where: str) -> str:
    """Return a compose file with other parts: a service a process.

    Parameters
    ----------
    compose : str
        The file; what stands between the two marks is replaced.
    parts : Sequence of PartSpec
        The processes.
    where : str
        Name of the file, for the error.

    Raises
    ------
    ConfigError
        When the file has no marks.
    """
    before, begin, rest = compose.partition(BEGIN + "\n")
    _, end, after = rest.partition(END + "\n")
    if not begin or not end:
        raise ConfigError(expected=f"the lines {BEGIN.strip()!r} and {END.strip()!r}", got="a file without them", where=where)
    return before + begin + "\n".join(map(_service, parts)) + end + after


def _service(part: PartSpec) -> str:
    workers = f", PENSTOCK_WORKER: {part.worker}, PENSTOCK_WORKERS: {part.workers}" if part.workers > 1 else ""
    return (
        f"  {part.name}:\n"
        "    <<: *part\n"
        f"    command: [python, -m, {part.module}]\n"
        f"    environment: {{<<: *environment, PENSTOCK_PART: {part.name}, PENSTOCK_METRICS_PORT: {PORT}{workers}}}\n"
    )


def kubernetes(workers: dict[str, int]) -> str:
    """Return the manifests of the parts as one YAML stream: a Deployment for each group, a StatefulSet for each other part.

    Parameters
    ----------
    workers : dict of str to int
        Processes of each part.
    """
    head = "# The parts of topics.yaml, written by `penstock deploy`.\n"
    documents = [document for part in load_parts().values() for document in _objects(part, workers[part.name])]
    # What was decoded holds nothing twice: YAML would write the second as a reference to the first.
    plain = (msgspec.json.decode(msgspec.json.encode(one)) for one in documents)
    return head + "".join(f"---\n{yaml.safe_dump(one, sort_keys=False, width=140)}" for one in plain)


def _objects(part: PartDeclaration, workers: int) -> Iterator[dict[str, Any]]:
    labels = {"app.kubernetes.io/name": "penstock", "app.kubernetes.io/component": part.name}
    spec: dict[str, Any] = {"replicas": workers, "selector": {"matchLabels": labels}}
    template = {"metadata": {"labels": labels}, "spec": _pod(part, workers)}
    if part.scale == "group":
        yield _object("apps/v1", "Deployment", part.name, labels, {**spec, "strategy": _ONE_MORE, "template": template})
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
        yield _object("policy/v1", "PodDisruptionBudget", part.name, labels, budget)
    else:
        own = {"serviceName": "penstock-parts", "podManagementPolicy": "Parallel"}
        yield _object("apps/v1", "StatefulSet", part.name, labels, {**spec, **own, "template": template})


_ONE_MORE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _object(version: str, kind: str, name: str, labels: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": dict(labels)}, "spec": spec}


def _pod(part: PartDeclaration, workers: int) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "home", "persistentVolumeClaim": {"claimName": "penstock-home"}}]
    return {
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(part, workers)],
        "volumes": volumes + [{"name": name, "emptyDir": {}} for name in _OF_A_POD],
    }


_OF_A_POD = {"run": f"{_HOME}/run", "logs": f"{_HOME}/logs", "tmp": "/tmp"}  # noqa: S108  # a folder of the container
"""What is no pod's but its own."""


def _container(part: PartDeclaration, workers: int) -> dict[str, Any]:
    mounts = [{"name": "home", "mountPath": _HOME}, *({"name": name, "mountPath": path} for name, path in _OF_A_POD.items())]
    memory = f"{part.memory_mb}Mi"
    return {
        "name": part.name,
        "image": "penstock:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", part.module],
        "envFrom": [{"configMapRef": {"name": "penstock"}}, {"secretRef": {"name": "penstock", "optional": True}}],
        "env": _env(part, workers),
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "metrics"}, "periodSeconds": 5, "timeoutSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/metrics", "port": "metrics"},
            "initialDelaySeconds": 30,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "resources": {"requests": {"cpu": "500m", "memory": memory}, "limits": {"memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _env(part: PartDeclaration, workers: int) -> list[dict[str, Any]]:
    name: dict[str, Any] = {"name": "PENSTOCK_PART", "value": part.name}
    if part.scale != "one":
        name = {"name": "PENSTOCK_PART", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    env = [name, {"name": "PENSTOCK_METRICS_PORT", "value": str(PORT)}, {"name": "PENSTOCK_METRICS_HOST", "value": "0.0.0.0"}]  # noqa: S104
    if part.scale == "shards":
        env.append({"name": "PENSTOCK_WORKER", "valueFrom": {"fieldRef": {"fieldPath": _ORDINAL}}})
        env.append({"name": "PENSTOCK_WORKERS", "value": str(workers)})
    return env
