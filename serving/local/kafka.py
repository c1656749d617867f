"""A real Apache Kafka broker on this machine: KRaft, one node that is broker and controller, loopback only."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from serving.errors import ServiceError
from serving.local.home import wipe
from serving.local.jars import ensure_jars
from serving.local.java import find_java
from serving.local.processes import LOOPBACK, ProcessMark, port_answers, write_whole
from serving.local.service import LocalService

_JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
)

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": 1,
    "default.replication.factor": 1,
    "min.insync.replicas": 1,
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # workers that die must be replaced within seconds, for both group protocols
    "group.min.session.timeout.ms": 1000,
    "group.consumer.min.session.timeout.ms": 1000,
    "group.consumer.min.heartbeat.interval.ms": 250,
    # after kill -9 the controller turns the broker away until its old session has ended
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "num.network.threads": 2,
    "num.io.threads": 4,
    # taken from the heap when the cleaner starts; 16 MB hold 600 k keys a pass
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
}


class LocalKafka(LocalService):
    """The broker of one home; its data, its cluster id and its port stay the same from start to start.

    Parameters
    ----------
    home : Home
        Where segments, configuration, log and process mark are kept.
    port : int, optional
        The port for clients: taken as it is when given, any free one when 0; when None, the one of the last start,
        else 9092, else any free one. The controller takes a second port by the same rule (9093).
    """

    name: ClassVar[str] = "kafka"
    program: ClassVar[str] = "java"
    standard_port: ClassVar[int] = 9092
    extra_ports: ClassVar[tuple[int, ...]] = (9093,)
    ready_within_s: ClassVar[float] = 60.0
    stop_within_s: ClassVar[float] = 15.0

    @property
    def folder(self) -> Path:
        """Configuration and data of the broker."""
        return self.home.kafka

    @property
    def config(self) -> Path:
        """The server.properties of the last start."""
        return self.folder / "server.properties"

    @property
    def address(self) -> str:
        """The bootstrap servers."""
        return self.bootstrap_servers

    @property
    def bootstrap_servers(self) -> str:
        """What a client needs to connect, as `host:port`; the port of the last start, or the standard one."""
        return f"{LOOPBACK}:{self.ports[0] if self.ports else self.standard_port}"

    @property
    def cluster_id(self) -> str:
        """The id that the data of this home carries, an empty text before the first start."""
        try:
            lines = (self._data / "meta.properties").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ""
        return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), "")

    def command(self, ports: tuple[int, ...]) -> list[str | Path]:
        """Write server.properties, format the data folder once, and return the command that runs the broker."""
        java: list[str | Path] = [find_java(), *_JVM_OPTIONS, f"-XX:ErrorFile={self.home.logs}/kafka-crash-%p.log"]
        java += ["-cp", os.pathsep.join(str(path) for path in ensure_jars())]
        if not self.cluster_id:
            self._format(java, ports)
        write_whole(self.config, _properties(self._data, ports))
        return [*java, "kafka.Kafka", self.config]

    def answers(self, mark: ProcessMark) -> bool:
        """Tell whether the broker with the cluster id of this home answers a metadata request."""
        if not mark.alive() or not port_answers(self.ports[0]):
            return False
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            metadata = client.list_topics(timeout=2.0)
        except KafkaException:
            return False
        return bool(metadata.brokers) and metadata.cluster_id == self.cluster_id

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _format(self, java: list[str | Path], ports: tuple[int, ...]) -> None:
        """Make a new data folder; it gets its name only when it is complete."""
        part = self.folder / "data.part"
        wipe(part)
        wipe(self._data)
        config = self.folder / "format.properties"
        write_whole(config, _properties(part, ports))
        words = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", new_cluster_id(), "-c", config]
        done = subprocess.run(words, capture_output=True, text=True, timeout=self.ready_within_s, check=False)
        if done.returncode != 0:
            raise ServiceError(
                expected="a formatted data folder",
                got=f"exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}",
                where=str(part),
                do="mend what the message names, then start again",
            )
        part.rename(self._data)
        config.unlink()


def new_cluster_id() -> str:
    """Return a random cluster id in Kafka's form: 16 bytes in 22 URL-safe letters, the first not a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not text.startswith("-"):
            return text


def _properties(data: Path, ports: tuple[int, ...]) -> str:
    listeners = f"PLAINTEXT://{LOOPBACK}:{ports[0]},CONTROLLER://{LOOPBACK}:{ports[1]}"
    settings = {
        **_SETTINGS,
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{ports[1]}",
        "log.dirs": data,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
