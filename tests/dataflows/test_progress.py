from __future__ import annotations

from dataflows.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> float:
        return self.ms / 1000

    def tick(self, progress: Progress, ms: int) -> None:
        """Let time pass in a process that is awake."""
        for _ in range(ms // 100):
            self.ms += 100
            progress.reached("any", 0)
        self.ms += ms % 100


def test_a_silent_partition_is_read_up_to_a_moment_ago() -> None:
    clock = Clock()
    progress = Progress(now=clock)
    progress.note("events", 0, clock.ms)
    clock.tick(progress, 399)
    assert progress.reached("events", 0) == 0
    clock.ms += 1
    assert progress.reached("events", 0) == clock.ms - 400


def test_nothing_is_said_of_a_topic_that_may_not_have_answered_yet() -> None:
    clock = Clock()
    progress = Progress(now=clock)
    clock.tick(progress, 4_999)
    assert progress.reached("events", 0) == 0
    clock.ms += 1
    assert progress.reached("events", 0) == clock.ms - 400


def test_while_a_topic_is_being_caught_up_with_its_silent_partitions_wait() -> None:
    clock = Clock()
    progress = Progress(now=clock)
    progress.note("events", 0, clock.ms - 60_000)
    clock.tick(progress, 1_000)
    assert progress.reached("events", 1) == 0
    progress.note("events", 0, clock.ms)
    assert progress.reached("events", 1) == clock.ms - 400


def test_a_topic_that_was_behind_and_says_no_more_is_at_its_end() -> None:
    clock = Clock()
    progress = Progress(now=clock)
    progress.note("events", 0, clock.ms - 60_000)
    clock.tick(progress, 2_000)
    assert progress.reached("events", 0) == clock.ms - 400


def test_a_process_that_stood_still_looks_again_before_it_calls_a_partition_silent() -> None:
    clock = Clock()
    progress = Progress(now=clock)
    progress.note("events", 0, clock.ms)
    clock.ms += 3_000
    assert progress.reached("events", 0) == 0
    clock.tick(progress, 399)
    assert progress.reached("events", 0) == 0
    clock.tick(progress, 1)
    assert progress.reached("events", 0) == clock.ms - 400
