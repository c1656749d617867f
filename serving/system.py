"""Brings the whole system up and takes it down; a start that fails leaves nothing running."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from confluent_kafka.admin import AdminClient

from schemas.settings import Settings
from schemas.topics import load_parts, load_topics
from serving.connect import contradiction
from serving.errors import ConfigError, ServiceError
from serving.leftovers import stop_leftovers
from serving.local import Home, LocalKafka, LocalRedis
from serving.local.home import wipe
from serving.local.processes import file_lock, rotate, spawn, tail
from serving.owner import refuse_second, system_id
from serving.owner_store import claim_store, refuse_second_store
from serving.part_settings import differences, remembered
from serving.parts import STOP_WITHIN_S, PartSpec, Plan, read_plan, workers_by_part, write_plan
from serving.reach import require_broker, require_redis
from serving.state import SystemState, read_state, state_file, supervisor_mark
from serving.topics import apply_topics, plan_topics

READY_WITHIN_S = 120.0
_UP_LOCK_WAIT_S = 5.0
_POLL_S = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asks `penstock up` for.

    Parameters
    ----------
    parts : tuple of PartSpec
        The processes to run.
    bootstrap_servers, redis_url : str, optional
        Services that exist; None: start our own.
    fresh : bool
        Begin with no data.
    wait : bool
        Return only when every part is ready.
    stop_within_s : float
        How long parts have to end after SIGTERM.
    take_over : bool
        Take the topics and the Redis database of another system that is gone for good.
    """

    parts: tuple[PartSpec, ...]
    bootstrap_servers: str | None = None
    redis_url: str | None = None
    fresh: bool = False
    wait: bool = True
    stop_within_s: float = STOP_WITHIN_S
    take_over: bool = False


def up(home: Home, wanted: Wanted, say: Say) -> SystemState | None:
    """Start services and parts and wait until they are ready; return their state (None where it does not wait).

    Parameters
    ----------
    home : Home
        Where everything is kept.
    wanted : Wanted
        What shall run.
    say : Callable[[str], None]
        Is told of each step.

    Raises
    ------
    ConfigError
        When the system runs already with other settings than numbers of workers, the home belongs to topics of another prefix, or the
        topics or the rows of people to another system: then nothing was made, and nothing started but a local broker or Redis where that
        is what was asked.
    ServiceError
        When something does not get ready; everything has been stopped again.
    """
    if supervisor_mark(home) is None:
        _require_external(home, wanted)
    home.create()
    with file_lock(home.run / "up.lock", timeout_s=_UP_LOCK_WAIT_S):
        if wanted.fresh:
            down(home)
        elif supervisor_mark(home) is not None:
            _require_same(home, wanted)
            _resize(home, wanted, say)
            return _wait(home) if wanted.wait else read_state(home)
        with _all_or_nothing(home):
            _start(home, wanted, say)
            say("waiting until every part is ready")
            return _wait(home) if wanted.wait else None


def down(home: Home) -> list[str]:
    """Stop everything of a home and return the names of what ran."""
    stopped: list[str] = []
    if not home.run.is_dir():
        return stopped
    mark = supervisor_mark(home)
    if mark is not None:
        state = read_state(home)
        stopped += [part.name for part in state.parts if part.pid is not None] if state is not None else []
        mark.end(2 * STOP_WITHIN_S + 1.0)
    stopped += stop_leftovers(home)
    for service in (LocalRedis(home), LocalKafka(home)):
        if service.running() and service.name not in stopped:
            stopped.append(service.name)
        service.stop()
    state_file(home).unlink(missing_ok=True)
    return stopped


def _start(home: Home, wanted: Wanted, say: Say) -> None:
    stop_leftovers(home)
    if wanted.fresh:
        for folder in home.of_parts():
            wipe(folder)
        home.create()
    kafka, redis = LocalKafka(home), LocalRedis(home)
    if wanted.bootstrap_servers is None:
        say("starting Kafka")
        kafka.start(fresh=wanted.fresh)
    if wanted.redis_url is None:
        say("starting Redis")
        redis.start(fresh=wanted.fresh)
    settings = _settings(home, wanted, fresh=wanted.fresh)
    plan = Plan(
        bootstrap_servers=settings.bootstrap_servers,
        redis_url=settings.redis_url,
        kafka_port=None if wanted.bootstrap_servers else kafka.ports[0],
        redis_port=None if wanted.redis_url else redis.ports[0],
        parts=wanted.parts,
        stop_within_s=wanted.stop_within_s,
        topic_prefix=settings.topic_prefix,
        settings=remembered(settings, salt=system_id(home)),
    )
    require_broker(settings, do="read its log")
    refuse_second(settings, home, take_over=wanted.take_over)
    claim_store(settings, home, take_over=wanted.take_over, whose_ever=wanted.redis_url is None)
    say("applying topics.yaml")
    admin = AdminClient({**settings.kafka(), "log_level": 0})
    apply_topics(admin, plan_topics(admin, load_topics().values(), prefix=settings.topic_prefix))
    say("starting the parts")
    write_plan(home, plan)
    _supervise(home)


def _require_external(home: Home, wanted: Wanted) -> None:
    """Ask services that exist whether they answer and are nobody else's, before anything is made or started."""
    settings = _settings(home, wanted, fresh=wanted.fresh)
    if wanted.bootstrap_servers is not None:
        require_broker(settings, do="start it, or correct --bootstrap-servers")
    if wanted.redis_url is not None:
        require_redis(settings, do="start it, or correct --redis-url")
        refuse_second_store(settings, home, take_over=wanted.take_over)
    if wanted.bootstrap_servers is not None:
        refuse_second(settings, home, take_over=wanted.take_over)


def _settings(home: Home, wanted: Wanted, *, fresh: bool) -> Settings:
    """Return the settings of the parts: the environment's, with the services that are meant and the prefix of the home."""
    services = {
        "bootstrap_servers": wanted.bootstrap_servers or LocalKafka(home).bootstrap_servers,
        "redis_url": wanted.redis_url or LocalRedis(home).url,
    }
    return Settings().model_copy(update={"home": home.root, **services, "topic_prefix": _prefix(home, fresh=fresh)})


def _prefix(home: Home, *, fresh: bool) -> str:
    """Return the prefix of a home's topics: the one that it was started with first, for its state belongs to those topics."""
    settings, plan = Settings(), read_plan(home)
    said = settings.topic_prefix
    if plan is None or fresh:
        return said
    if "topic_prefix" in settings.model_fields_set and said != plan.topic_prefix:
        raise contradiction(home, "topic_prefix", said, plan.topic_prefix)
    return plan.topic_prefix


def _supervise(home: Home) -> None:
    state_file(home).unlink(missing_ok=True)
    log = home.logs / "supervisor.log"
    rotate(log)
    started = spawn([sys.executable, "-P", "-m", "serving.supervisor", str(home.root)], log=log)
    deadline = time.monotonic() + READY_WITHIN_S
    while read_state(home) is None:
        if not started.alive() or time.monotonic() > deadline:
            raise ServiceError(expected="a supervisor", got="one that ended by itself", where=str(log), do=f"it says:\n{tail(log)}")
        time.sleep(_POLL_S)


def running_workers(home: Home) -> dict[str, int]:
    """Return how many processes each part of the running system has; nothing where none runs."""
    plan = read_plan(home)
    running = {} if plan is None or supervisor_mark(home) is None else workers_by_part(plan.parts)
    return {name: number for name, number in running.items() if name in load_parts()}


def _resize(home: Home, wanted: Wanted, say: Say) -> None:
    """Write the plan with other numbers of workers; the supervisor sees it and starts those parts anew."""
    plan = read_plan(home)
    if plan is None or plan.parts == wanted.parts:
        return
    before, after = workers_by_part(plan.parts), workers_by_part(wanted.parts)
    changed = ", ".join(f"{name} {before[name]} -> {after[name]}" for name in after if after[name] != before[name])
    say(f"changing the number of workers: {changed}")
    write_plan(home, msgspec.structs.replace(plan, parts=wanted.parts))


def _wait(home: Home) -> SystemState:
    deadline = time.monotonic() + READY_WITHIN_S
    plan = read_plan(home)
    names = {LocalKafka.name, LocalRedis.name} | {part.name for part in (() if plan is None else plan.parts)}
    while True:
        state = read_state(home)
        if state is not None and state.ready and {part.name for part in state.parts} == names:
            return state
        if supervisor_mark(home) is None:
            got = "none" if state is None or not state.fault else f"one that ended: {state.fault}"
            raise ServiceError(expected="a running supervisor", got=got, where=str(home.run), do=f"read {home.logs / 'supervisor.log'}")
        if state is not None:
            _refuse_crash_loops(home, state)
        if time.monotonic() > deadline:
            raise _too_late(home, state)
        time.sleep(_POLL_S)


def _too_late(home: Home, state: SystemState | None) -> ServiceError:
    late = [part for part in state.parts if not part.ready] if state is not None else []
    return ServiceError(
        expected=f"every part to be ready within {READY_WITHIN_S:g} s",
        got=", ".join(f"{part.name} {part.status}" + (f" ({part.last_words})" if part.last_words else "") for part in late) or "none",
        where=str(home.root),
        do=f"read the logs in {home.logs}",
    )


def _refuse_crash_loops(home: Home, state: SystemState) -> None:
    looping = [part for part in state.parts if part.status == "crash-looping"]
    if looping:
        raise ServiceError(
            expected="every part to get ready",
            got="; ".join(f"{part.name} crash-looping ({part.last_words})" for part in looping),
            where=str(home.root),
            do=f"read {home.logs / (looping[0].name + '.log')}",
        )


@contextmanager
def _all_or_nothing(home: Home) -> Iterator[None]:
    try:
        yield
    except BaseException:
        down(home)
        raise


def _require_same(home: Home, wanted: Wanted) -> None:
    _prefix(home, fresh=False)
    plan, settings = read_plan(home), Settings()
    others = ["a plan that is lost"]
    if plan is not None:
        for name in sorted({"bootstrap_servers", "redis_url"} & settings.model_fields_set):
            if getattr(settings, name) != getattr(plan, name):
                raise contradiction(home, name, getattr(settings, name), getattr(plan, name))
        now = remembered(settings, salt=system_id(home))
        others = differences(plan, parts=wanted.parts, bootstrap_servers=wanted.bootstrap_servers, redis_url=wanted.redis_url, settings=now)
    if others:
        raise ConfigError(
            expected="a system that is down, or runs with these settings",
            got=f"one that runs with {', '.join(others)}",
            where=str(home.root),
            do="run `penstock down` first",
        )
