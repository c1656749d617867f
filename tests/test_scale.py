"""The arithmetic of docs/scale.md, worked out again from the rates in docs/benchmarks.md and the parts in topics.yaml."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from schemas.sharding import SHARDS
from schemas.topics import load_parts

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCALE = (DOCS / "scale.md").read_text(encoding="utf-8")
U = 0.6
CPU_OF_A_FEED_MS = 5.8


def cells(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins with a cell."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def number(text: str) -> float:
    return float(text.replace(",", ""))


def measured() -> dict[str, float]:
    figures = {row[0]: row[1] for row in cells((DOCS / "benchmarks.md").read_text(encoding="utf-8"), "what")}
    assert number(figures["CPU per feed"]) == CPU_OF_A_FEED_MS
    rates = {name.removesuffix(", per core"): number(value) for name, value in figures.items() if name.endswith(", per core")}
    return {**rates, "feed": 1_000 / CPU_OF_A_FEED_MS}


def stages() -> list[list[str]]:
    return [row for row in cells(SCALE, "stage") if row[0] != "in all"]


def test_the_ways_in_which_parts_are_spread_are_those_of_the_table_of_parts() -> None:
    assert [(row[0], row[1]) for row in cells(SCALE, "part")] == [(part.name, part.scale) for part in load_parts().values()]
    assert f"{SHARDS} user shards" in SCALE


@pytest.mark.parametrize("row", stages(), ids=lambda row: row[0])
def test_cores_follow_from_load_and_measured_rate(row: list[str]) -> None:
    name, load, rate, cores = row
    assert number(rate) == pytest.approx(measured()[name], abs=0.05)
    assert number(cores) == math.ceil(number(load) / (measured()[name] * U))


def test_the_sums_the_partitions_and_the_cost_follow_from_the_cores() -> None:
    cores = {row[0]: int(number(row[3])) for row in stages()}
    everything = sum(cores.values())
    assert [f"{everything:,}"] == [row[3] for row in cells(SCALE, "stage") if row[0] == "in all"]
    keyed, requests = (
        2 ** math.ceil(math.log2(2 * most)) for most in (max(n for name, n in cores.items() if name != "feed"), cores["feed"])
    )
    assert f"→ {keyed} for the topics keyed by people" in SCALE
    assert f"→ {requests:,} for `feed.requests`" in SCALE
    assert f"{3.5e6 / keyed:,.0f} events a second, {3.5e6 / keyed * 500 / 1e6:.1f} MB/s" in SCALE
    an_hour = everything * 0.04
    assert f"= {an_hour:.1f} $ an hour" in SCALE
    assert f"{everything * 0.04 * 24:,.0f} $ a day" in SCALE
    assert f"= {an_hour / (3.5 * 3_600):.4f} $" in SCALE


def test_what_three_machines_carry_follows_from_the_rates() -> None:
    rates = measured()
    an_event_s = sum(1 / rates[row[0]] for row in stages() if row[0] != "feed")
    feeds = 3 * 12 * U / (CPU_OF_A_FEED_MS / 1_000 + 50 * round(an_event_s * 1e6, 1) / 1e6)
    assert f"50 · {an_event_s * 1e6:.1f} µs) = {feeds:,.0f}" in SCALE
    assert f"{round(feeds) * 50:,} events a second" in SCALE


def test_what_kafka_carries_follows_from_the_sizes() -> None:
    raw, clean = 3.5e6 * 500 / 1e9, 3.5e6 * 627 / 1e9
    assert [number(row[2]) for row in cells(SCALE, "flow")] == [
        pytest.approx(value, abs=0.05) for value in (raw, clean, 3 * (raw + clean), raw + 4 * clean)
    ]
    assert f"that is {math.ceil(3 * (raw + clean) / 0.25)} brokers" in SCALE
    assert f"= {3 * 1.16e6 * 1_127 * 604_800 / 1e15:.1f} PB" in SCALE
