"""To be added as tests/operators/replay/test_cut.py together with feed-exhausted.patch."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from operators.feed import Answer, FeedEngine
from tests.operators.replay import recorded
from tests.operators.replay.recorded import Run


class Hurried(FeedEngine):
    """An engine whose clock runs by chance, so that sources are cut anywhere."""

    def answer(self, **asked: Any) -> Answer:
        chance = random.Random(asked["request_id"])
        now = 0.0

        def clock() -> float:
            nonlocal now
            now += chance.choice((0.0, chance.random() * 0.04))
            return now

        return super().answer(**asked | {"clock": clock})


@pytest.mark.parametrize("seed", range(3))
def test_answers_whose_sources_were_cut_come_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(recorded, "FeedEngine", Hurried)
    made = Run(tmp_path / "run", seed)
    made.live(120)
    made.save()
    report = made.replay()
    assert report.first_mismatch is None
    assert report.same
