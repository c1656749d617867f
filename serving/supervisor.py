"""Keeps the parts of one home running: a detached process that starts them, starts them again, and tells how they are.

Run as ``python -m serving.supervisor HOME``; the plan is in ``HOME/run/plan.json``. SIGTERM stops the parts, then the supervisor.
The broker and the store outlive it: `penstock down` stops them last.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import structlog

from schemas.settings import Settings
from serving.local import Home, LocalKafka, LocalRedis
from serving.local.processes import ProcessMark, file_lock
from serving.owner import Heart
from serving.owner_store import StoreHeart
from serving.parts import Plan, environment, plan_file, read_plan
from serving.pings import WITHIN_S, broker_ping, redis_ping
from serving.reach import BrokerProbe, redis_client, redis_failure
from serving.scrape import Scraper
from serving.state import PartState, SystemState, supervisor_file, write_state
from serving.watch import Watched, WatchedPart, WatchedRemote, WatchedService

_KILL_WITHIN_S = 10.0
_TURN_S = 0.2
_WRITE_EVERY_S = 0.5

_log = structlog.get_logger("penstock.supervisor")


class Supervisor:
    """Carries out a plan until it is asked to stop.

    Parameters
    ----------
    home : Home
        Whose parts these are.
    plan : Plan
        What to keep running.
    """

    def __init__(self, home: Home, plan: Plan) -> None:
        self._home = home
        self._plan = plan
        self._parts = [
            WatchedPart(spec, environment(plan, spec, home.root), home.logs / f"{spec.name}.log", home.run / f"{spec.name}.port")
            for spec in plan.parts
        ]
        self._settings = Settings(
            home=home.root, bootstrap_servers=plan.bootstrap_servers, redis_url=plan.redis_url, topic_prefix=plan.topic_prefix
        )
        self._watched: Sequence[Watched] = [*self._services(), *self._parts]
        self._scraper = Scraper(self._watched)
        self._heart = Heart(self._settings, home, StoreHeart(self._settings, home).beat)
        self._stopping = False
        self._written_at = 0.0

    def run(self) -> None:
        """Start everything, keep it running, and stop it when SIGTERM or SIGINT comes."""
        wake = _wake_on_signals(self._stop)
        self._scraper.start()
        self._heart.start()
        try:
            while not (self._stopping or self._heart.fault):
                now = time.monotonic()
                for thing in self._watched:
                    thing.tend(now)
                if now - self._written_at >= _WRITE_EVERY_S:
                    self._write()
                select.select([wake], [], [], _TURN_S)
                _drain(wake)
        finally:
            if self._heart.fault:
                _log.error("another system has what is ours; the parts are stopped", error=self._heart.fault)
            self._stopping = True
            self._scraper.end()
            self._end_parts()
            self._heart.end()
            self._write()

    def _services(self) -> list[Watched]:
        kafka, redis = self._plan.kafka_port, self._plan.redis_port
        store = redis_client(self._settings, patient=False, within_s=WITHIN_S)
        return [
            WatchedRemote("kafka", BrokerProbe(self._settings).failure)
            if kafka is None
            else WatchedService(LocalKafka(self._home, port=kafka), broker_ping(self._settings)),
            WatchedRemote("redis", lambda: redis_failure(store))
            if redis is None
            else WatchedService(LocalRedis(self._home, port=redis), redis_ping(self._settings)),
        ]

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end_parts(self) -> None:
        for number, bound_s in ((signal.SIGTERM, self._plan.stop_within_s), (signal.SIGKILL, _KILL_WITHIN_S)):
            for part in self._parts:
                part.signal(number)
            deadline = time.monotonic() + bound_s
            while any(part.running() for part in self._parts) and time.monotonic() < deadline:
                time.sleep(0.02)

    def _write(self) -> None:
        self._written_at = time.monotonic()
        parts = [self._row(thing) for thing in self._watched]
        state = SystemState(
            bootstrap_servers=self._plan.bootstrap_servers,
            redis_url=self._plan.redis_url,
            parts=parts,
            at_ms=int(time.time() * 1_000),
            topic_prefix=self._plan.topic_prefix,
            warnings=self._scraper.warnings(),
            fault=self._heart.fault,
        )
        write_state(self._home, state)

    def _row(self, thing: Watched) -> PartState:
        pid = thing.pid
        reading = self._scraper.reading(thing.name, pid)
        ready = reading is not None and reading.ready
        progress = None if reading is None else reading.last_progress
        return PartState(
            name=thing.name,
            pid=pid,
            status=self._status(thing, running=pid is not None, ready=ready),
            ready=ready,
            lag=None if reading is None else reading.lag,
            memory_mb=None if reading is None else reading.memory_mb,
            restarts=thing.restarts,
            last_progress_s=None if progress is None else max(0.0, round(time.time() - progress, 1)),
            last_words=thing.last_words,
        )

    def _status(self, thing: Watched, *, running: bool, ready: bool) -> str:
        if self._stopping:
            return "stopping" if running else "stopped"
        if ready:
            return "ready"
        if isinstance(thing, WatchedRemote):
            return "unreachable"
        if thing.looping:
            return "crash-looping"
        if running and isinstance(thing, WatchedService) and thing.silent:
            return "silent"
        return "starting" if running else "restarting"


def _wake_on_signals(stop: signal._HANDLER) -> int:
    """Return a file descriptor that gets readable when a child ends or a stop is asked for."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return readable


def _drain(readable: int) -> None:
    try:
        os.read(readable, 4_096)
    except BlockingIOError:
        return


def main(argv: Sequence[str]) -> None:
    """Supervise the home that is named on the command line; only one supervisor of a home can run."""
    home = Home(Path(argv[1]))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    )
    plan = read_plan(home)
    if plan is None:
        sys.exit(f"expected a plan, got none, at {plan_file(home)}; run `penstock up`")
    with file_lock(home.run / "supervisor.lock", timeout_s=5.0):
        mark = ProcessMark.of(os.getpid())
        if mark is None:
            sys.exit("expected to find this very process, got none, at /proc")
        mark.write(supervisor_file(home))
        try:
            Supervisor(home, plan).run()
        finally:
            supervisor_file(home).unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv)
