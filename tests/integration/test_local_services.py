"""The broker and the store that `penstock up` starts, as real processes."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from serving.errors import ServiceError
from serving.local import Home, LocalKafka, LocalRedis
from serving.local import kafka as local_kafka
from serving.local import redis as local_redis
from serving.local.processes import ProcessMark
from serving.local.service import LocalService

pytestmark = pytest.mark.integration

TOPIC = "kept"
Service = type[LocalKafka] | type[LocalRedis]
Servers = Callable[[Service], LocalKafka | LocalRedis]
both = pytest.mark.parametrize("service", [LocalKafka, LocalRedis])


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[Home]:
    """A state folder for one test; whatever runs in it is stopped afterwards."""
    own = Home(tmp_path / "a home").create()
    yield own
    LocalKafka(own).stop()
    LocalRedis(own).stop()
    assert processes_of(own.root) == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A running server of either kind, with one value in it, shared by the tests of this file."""
    servers: dict[Service, LocalKafka | LocalRedis] = {}
    home = Home(tmp_path_factory.mktemp("shared"))

    def running(service: Service) -> LocalKafka | LocalRedis:
        if service not in servers:
            servers[service] = service(home, port=0)
            servers[service].start()
            write(servers[service])
        servers[service].start()
        return servers[service]

    try:
        yield running
    finally:
        for server in servers.values():
            server.stop()
        assert processes_of(home.root) == []


def processes_of(path: Path) -> list[str]:
    words = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in words if str(path) in line]


def wait_until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def write(server: LocalKafka | LocalRedis) -> None:
    if isinstance(server, LocalRedis):
        with redis.Redis.from_url(server.url) as client:
            client.set(TOPIC, "value")
        return
    admin = AdminClient({"bootstrap.servers": server.address})
    admin.create_topics([NewTopic(TOPIC, num_partitions=1)])[TOPIC].result(timeout=30)
    producer = Producer({"bootstrap.servers": server.address, "acks": "all"})
    producer.produce(TOPIC, b"value")
    assert producer.flush(10) == 0


def read(server: LocalKafka | LocalRedis) -> bytes | None:
    if isinstance(server, LocalRedis):
        with redis.Redis.from_url(server.url) as client:
            value = client.get(TOPIC)
            assert value is None or isinstance(value, bytes)
            return value
    admin = AdminClient({"bootstrap.servers": server.address})
    if TOPIC not in admin.list_topics(timeout=10).topics:
        return None
    consumer = Consumer({"bootstrap.servers": server.address, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    record = consumer.poll(20)
    consumer.close()
    return None if record is None else record.value()


def test_a_record_comes_back_from_the_broker(kafka: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, "acks": "all", "enable.idempotence": True})
    producer.produce(topic, b"swipe", key=b"u1")
    assert producer.flush(10) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 300,
        }
    )
    consumer.subscribe([topic])
    record = consumer.poll(20)
    consumer.close()
    assert record is not None
    assert (record.key(), record.value()) == (b"u1", b"swipe")


def test_topics_are_made_by_nobody_but_their_owner(kafka: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, "message.timeout.ms": 1500})
    failed: list[object] = []
    producer.produce("nobody.made.me", b"x", on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(10) == 0
    assert len(failed) == 1
    assert failed[0] is not None


def test_a_value_comes_back_from_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("k", b"v")
        assert client.get("k") == b"v"
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@both
def test_a_server_listens_on_loopback_only(service: Service, shared: Servers) -> None:
    server = shared(service)
    listening = [one.laddr for one in psutil.Process(server.pid).net_connections() if one.status == psutil.CONN_LISTEN]
    assert sorted(address.port for address in listening) == sorted(server.ports)
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


@both
def test_a_second_start_finds_the_first(service: Service, shared: Servers) -> None:
    server = shared(service)
    pid = server.pid
    again = service(server.home)
    assert again.start() == server.address
    assert again.pid == pid


@both
def test_a_process_whose_mark_was_lost_is_found_again(service: Service, shared: Servers) -> None:
    server = shared(service)
    pid = server.pid
    (server.home.run / f"{server.name}.pid").unlink()
    assert not server.running()
    server.start()
    assert server.pid == pid


@both
def test_after_kill_9_a_start_brings_back_port_and_data(service: Service, shared: Servers) -> None:
    server = shared(service)
    address, pid = server.address, server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # and start at once, while the killed process still holds its port and its locks
    assert server.start() == address
    assert server.pid not in (None, pid)
    assert read(server) == b"value"


@both
def test_a_stale_mark_harms_nobody_and_two_starters_start_one_server(service: Service, shared: Servers) -> None:
    server = shared(service)
    server.stop()
    stranger = os.getpid()
    ProcessMark(stranger, "another birth").write(server.home.run / f"{server.name}.pid")
    assert not server.running()
    server.stop()
    server.stop()

    ProcessMark(stranger, "another birth").write(server.home.run / f"{server.name}.pid")
    starters = [threading.Thread(target=service(server.home).start) for _ in range(2)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(processes_of(server.config)) == 1
    assert server.pid not in (None, stranger)


@both
def test_when_its_port_is_taken_another_is_chosen_and_the_data_stay(service: Service, shared: Servers) -> None:
    server = shared(service)
    before = server.address
    server.stop()
    holders = [socket.socket() for _ in server.ports]
    try:
        for holder, port in zip(holders, server.ports, strict=True):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", port))
            holder.listen()
        after = server.start()
    finally:
        for holder in holders:
            holder.close()
    assert after != before
    assert read(server) == b"value"


@both
def test_two_homes_do_not_disturb_each_other(service: Service, shared: Servers, own_home: Home) -> None:
    server, other = shared(service), service(own_home, port=0)
    pid = server.pid
    other.start(fresh=True)
    assert not set(server.ports) & set(other.ports)
    assert read(other) is None
    other.stop()
    assert server.pid == pid
    assert read(server) == b"value"


def test_redis_is_started_when_it_has_loaded_its_data(own_home: Home) -> None:
    server = LocalRedis(own_home, port=0)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.eval("for i = 1, 400000 do redis.call('SET', 'key' .. i, i) end", 0)
    server.stop()
    server.start()
    with redis.Redis.from_url(server.url, retry=None) as client:
        assert client.dbsize() == 400_000


@both
def test_a_fresh_start_has_no_data(service: Service, shared: Servers) -> None:
    server = shared(service)
    address = server.address
    assert server.start(fresh=True) == address
    assert read(server) is None


@both
def test_a_port_asked_for_by_number_is_taken_or_refused(service: Service, own_home: Home) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ServiceError, match=f"expected a free port for {service.name}.*127.0.0.1:{port}"):
            service(own_home, port=port).start()
    assert processes_of(own_home.root) == []


@both
def test_a_start_that_fails_shows_the_log_and_leaves_nothing(service: Service, own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(local_kafka._SETTINGS, "num.io.threads", -1)
    monkeypatch.setitem(local_redis._SETTINGS, "appendfsync", "sometimes")
    monkeypatch.setattr(LocalKafka, "_format", lambda *_: None)
    with pytest.raises(ServiceError, match="num.io.threads|appendfsync"):
        service(own_home, port=0).start()
    assert not service(own_home).running()
    assert processes_of(own_home.root) == []


@both
@pytest.mark.parametrize("reason", [KeyboardInterrupt, ServiceError])
def test_a_start_that_is_given_up_leaves_nothing(
    service: Service, own_home: Home, monkeypatch: pytest.MonkeyPatch, reason: type[BaseException]
) -> None:
    def never(_self: LocalService, _mark: ProcessMark) -> bool:
        if reason is KeyboardInterrupt:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(service, "answers", never)
    monkeypatch.setattr(service, "ready_within_s", 2.0)
    monkeypatch.setattr(LocalKafka, "_format", lambda *_: None)
    with pytest.raises(reason):
        service(own_home, port=0).start()
    assert processes_of(own_home.root) == []


def test_a_log_that_grew_too_long_is_cut_while_the_server_writes_on(own_home: Home) -> None:
    server = LocalRedis(own_home, port=0)
    server.start()
    before = server.log.stat().st_size
    server.trim_log(max_bytes=10)
    assert server.log.stat().st_size == 0
    assert server.log.with_name("redis.log.1").stat().st_size == before
    with redis.Redis.from_url(server.url) as client:
        client.bgrewriteaof()
    wait_until(lambda: b"rewrite" in server.log.read_bytes())
