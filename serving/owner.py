"""Claims the topics of a prefix for one system, and refuses to start a second one on them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog
from confluent_kafka import KafkaException, Message

from schemas.settings import Settings
from schemas.system import SystemRecord
from serving.broker import TopicMissing
from serving.errors import ConfigError, ContractError, PenstockError
from serving.local.home import Home
from serving.local.processes import write_whole
from serving.publisher import Publisher
from serving.topic_reader import TopicReader, decoded

TOPIC = "control.system"
KEY = "system"
BEAT_S = 5.0
SILENT_AFTER_S = 20.0
"""A system that has not written for so long counts as one that does not run."""
_ANSWER_WITHIN_S = 10.0

_log = structlog.get_logger("penstock.supervisor")


class Owner(NamedTuple):
    """The newest record of a system, and the broker's stamp of it in epoch milliseconds."""

    record: SystemRecord
    stamped_ms: int

    def runs(self, now_ms: int) -> bool:
        """Tell whether the system was alive a moment ago."""
        return self.record.running and now_ms - self.stamped_ms < SILENT_AFTER_S * 1_000

    def described(self, now_ms: int) -> str:
        """Return which system it is and how it is, for people."""
        age_s = max(0, now_ms - self.stamped_ms) / 1_000
        how = "runs" if self.runs(now_ms) else f"was last heard of {age_s:,.0f} s ago" if self.record.running else "is down"
        return f"those of system {self.record.system_id} (home {self.record.home} on {self.record.host}), which {how}"


def system_id(home: Home) -> str:
    """Return the id of a home's system, made once."""
    if not known_id(home):
        write_whole(_id_file(home), uuid.uuid4().hex + "\n")
    return known_id(home)


def known_id(home: Home) -> str:
    """Return the id of a home's system, empty where it has none yet."""
    try:
        return _id_file(home).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _id_file(home: Home) -> Path:
    return home.root / "system.id"


def own_record(home: Home, *, up_since_ms: int, running: bool = True) -> SystemRecord:
    """Return what a home's system writes of itself at this moment."""
    return SystemRecord(
        system_id=system_id(home),
        host=_host(),
        home=_place(home),
        up_since_ms=up_since_ms,
        at_ms=time.time_ns() // 1_000_000,
        running=running,
    )


def newest_owner(settings: Settings) -> Owner | None:
    """Return whose the topics are, None where nobody's.

    Raises
    ------
    ServiceError
        If the broker does not answer.
    """
    try:
        with TopicReader(settings, [TOPIC], new_topic_s=0.0) as reader:
            return _newest(reader)
    except TopicMissing:
        return None


def refuse_second(settings: Settings, home: Home, *, take_over: bool) -> None:
    """Refuse to start where the topics are another system's.

    Parameters
    ----------
    settings : Settings
        The broker and the prefix.
    home : Home
        Whose system is to start.
    take_over : bool
        Take the topics of a system that is gone for good.

    Raises
    ------
    ConfigError
        If they are another's, and it runs, or they are not to be taken over.
    ServiceError
        If the broker does not answer.
    """
    prefix = f"the prefix {settings.topic_prefix!r}" if settings.topic_prefix else "no prefix"
    owner, now_ms = newest_owner(settings), time.time_ns() // 1_000_000
    if owner is None or not is_other(owner, home, now_ms):
        return
    refuse(
        owner,
        now_ms,
        take_over=take_over,
        expected=f"topics that are nobody else's ({prefix})",
        where=f"{settings.topic_prefix}{TOPIC} on {settings.bootstrap_servers}",
        another="with another PENSTOCK_TOPIC_PREFIX",
    )


def refuse(owner: Owner, now_ms: int, *, take_over: bool, expected: str, where: str, another: str) -> None:
    """Refuse what is another system's, unless it is to be taken over and the other one does not run.

    Raises
    ------
    ConfigError
        Which names the other one, what would be nobody's (`another`), and how to take over what is lost.
    """
    runs = owner.runs(now_ms)
    if take_over and not runs:
        return
    over = "or start it from its own home; if that is lost, `penstock up --take-over` takes what it had"
    if runs:
        over = f"or stop it there; {SILENT_AFTER_S:g} s after it is gone, `penstock up --take-over` takes what it had"
    raise ConfigError(expected=expected, got=owner.described(now_ms), where=where, do=f"start this one beside it {another}, {over}")


def is_other(owner: Owner, home: Home, now_ms: int) -> bool:
    """Tell whether something is another system's; a copy of this home that runs elsewhere is another one."""
    if owner.record.system_id != known_id(home):
        return True
    return owner.runs(now_ms) and (owner.record.host, owner.record.home) != (_host(), _place(home))


def _host() -> str:
    return socket.gethostname()[:256]


def _place(home: Home) -> str:
    return str(home.root)[:4_096]


class Heart(threading.Thread):
    """Writes every few seconds that this system runs, and notices when another one that runs has taken the topics.

    Parameters
    ----------
    settings : Settings
        The broker and the prefix.
    home : Home
        Whose system it is.
    beside : Callable[[SystemRecord], str]
        Says the same elsewhere, and returns why that is not ours any more, or nothing.
    """

    def __init__(self, settings: Settings, home: Home, beside: Callable[[SystemRecord], str]) -> None:
        super().__init__(name="heart", daemon=True)
        self.fault = ""
        self._settings = settings
        self._home = home
        self._beside = beside
        self._up_since_ms = time.time_ns() // 1_000_000
        self._ended = threading.Event()
        self._claimed = False

    def run(self) -> None:
        """Beat until :meth:`end`, or until the topics are another's; a broker that does not answer is asked again."""
        while not self._ended.is_set():
            try:
                with (
                    TopicReader(self._settings, [TOPIC]) as reader,
                    Publisher(self._settings.kafka(), topic_prefix=self._settings.topic_prefix) as publisher,
                ):
                    self._beat(reader, publisher)
                    return
            except (PenstockError, KafkaException, OSError) as error:
                _log.warning("could not say that this system runs", error=str(error))
                self._ended.wait(BEAT_S)

    def end(self) -> None:
        """Say that the system is down, where the topics are still ours, and stop."""
        self._ended.set()
        self.join(timeout=_ANSWER_WITHIN_S + 1.0)

    def _beat(self, reader: TopicReader, publisher: Publisher) -> None:
        while True:
            running = not self._ended.is_set()
            owner = _newest(reader) if self._claimed else None
            now_ms = time.time_ns() // 1_000_000
            if owner is not None and owner.runs(now_ms) and is_other(owner, self._home, now_ms):
                self.fault = f"expected topics that are ours, got {owner.described(now_ms)}, at {self._settings.topic_prefix}{TOPIC}"
                return
            record = own_record(self._home, up_since_ms=self._up_since_ms, running=running)
            publisher.publish(TOPIC, KEY, record)
            publisher.flush(_ANSWER_WITHIN_S)
            self._claimed = True
            self.fault = self._beside(record)
            if not running or self.fault:
                return
            self._ended.wait(BEAT_S)


def _newest(reader: TopicReader) -> Owner | None:
    return reader.newest(TOPIC, _owner_of)


def _owner_of(message: Message) -> Owner | None:
    """Return whose the topics are by a record; None by a deleted one, or one that says nothing of the kind."""
    if message.value() is None or message.key() != KEY.encode():
        return None
    with contextlib.suppress(ContractError):
        return Owner(decoded(SystemRecord, message), message.timestamp()[1])
    return None
