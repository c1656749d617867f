"""Makes a cluster agree with topics.yaml: a plan of changes, and their application; nothing is ever deleted or shrunk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from schemas.topics import TopicSpec
from serving.errors import ServiceError

_WAIT_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference between the file and the cluster.

    Parameters
    ----------
    topic : str
        Name in the cluster.
    action : {"create", "grow", "configure", "keep"}
        What apply does; `keep` is a difference that it leaves alone.
    partitions : int
        How many the topic shall have (`create`, `grow`) or has (`keep`).
    config : Mapping[str, str]
        The settings to be set.
    detail : str
        The difference in words.
    """

    topic: str
    action: Literal["create", "grow", "configure", "keep"]
    partitions: int = 0
    config: Mapping[str, str]
    detail: str


def plan_topics(admin: AdminClient, specs: Iterable[TopicSpec], *, prefix: str = "") -> list[Change]:
    """Compare the cluster with the specifications.

    Parameters
    ----------
    admin : AdminClient
        Of the cluster.
    specs : Iterable[TopicSpec]
        The topics as they shall be.
    prefix : str
        Stands in front of every name in the cluster.

    Raises
    ------
    ServiceError
        When the broker does not answer.
    """
    wanted = {prefix + spec.name: spec for spec in specs}
    with _asking("a list of topics"):
        metadata = admin.list_topics(timeout=_WAIT_S).topics
    present = {name: len(metadata[name].partitions) for name in wanted if name in metadata}
    configs = _configs(admin, present)
    changes: list[Change] = []
    for name, spec in wanted.items():
        if name not in present:
            detail = f"{spec.partitions} partitions, {spec.cleanup}"
            changes.append(Change(topic=name, action="create", partitions=spec.partitions, config=spec.config(), detail=detail))
        else:
            changes += _differences(name, spec, present[name], configs[name])
    return changes


def apply_topics(admin: AdminClient, changes: Iterable[Change]) -> None:
    """Carry out a plan; what another process made meanwhile is taken as it is.

    Raises
    ------
    ServiceError
        When the broker refuses a change.
    """
    wanted = list(changes)
    created = {change.topic: change for change in wanted if change.action == "create"}
    if created:
        news = [NewTopic(change.topic, num_partitions=change.partitions, config=dict(change.config)) for change in created.values()]
        for topic, future in admin.create_topics(news, request_timeout=_WAIT_S).items():
            _settle(created[topic], future)
    for change in wanted:
        if change.action == "grow":
            grown = NewPartitions(change.topic, change.partitions)
            _settle(change, admin.create_partitions([grown], request_timeout=_WAIT_S)[change.topic])
        elif change.action == "configure":
            entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in change.config.items()]
            resource = ConfigResource(ResourceType.TOPIC, change.topic, incremental_configs=entries)
            (altered,) = admin.incremental_alter_configs([resource], request_timeout=_WAIT_S).values()
            _settle(change, altered)
    _await_visible(admin, [change for change in wanted if change.action in {"create", "grow"}])


def _differences(name: str, spec: TopicSpec, partitions: int, config: Mapping[str, str]) -> list[Change]:
    changes: list[Change] = []
    if partitions < spec.partitions:
        detail = f"{partitions} -> {spec.partitions} partitions; keys move to other partitions"
        changes.append(Change(topic=name, action="grow", partitions=spec.partitions, config={}, detail=detail))
    elif partitions > spec.partitions:
        detail = f"has {partitions} partitions, the file says {spec.partitions}; partitions are never taken away"
        changes.append(Change(topic=name, action="keep", partitions=partitions, config={}, detail=detail))
    wrong = {key: value for key, value in spec.config().items() if config.get(key) != value}
    if wrong:
        detail = ", ".join(f"{key}: {config.get(key, 'unset')} -> {value}" for key, value in wrong.items())
        changes.append(Change(topic=name, action="configure", config=wrong, detail=detail))
    return changes


def _configs(admin: AdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    with _asking("the settings of the topics"):
        answers = admin.describe_configs(resources, request_timeout=_WAIT_S).items()
        described = {resource.name: future.result(timeout=_WAIT_S) for resource, future in answers}
    return {name: {key: entry.value for key, entry in entries.items()} for name, entries in described.items()}


def _settle(change: Change, future: Future[None]) -> None:
    try:
        future.result(timeout=_WAIT_S)
    except KafkaException as error:
        if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
            raise ServiceError(
                expected=f"the broker to {change.action} the topic",
                got=error.args[0].str(),
                where=change.topic,
                do="correct topics.yaml, or the rights of this client",
            ) from error


def _await_visible(admin: AdminClient, changes: list[Change]) -> None:
    # The controller has taken a change before the broker tells clients of it; parts that start in between would not find their topics.
    deadline = time.monotonic() + _WAIT_S
    while True:
        with _asking("a list of topics"):
            seen = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=_WAIT_S).topics.items()}
        late = [change.topic for change in changes if seen.get(change.topic, 0) < change.partitions]
        if not late:
            return
        if time.monotonic() > deadline:
            raise ServiceError(
                expected="the broker to show its new topics", got="none", where=", ".join(late), do="run `penstock topics plan` again"
            )
        time.sleep(_POLL_S)


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise ServiceError(
            expected=f"{what} from the broker", got=error.args[0].str(), where="its bootstrap servers", do="run `penstock up`"
        ) from error
