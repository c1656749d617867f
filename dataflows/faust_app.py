"""A faust app as our parts use it: raw bytes, topics that exist, acknowledged output, one member that is known by name."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import faust
from confluent_kafka import KafkaException, TopicPartition
from faust.types.auth import CredentialsT

from dataflows.kafka.clients import Faults, make_consumer
from dataflows.part import Part
from schemas.dlq import LARGEST_LETTER
from schemas.settings import Settings

LOOKUP_S = 5.0
STOP_S = 7.0
LAST_S = 1.5

_POLL_S = 0.1
# The buffer of the producer is full at every bulk load; that is how it is throttled.
_LOG_LEVELS = {"aiokafka": logging.WARNING, "faust": logging.WARNING, "mode": logging.WARNING, "faust.transport.producer": logging.ERROR}
_LOG_LEVELS[__name__] = logging.WARNING


class OneOwnerTable(faust.Table):  # type: ignore[type-arg]  # generic for checkers only
    """A table whose changelog has one partition, so that a timer may write it as well as an agent."""

    def partition_for_key(self, key: Any) -> int:
        """Return the only partition."""
        return 0


def one_owner_table(app: faust.App, name: str, changelog: Any) -> OneOwnerTable:
    """Return a table of bytes by bytes that is kept on a topic."""
    table = OneOwnerTable(app, name=name, key_type=bytes, value_type=bytes, partitions=1, changelog_topic=changelog)
    app.tables.add(table)
    return table


def make_app(part: Part) -> faust.App:
    """Return an app that is a member of the consumer group `penstock.<part>`.

    Its state lives in tables whose changelogs are topics of topics.yaml. After a crash its successor waits until the session has ended;
    as a static member it would get the tables at once, but could then stand still for the whole rebalance timeout. Where it was killed
    while the group was being formed, its successor waits for that timeout, which is 60 s by default.
    """
    settings = part.settings
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    folder = settings.home / "faust" / part.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return faust.App(
        part.group,
        broker=[f"kafka://{address.strip()}" for address in settings.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings),
        broker_commit_interval=1.0,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_rebalance_timeout=10.0,
        consumer_auto_offset_reset="earliest",
        datadir=folder,
        key_serializer="raw",
        value_serializer="raw",
        producer_acks=-1,
        producer_max_request_size=LARGEST_LETTER,
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
        autodiscover=False,
    )


def credentials(settings: Settings) -> CredentialsT | None:
    """Return what librdkafka calls `security.protocol`, in faust's words."""
    context = tls(settings) if settings.security_protocol.endswith("SSL") else None
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=settings.sasl_mechanism or "PLAIN",
            username=settings.sasl_username,
            password=None if settings.sasl_password is None else settings.sasl_password.get_secret_value(),
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def tls(settings: Settings) -> ssl.SSLContext:
    """Return the TLS side of the settings: who is trusted, and the certificate to show."""
    authority = None if settings.ssl_ca_location is None else str(settings.ssl_ca_location)
    context = ssl.create_default_context(cafile=authority)
    if settings.ssl_certificate_location is not None:
        key = None if settings.ssl_key_location is None else str(settings.ssl_key_location)
        context.load_cert_chain(str(settings.ssl_certificate_location), key)
    return context


class Ends:
    """Asks the broker where a topic ends and where the app will go on, on a connection of its own: faust's is held by a fetch that waits.

    Parameters
    ----------
    app
        The app whose group it asks about; this is no member of it.
    part
        The process.
    """

    def __init__(self, app: faust.App, part: Part) -> None:
        self._consumer = make_consumer(part.settings.kafka(), {"group.id": app.conf.id, "log_level": 0}, Faults(f"{part.name}.ends"))

    async def __call__(self, topic: Any) -> int | None:
        """Return the next offset of the only partition of a faust topic, or None while the broker does not say."""
        place = TopicPartition(topic.get_topic_name(), 0)
        try:
            _, high = await asyncio.to_thread(self._consumer.get_watermark_offsets, place, LOOKUP_S)
        except KafkaException:
            return None
        return int(high)

    async def committed(self, topic: Any) -> int | None:
        """Return the offset at which the app goes on after a crash, 0 if it never committed, or None while the broker does not say."""
        place = TopicPartition(topic.get_topic_name(), 0)
        try:
            found = await asyncio.to_thread(self._consumer.committed, [place], LOOKUP_S)
        except KafkaException:
            return None
        return max(0, found[0].offset)


@contextmanager
def crash_only(part: Part) -> Iterator[None]:
    """End the process at once when the body raises.

    faust acknowledges what a failed agent was given, restarts the agent, and commits also when it stops: the records would be lost. A
    process that is gone commits nothing, and its successor gets them again.
    """
    try:
        yield
    except Exception as error:
        part.log.exception("ended by an error", error=f"{type(error).__name__}: {error}")
        os._exit(1)


def run_app(app: faust.App, part: Part, *, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the app until SIGTERM, or until one of its services fails.

    Parameters
    ----------
    last
        Awaited for a moment after the app has stopped.

    Raises
    ------
    RuntimeError
        When the app failed; nothing more is committed.
    """
    asyncio.run(_run(app, part, last))


async def _run(app: Any, part: Part, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    app.finalize()
    starting = asyncio.ensure_future(app.start())
    while not part.shutdown.requested and not app.crashed and not (starting.done() and starting.exception()):
        await asyncio.sleep(_POLL_S)
    failure = app.crash_reason or (starting.exception() if starting.done() else None)
    if failure is not None:
        text = f"expected the app to run on, got {type(failure).__name__}: {failure}, at {app.conf.id}"
        raise RuntimeError(text) from failure
    starting.cancel()
    await asyncio.wait_for(app.stop(), STOP_S)
    with suppress(TimeoutError):
        await asyncio.wait_for(last(), LAST_S)
