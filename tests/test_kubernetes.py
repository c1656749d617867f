"""The Kubernetes manifests: the schemas of Kubernetes 1.36, the table of parts, and what a part needs to end cleanly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from schemas.settings import Settings
from schemas.topics import PartDeclaration, load_parts
from serving import manifests, parts
from serving.manifests import GRACE_S, kubernetes
from serving.parts import STOP_WITHIN_S, choose_parts, workers_by_part

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS = json.loads((ROOT / "tests" / "serving" / "kubernetes-1.36-subset.json").read_text())
WORKLOADS = {"StatefulSet", "Deployment"}


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one is not None]


def written() -> list[dict[str, Any]]:
    return [one for name in ("common.yaml", "parts.yaml") for one in documents((FOLDER / name).read_text())]


def validate(one: dict[str, Any]) -> None:
    jsonschema.validate(one, {**SCHEMAS["kinds"][one["kind"]], "$defs": SCHEMAS["$defs"], "$schema": SCHEMAS["$schema"]})


def pod(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = one["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("one", written(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_every_manifest_keeps_the_schema_of_its_kind(one: dict[str, Any]) -> None:
    assert one["apiVersion"]
    validate(one)


def test_the_schema_check_finds_a_misspelt_field_and_a_wrong_type() -> None:
    wrong = next(one for one in written() if one["kind"] == "StatefulSet")
    pod(wrong)["containers"][0]["readynessProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readynessProbe"):
        validate(wrong)
    again = next(one for one in written() if one["kind"] == "StatefulSet")
    again["spec"]["replicas"] = "two"
    with pytest.raises(jsonschema.ValidationError, match="'two' is not of type"):
        validate(again)


def test_the_parts_are_those_of_the_table_as_penstock_deploy_writes_them() -> None:
    numbers = workers_by_part(choose_parts())
    assert (FOLDER / "parts.yaml").read_text() == kubernetes(numbers)
    found = {one["metadata"]["name"]: one for one in written() if one["kind"] in WORKLOADS}
    assert found.keys() == load_parts().keys()
    for name, part in load_parts().items():
        assert found[name]["kind"] == ("Deployment" if part.scale == "group" else "StatefulSet")
        assert found[name]["spec"]["replicas"] == numbers[name]
        assert pod(found[name])["containers"][0]["command"] == ["python", "-m", part.module]


def test_every_part_tells_when_it_is_ready_has_time_to_end_and_knows_its_bounds() -> None:
    for one in written():
        if one["kind"] in WORKLOADS:
            (container,) = pod(one)["containers"]
            assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "metrics"}
            assert pod(one)["terminationGracePeriodSeconds"] == GRACE_S > STOP_WITHIN_S
            assert container["resources"]["limits"]["memory"] == f"{load_parts()[container['name']].memory_mb}Mi"
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert not {mount["name"] for mount in container["volumeMounts"]} ^ {volume["name"] for volume in pod(one)["volumes"]}


def test_what_is_set_is_a_setting() -> None:
    names = {f"PENSTOCK_{name.upper()}" for name in Settings.model_fields}
    for one in written():
        if one["kind"] in WORKLOADS | {"Job"}:
            assert {entry["name"] for entry in pod(one)["containers"][0]["env"]} <= names
        if one["kind"] == "ConfigMap":
            assert one["data"].keys() <= names


def test_a_worker_of_shards_takes_its_number_from_the_ordinal_of_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = PartDeclaration(name="spread", module="dataflows.spread", scale="shards", memory_mb=64)
    for module in (manifests, parts):
        monkeypatch.setattr(module, "load_parts", lambda: {"spread": spread})
    (made,) = documents(kubernetes({"spread": 3}))
    validate(made)
    env = {entry["name"]: entry for entry in pod(made)["containers"][0]["env"]}
    assert made["spec"]["replicas"] == 3
    assert env["PENSTOCK_WORKERS"]["value"] == "3"
    assert env["PENSTOCK_WORKER"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert env["PENSTOCK_PART"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_the_kustomization_names_every_file() -> None:
    named = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*named, "kustomization.yaml"}
