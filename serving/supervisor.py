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
from serving.parts import PartSpec, Plan, environment, plan_file, read_plan
from serving.pings import WITHIN_S, broker_ping, redis_ping
from serving.reach import BrokerProbe, redis_client, redis_failure
from serving.scrape import Reading, Scraper
from serving.state import PartState, ShardState, SystemState, supervisor_file, write_state
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
        self._parts = [self._part(spec) for spec in plan.parts]
        self._settings = Settings(
            home=home.root, bootstrap_servers=plan.bootstrap_servers, redis_url=plan.redis_url, topic_prefix=plan.topic_prefix
        )
        self._services = self._watched_services()
        self._watched: list[Watched] = [*self._services, *self._parts]
        self._scraper = Scraper(self._watched)
        self._heart = Heart(self._settings, home, StoreHeart(self._settings, home).beat)
        self._stopping = False
        self._written_at = 0.0
        self._plan_stamp = 0

    def run(self) -> None:
        """Start everything, keep it running, and stop it when SIGTERM or SIGINT comes."""
        wake = _wake_on_signals(self._stop)
        self._scraper.start()
        self._heart.start()
        try:
            while not (self._stopping or self._heart.fault):
                self._tend()
                if time.monotonic() - self._written_at >= _WRITE_EVERY_S:
                    self._follow_plan()
                    self._write()
                select.select([wake], [], [], _TURN_S)
                _drain(wake)
        finally:
            if self._heart.fault:
                _log.error("another system has what is ours; the parts are stopped", error=self._heart.fault)
            self._stopping = True
            self._scraper.end()
            self._end(self._parts)
            self._heart.end()
            self._write()

    def _part(self, spec: PartSpec) -> WatchedPart:
        home = self._home
        env = environment(self._plan, spec, home.root)
        return WatchedPart(spec, env, home.logs / f"{spec.name}.log", home.run / f"{spec.name}.port")

    def _follow_plan(self) -> None:
        """Where the plan has other processes, end those that it has no more, then begin the new ones: shards move between the two."""
        stamp = _stamp(self._home)
        plan = read_plan(self._home) if stamp != self._plan_stamp else None
        self._plan_stamp = stamp
        if plan is None or plan.parts == self._plan.parts:
            return
        self._plan = plan
        leaving = [part for part in self._parts if part.spec not in plan.parts]
        staying = {part.spec.name: part for part in self._parts if part not in leaving}
        _log.info("the plan has changed", ending=[part.name for part in leaving])
        self._watched[:] = [*self._services, *staying.values()]
        self._end(leaving)
        for part in leaving:
            part.port_file.unlink(missing_ok=True)
        self._parts = [staying.get(spec.name) or self._part(spec) for spec in plan.parts]
        self._watched[:] = [*self._services, *self._parts]

    def _watched_services(self) -> list[Watched]:
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

    def _end(self, leaving: Sequence[WatchedPart]) -> None:
        """Ask parts to end, kill what does not, and keep the others running meanwhile."""
        for number, bound_s in ((signal.SIGTERM, self._plan.stop_within_s), (signal.SIGKILL, _KILL_WITHIN_S)):
            for part in leaving:
                part.signal(number)
            deadline = time.monotonic() + bound_s
            while any(part.running() for part in leaving) and time.monotonic() < deadline:
                if not self._stopping:
                    self._tend()
                time.sleep(0.02)

    def _tend(self) -> None:
        now = time.monotonic()
        for thing in self._watched:
            thing.tend(now)

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
        status = self._status(thing, running=pid is not None, ready=ready)
        return PartState(
            name=thing.name,
            pid=pid,
            status=status,
            ready=ready,
            lag=None if reading is None else reading.lag,
            memory_mb=None if reading is None else reading.memory_mb,
            restarts=thing.restarts,
            last_progress_s=None if progress is None else max(0.0, round(time.time() - progress, 1)),
            last_words=thing.last_words,
            part=(thing.spec.part or thing.name) if isinstance(thing, WatchedPart) else thing.name,
            shards=self._shards(thing.spec, reading, status) if isinstance(thing, WatchedPart) and reading is not None else [],
        )

    def _shards(self, spec: PartSpec, reading: Reading, status: str) -> list[ShardState]:
        if not reading.waiting:
            return []
        owned: dict[str, list[int]] = {}
        for topic, partition in sorted(reading.waiting):
            owned.setdefault(topic.removeprefix(self._plan.topic_prefix), []).append(partition)
        lag = sum(reading.waiting.values())
        return [ShardState(worker=spec.worker, workers=spec.workers, partitions=owned, state=status, lag=lag)]

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


def _stamp(home: Home) -> int:
    """Return what changes whenever a plan is written; 0 where there is none."""
    file = plan_file(home)
    return file.stat().st_mtime_ns if file.exists() else 0


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
