"""When to start again, and what a part said last."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from schemas.topics import load_parts
from serving.parts import PartSpec, choose_parts
from serving.pings import PingResult
from serving.scrape import SILENT_AFTER_S, Scraper, reading_of
from serving.watch import STABLE_AFTER_S, Backoff, WatchedPart, WatchedRemote, WatchedService, last_words


def test_the_first_restart_is_at_once_and_later_ones_wait_longer_and_longer() -> None:
    backoff = Backoff()
    delays = [backoff.delay_after(uptime_s=0.1) for _ in range(9)]
    assert delays[0] == 0.0
    assert delays == sorted(delays)
    assert delays[-1] == 15.0


def test_three_ends_in_a_row_are_a_crash_loop_and_a_stable_run_ends_it() -> None:
    backoff = Backoff()
    for _ in range(2):
        backoff.delay_after(uptime_s=0.1)
    assert not backoff.looping
    backoff.delay_after(uptime_s=0.1)
    assert backoff.looping
    assert backoff.delay_after(uptime_s=STABLE_AFTER_S) == 0.0
    assert not backoff.looping


def test_the_last_words_are_the_error_else_the_event_else_the_plain_line(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    assert last_words(log) == "no word in its log"
    log.write_text("Traceback ...\nRuntimeError: no luck\n\n")
    assert last_words(log) == "RuntimeError: no luck"
    log.write_text('{"event":"ended by an error","error":"ValueError: 5"}\n')
    assert last_words(log) == "ValueError: 5"
    log.write_text('{"event":"started"}\n')
    assert last_words(log) == "started"


def test_every_part_of_the_table_has_one_process_and_feed_has_as_many_as_asked_for() -> None:
    names = [part.name for part in choose_parts(workers={"feed": 3})]
    assert len(set(names)) == len(names) == len(load_parts()) + 2
    assert [name for name in names if name.startswith("feed-")] == ["feed-0", "feed-1", "feed-2"]


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'penstock_ready 1.0\npenstock_lag 7.0\npenstock_partition_lag{partition="3",topic="telemetry.raw"} 7.0\n')

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def part(tmp_path: Path) -> Iterator[WatchedPart]:
    """A part that tells its metrics; it is not started, so its process is whatever a test says."""
    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        port_file = tmp_path / "part.port"
        port_file.write_text(str(server.server_port))
        yield WatchedPart(PartSpec("part", "none"), {}, tmp_path / "part.log", port_file)
        server.shutdown()
        thread.join()


def test_a_part_that_has_been_silent_for_long_is_not_ready_any_more(part: WatchedPart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchedPart, "pid", 1)
    scraper = Scraper([part])
    scraper.read(part)
    reading = scraper.reading("part", 1)
    assert reading is not None
    assert (reading.ready, reading.lag, reading.waiting) == (True, 7, {("telemetry.raw", 3): 7})
    assert scraper.reading("part", 2) is None
    now = time.monotonic()
    monkeypatch.setattr("serving.scrape.time.monotonic", lambda: now + SILENT_AFTER_S + 1)
    assert scraper.reading("part", 1) is None


def test_a_part_without_a_process_or_an_answer_has_no_reading(part: WatchedPart, monkeypatch: pytest.MonkeyPatch) -> None:
    scraper = Scraper([part])
    scraper.read(part)
    assert scraper.reading("part", None) is None
    monkeypatch.setattr(WatchedPart, "pid", 1)
    part.port_file.write_text("no port")
    scraper.read(part)
    assert scraper.reading("part", 1) is None


class Service:
    """A local service that is a wish."""

    name = "redis"
    pid = 7

    def __init__(self, folder: Path) -> None:
        self.log = folder / "redis.log"
        self.runs = True
        self.killed = threading.Event()
        self.started = threading.Event()

    def running(self) -> bool:
        return self.runs

    def kill(self) -> None:
        self.runs = False
        self.killed.set()

    def start(self) -> None:
        self.runs = True
        self.started.set()


SILENT = PingResult("timeout", silent=True)


def watched_for(folder: Path, answers: list[tuple[float, PingResult]]) -> tuple[WatchedService, Service]:
    """A service that was asked at some seconds; each answer took one."""
    service = Service(folder)
    watched = WatchedService(service, lambda: SILENT)  # type: ignore[arg-type]
    for asked_at, answer in answers:
        watched.heard(answer, asked_at, asked_at + 1.0)
        watched.tend(asked_at + 1.0)
    return watched, service


def test_a_service_that_is_silent_for_long_is_killed_and_started_again(tmp_path: Path) -> None:
    watched, service = watched_for(tmp_path, [(float(at), SILENT) for at in range(100, 114)])
    assert watched.silent
    assert not service.killed.is_set()
    watched.heard(SILENT, 114.0, 115.0)
    watched.tend(115.0)
    assert service.killed.wait(10)
    while not service.started.is_set():
        watched.tend(116.0)
        time.sleep(0.01)
    assert "did not answer for 15 s" in watched.last_words
    assert watched.restarts == 1
    assert not watched.silent


def test_an_answer_in_between_and_an_error_that_is_told_are_no_silence(tmp_path: Path) -> None:
    for between in (PingResult(), PingResult("busy with a script")):
        answers = [(float(at), SILENT) for at in range(100, 200)]
        answers[::10] = [(float(at), between) for at in range(100, 200, 10)]
        _, service = watched_for(tmp_path, answers)
        assert not service.killed.is_set()
    watched, service = watched_for(tmp_path, [(float(at), PingResult("loading")) for at in range(100, 200)])
    assert not service.killed.is_set()
    assert not watched.silent


def test_one_question_that_took_long_is_no_silence_since_the_asker_may_have_been_stopped(tmp_path: Path) -> None:
    service = Service(tmp_path)
    watched = WatchedService(service, lambda: SILENT)  # type: ignore[arg-type]
    watched.heard(SILENT, 100.0, 200.0)
    watched.tend(200.0)
    watched.heard(PingResult(), 200.0, 200.1)
    watched.tend(200.1)
    assert not watched.silent
    assert not service.killed.is_set()


def test_a_store_of_somebody_else_that_is_away_is_not_ready_and_says_why() -> None:
    said = ["connection refused"]
    remote = WatchedRemote("redis", lambda: said[0])
    scraper = Scraper([remote])
    scraper.read(remote)
    away = scraper.reading("redis", remote.pid)
    assert away is not None
    assert (away.ready, remote.last_words) == (False, "connection refused")
    said[0] = ""
    scraper.read(remote)
    back = scraper.reading("redis", remote.pid)
    assert back is not None
    assert (back.ready, remote.last_words) == (True, "")


def test_what_the_metrics_of_ingest_leave_out_comes_with_its_reading() -> None:
    metrics = {"events": 500.0, "impressions": 0.0}
    text = "penstock_ready 1.0\n" + "".join(f'penstock_ingest_signals_total{{signal="{name}"}} {n}\n' for name, n in metrics.items())
    (warning,) = reading_of(1, text).warnings
    assert warning.startswith("none of 500 events is an impression")
