"""Feed latency and saturation over topics, beside an echo service on equal topics of the same broker in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import psutil

from benchmarks.openloop import Load, offer, saturation
from benchmarks.rows import Row, percentile
from benchmarks.system import System, prefixed, process
from schemas.feed import FeedRequest
from serving.client import FeedClient

RATE = 100.0
_ROUNDS = 3
_ECHO = "an echo service on equal topics, same broker, same run"


def rows(system: System, *, seconds: float) -> Iterator[Row]:
    """Measure in turn: feed, echo, feed, echo ...; then the saturation of both."""
    echo_settings = prefixed(system.settings, "echo.")
    with process("benchmarks.echo", echo_settings, "echo-0"), process("benchmarks.echo", echo_settings, "echo-1"):
        offer(echo_settings, system.users, rate=20, seconds=8, seed=0)
        offer(system.settings, system.users, rate=20, seconds=8, seed=0)
        feeds, echoes = Load(RATE), Load(RATE)
        cpu_s = 0.0
        for turn in range(_ROUNDS):
            before = _worker_cpu_s(system)
            feed = offer(system.settings, system.users, rate=RATE, seconds=seconds / _ROUNDS, seed=turn)
            cpu_s += _worker_cpu_s(system) - before
            echo = offer(echo_settings, system.users, rate=RATE, seconds=seconds / _ROUNDS, seed=turn)
            for whole, part in ((feeds, feed), (echoes, echo)):
                whole.latencies_ms += part.latencies_ms
                whole.failed += part.failed
        method = f"open loop at {RATE:g}/s, {seconds:g} s in {_ROUNDS} turns, from the due time, no hedging, {len(system.videos)} videos"
        for name, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
            mine, other = percentile(feeds.latencies_ms, q), percentile(echoes.latencies_ms, q)
            yield Row(name=f"feed latency {name}", value=mine, unit="ms", against=_ECHO, ratio=mine / other, method=method)
            yield Row(name=f"echo latency {name}", value=other, unit="ms", method=method)
        yield Row(name="feeds unanswered", value=feeds.failed, unit="requests", method=method)
        yield Row(
            name="CPU per feed",
            value=1000 * cpu_s / len(feeds.latencies_ms),
            unit="ms",
            method="CPU time of the feed workers during those loads / feeds",
        )
        mine_at = saturation(system.settings, system.users, start=100, step=1.2, seconds=6, most=2_000).rate
        echo_at = saturation(echo_settings, system.users, start=200, step=1.5, seconds=6, most=5_000).rate
        how = "last rate (steps of 6 s) with all answered, p99 under 0.5 s and no backlog; load generator and broker on the same two cores"
        yield Row(
            name="feed saturation", value=mine_at, unit="feeds/s", against=_ECHO, ratio=mine_at / echo_at if echo_at else None, method=how
        )
        yield Row(name="echo saturation", value=echo_at, unit="replies/s", method=how + "; steps of 1.5")
        half = offer(system.settings, system.users, rate=mine_at / 2, seconds=10, seed=9)
        half_echo = offer(echo_settings, system.users, rate=mine_at / 2, seconds=10, seed=9)
        mine, other = percentile(half.latencies_ms, 0.99), percentile(half_echo.latencies_ms, 0.99)
        yield Row(
            name="feed latency p99 at half of saturation",
            value=mine,
            unit="ms",
            against=_ECHO,
            ratio=mine / other,
            method="open loop, 10 s",
        )
    yield from _stages(system)


def _stages(system: System) -> Iterator[Row]:
    stages: dict[str, list[float]] = {}
    with FeedClient(system.settings.kafka(), topic_prefix=system.settings.topic_prefix) as client:
        for user_id in system.users[:200]:
            for stage, ms in client.ask(FeedRequest(user_id=user_id, shadow=True)).latency_ms.items():
                stages.setdefault(stage, []).append(ms)
            time.sleep(0.02)
    for stage, values in stages.items():
        yield Row(
            name=f"stage {stage}", value=statistics.median(values), unit="ms", method="median of 200 answers asked one after the other"
        )


def _worker_cpu_s(system: System) -> float:
    times = [
        psutil.Process(part.pid).cpu_times() for part in system.state().parts if part.name.startswith("feed-") and part.pid is not None
    ]
    return sum(each.user + each.system for each in times)
