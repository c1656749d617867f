"""The learner as a step of bytewax: learns what comes, and tells what is due as time passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bytewax.operators import StatefulBatchLogic

from dataflows.learning_metrics import Show
from dataflows.part import Count
from operators.base import State
from operators.learners.online_ranking import Learned, OnlineRanking
from schemas.learning import LabelledExample

TICK = timedelta(milliseconds=100)


class Learner(StatefulBatchLogic[list[LabelledExample], Learned, State]):
    """The one learner; after examples it asks every 100 ms whether weights or metrics are due."""

    def __init__(self, ranking: OnlineRanking, count: Count, show: Show, now: Callable[[], float], state: State | None) -> None:
        self.ranking = ranking
        self.count = count
        self.show = show
        self.now = now
        if state is not None:
            ranking.restore(state)
        show(ranking)
        self._counted = Counter(ranking.counts)

    def on_batch(self, values: list[list[LabelledExample]]) -> tuple[list[Learned], bool]:
        """Learn from what came."""
        alarms = [alarm for examples in values for alarm in self.ranking.on_batch(examples)]
        self.show(self.ranking)
        for name, number in (self.ranking.counts - self._counted).items():
            self.count(name, number)
        self._counted = Counter(self.ranking.counts)
        due, kept = self.on_notify()
        return [*alarms, *due], kept

    def on_notify(self) -> tuple[list[Learned], bool]:
        """Return what is due."""
        return self.ranking.on_time(int(self.now() * 1000)), StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Return the next tick, or None when nothing has changed."""
        return datetime.now(UTC) + TICK if self.ranking.has_news else None

    def snapshot(self) -> State:
        """Return the learner's state."""
        return self.ranking.snapshot()
