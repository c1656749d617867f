"""Answers that leave: how large they may be, and what is given up; the rest is tested on the real broker."""

from __future__ import annotations

from collections import Counter

import pytest

from dataflows.kafka import Outgoing, Sizes
from dataflows.reply_sink import ReplySink
from operators.feed import AROUND_BYTES
from schemas.topics import load_topics

LARGEST = load_topics()["feed.responses"].record_bytes


@pytest.mark.parametrize(("size", "given_up"), [(1_000_001, 0), (LARGEST - AROUND_BYTES, 0), (LARGEST, 0), (5_000_000, 1)])
def test_the_largest_answer_that_a_worker_makes_is_not_given_up(monkeypatch: pytest.MonkeyPatch, size: int, given_up: int) -> None:
    monkeypatch.setattr("dataflows.reply_sink.CLOSE_S", 0.0)
    settled: list[str] = []
    happened: Counter[str] = Counter()
    sink = ReplySink(
        {"bootstrap.servers": "127.0.0.1:1", "log_level": 0},
        request_bytes=Sizes(load_topics().values(), prefix="", count=lambda _: None).request_bytes,
        on_settled=settled.append,
        on_given_up=lambda: happened.update(["given_up"]),
    )
    sink.write(Outgoing("feed.responses", b"r", b"x" * size, 0, tag="place"))
    assert (happened["given_up"], len(settled)) == (given_up, given_up)
    sink.close()
