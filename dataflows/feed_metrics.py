"""What a feed worker counts and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from prometheus_client import Histogram

from dataflows.part import Part
from operators.outcome import Outcome
from operators.query import Query
from operators.stages import SideEffect

STAGES = ("wait", "state", "retrieve", "filter", "rank", "rerank", "total")
RUN_BUCKETS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05)
EXPIRED_BUCKETS_S = (0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0)


class FeedMetrics(SideEffect):
    """Metrics of the part; a side effect of the pipeline.

    Parameters
    ----------
    part
        The process.
    """

    name = "metrics"

    def __init__(self, part: Part) -> None:
        self.records = part.progress
        stages = part.histogram("feed_stage_seconds", "Time of each part of an answer.", ["stage"])
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._runs = part.histogram(
            "feed_stage_run_seconds", "Time of each source, rule, hydrator, ranker and re-ranker.", ["stage"], buckets=RUN_BUCKETS_S
        )
        self._run: dict[str, Histogram] = {}
        self._levels = part.counter("feed_answers", "Answers by degradation level.", ["level"])
        self._candidates = part.counter("feed_candidates", "Candidates by main source.", ["source"])
        self._drops = part.counter("feed_drops", "Candidates dropped, by reason.", ["reason"])
        self._failures = part.counter("feed_stage_failures", "Stages of an answer that failed, rested or were cut.", ["stage"])
        self._events = part.counter("feed_requests", "What became of requests beside an answer.", ["what"])
        self._expired = part.histogram(
            "feed_expired_seconds",
            "How long before it was read a request had expired, by whether it had when it came: then the client's clock is slow.",
            ["when"],
            buckets=EXPIRED_BUCKETS_S,
        )
        self._names: tuple[Sequence[str], Sequence[str]] = ((), ())

    def names(self, sources: Sequence[str], reasons: Sequence[str]) -> None:
        """Name the pipeline's sources and reasons."""
        self._names = sources, reasons

    def on_outcome(self, query: Query, outcome: Outcome) -> None:
        """Count candidates, drops and failures, and the time of each stage."""
        sources, reasons = self._names
        for source, n in zip(sources, np.bincount(outcome.main, minlength=len(sources)).tolist(), strict=True):
            if n:
                self._candidates.labels(source).inc(n)
        for reason, n in zip(reasons, np.bincount(outcome.dropped, minlength=len(reasons) + 1)[1:].tolist(), strict=True):
            if n:
                self._drops.labels(reason).inc(n)
        for stage in outcome.skipped:
            self._failures.labels(stage).inc()
        for stage, spent_s in outcome.stage_seconds.items():
            if stage not in self._run:
                self._run[stage] = self._runs.labels(stage)
            self._run[stage].observe(spent_s)

    def answered(self, level: str, latency_ms: Mapping[str, float]) -> None:
        """Count an answer and its stages."""
        self._levels.labels(level).inc()
        for stage, spent_ms in latency_ms.items():
            self._stages[stage].observe(spent_ms / 1_000)

    def expired(self, overdue_s: float, *, at_once: bool) -> None:
        """Count a request that was dropped unworked; `at_once`: its deadline was over when the broker took it."""
        self.event("expired")
        self._expired.labels("on_arrival" if at_once else "waiting").observe(overdue_s)

    def event(self, what: str, n: int = 1) -> None:
        """Count requests that were refused, repeated, answered again, cut to fit, answered without the store, or answered in vain."""
        self._events.labels(what).inc(n)
