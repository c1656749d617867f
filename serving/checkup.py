"""Looks at the services of a system that runs, ours or somebody else's, and at what stays silent in its data."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis.exceptions import RedisError

from schemas.settings import Settings
from schemas.topics import load_topics
from serving.api_versions import api_versions, missing
from serving.connect import current_settings
from serving.errors import ConfigError, PenstockError, ServiceError
from serving.local.doctor import Finding
from serving.local.home import Home
from serving.local.redis import OLDEST_REDIS
from serving.owner import Owner, newest_owner
from serving.reach import BrokerProbe, redis_client, redis_failure, without_password
from serving.state import read_state
from serving.topics import plan_topics

MAX_SKEW_MS = 30_000
_ADDRESS = "start it, or correct its address"
_EVICTS_NOTHING = "noeviction"


def check_up(home: Home) -> list[Finding]:
    """Return what was found of the services that the home or the environment names; nothing where neither names any."""
    try:
        settings = current_settings()
    except ServiceError:
        return []
    except ConfigError as error:
        return [_of_setting("settings", error)]
    state = read_state(home)
    warnings = [] if state is None else state.warnings
    return [*_kafka(settings), *_redis(settings), *(silent(warning) for warning in warnings)]


def _of_setting(name: str, error: ConfigError) -> Finding:
    return Finding(name=name, ok=False, found=error.got, wanted=error.expected, fix=error.do)


def silent(warning: str) -> Finding:
    """Return a finding about the data or the learner: everything runs, and something is missing or worse all the same."""
    return Finding(
        name="data", ok=True, found=warning, wanted="", fix="see docs/operate.md, and the table of interactions in docs/contracts.md"
    )


def _kafka(settings: Settings) -> list[Finding]:
    failure = BrokerProbe(settings).failure()
    if failure:
        where = settings.bootstrap_servers
        return [Finding(name="kafka", ok=False, found=failure, wanted=f"an answer from {where}", fix=_ADDRESS)]
    answers = Finding(name="kafka", ok=True, found=f"{settings.bootstrap_servers} answers", wanted="an answer", fix="")
    return [answers, *(_guarded(name, look, settings) for name, look in _LOOKS)]


def _guarded(name: str, look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return look(settings)
    except (PenstockError, KafkaException, OSError) as error:
        return Finding(
            name=name, ok=False, found=str(error), wanted="an answer", fix="look at the broker's log, and the rights of this user"
        )


def _versions(settings: Settings) -> Finding:
    lacking = missing(api_versions(settings))
    found = f"does not understand {', '.join(lacking)}" if lacking else "understands all that is asked of it"
    fix = "use a broker of version 2.4 or newer" if lacking else ""
    return Finding(name="kafka versions", ok=not lacking, found=found, wanted="2.4 or newer", fix=fix)


def _topics(settings: Settings) -> Finding:
    admin = AdminClient({**settings.kafka(), "log_level": 0})
    changes = [change for change in plan_topics(admin, load_topics().values(), prefix=settings.topic_prefix) if change.action != "keep"]
    found = ", ".join(f"{change.action} {change.topic}" for change in changes) or "as in topics.yaml"
    return Finding(
        name="topics", ok=not changes, found=found, wanted="as in topics.yaml", fix="run `penstock topics apply`" if changes else ""
    )


def _clock(settings: Settings) -> Finding:
    return judge_clock(newest_owner(settings))


def judge_clock(owner: Owner | None) -> Finding:
    """Say how far the broker's clock is from that of the machine that wrote whose the topics are."""
    if owner is None:
        return Finding(name="clock", ok=True, found="no system has run on these topics", wanted="", fix="")
    skew_ms = owner.stamped_ms - owner.record.at_ms
    ok = abs(skew_ms) <= MAX_SKEW_MS
    return Finding(
        name="clock",
        ok=ok,
        found=f"the broker's is {abs(skew_ms) / 1_000:.1f} s {'ahead of' if skew_ms >= 0 else 'behind'} that of {owner.record.host}",
        wanted=f"within {MAX_SKEW_MS // 1_000} s",
        fix="" if ok else "set both by NTP: deadlines and times of events are compared with the broker's stamps",
    )


_LOOKS: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
    ("kafka versions", _versions),
    ("topics", _topics),
    ("clock", _clock),
)


def _redis(settings: Settings) -> list[Finding]:
    where = without_password(settings.redis_url)
    try:
        store = redis_client(settings, patient=False)
    except ConfigError as error:
        return [_of_setting("redis", error)]
    with store as client:
        failure = redis_failure(client)
        if failure:
            return [Finding(name="redis", ok=False, found=failure, wanted=f"an answer from {where}", fix=_ADDRESS)]
        try:
            info = client.info()
        except RedisError as error:
            return [Finding(name="redis", ok=False, found=str(error), wanted="its INFO", fix="allow INFO to this user")]
    return [judge_redis(where, str(info.get("redis_version", "0")), str(info.get("maxmemory_policy", _EVICTS_NOTHING)))]


def judge_redis(where: str, version: str, policy: str) -> Finding:
    """Say whether a store is new enough and keeps what it is given."""
    new = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) >= OLDEST_REDIS
    ok = new and policy == _EVICTS_NOTHING
    return Finding(
        name="redis",
        ok=ok,
        found=f"{where} answers, version {version}, {policy}",
        wanted=f"{'.'.join(map(str, OLDEST_REDIS))} or newer, {_EVICTS_NOTHING}",
        fix="" if ok else f"set maxmemory-policy {_EVICTS_NOTHING}" if new else "use a newer Redis",
    )
