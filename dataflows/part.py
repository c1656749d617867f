"""The shell of every process ("part"): settings, log, metrics, readiness, shutdown, recovery; runs a bytewax flow.

A dataflow's program ends in ``def main() -> None: run_part("ingest", flow)``. A part with an engine of its own uses
``with hosted("catalog") as part:`` instead.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bytewax.dataflow import Dataflow
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from dataflows.endpoint import Endpoint, PartitionLag, Waiting
from dataflows.engine import run_to_end
from dataflows.kafka.shutdown import Shutdown
from dataflows.kafka.sizes import Sizes
from dataflows.logs import Log, open_log
from schemas.settings import Settings
from schemas.topics import load_topics

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

Count = Callable[[str, int], None]
"""Takes the name of what happened, and how often."""

_LOOK_S = 1.0
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
_GC_THRESHOLDS = (50_000, 20, 100)


class Part:
    """One process of the system and its surroundings; made by :func:`hosted` or :func:`run_part`.

    Parameters
    ----------
    name : str
        The name of the program. `settings.part`, where it is set, names the process instead (``feed-0``, ``feed-1``).
    settings : Settings, optional
        Default: from the environment.

    Attributes
    ----------
    name : str
        The name of the process: of its log, its port file, its recovery folder.
    program : str
        The name of the program, the same for all of its processes.
    settings : Settings
        What the process knows of its surroundings.
    log : Log
        Structured log; one JSON line a call, in ``<home>/logs/<name>.log``.
    shutdown : Shutdown
        Handed to every source, so that SIGTERM ends the flow with its last epoch closed.
    sizes : Sizes
        What each topic takes; handed to every sink.
    registry : CollectorRegistry
        The metrics of the process, served as ``/metrics`` beside ``/ready``.
    """

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.settings = Settings() if settings is None else settings
        self.name = self.settings.part if "part" in self.settings.model_fields_set else name
        self.program = name
        self.shutdown = Shutdown()
        self.registry = CollectorRegistry()
        self.log: Log = open_log(self.name, _private(self.settings.home / "logs") / f"{self.name}.log")
        self._topics: set[str] = set()
        self._endings: list[Callable[[], None]] = []
        self._is_ready = False
        self._ready = Gauge("penstock_ready", "1 when the part does its work.", registry=self.registry)
        self._processed = Counter("penstock_processed", "Records worked on.", registry=self.registry)
        self._last_progress = Gauge("penstock_last_progress_seconds", "Unix time of the last record worked on.", registry=self.registry)
        self._lag = Gauge("penstock_lag", "Records that wait in front of the part.", registry=self.registry)
        too_large = self.counter("output_too_large", "Records that were larger than their topic takes: cut, or set aside.", ["topic"])
        self.sizes = Sizes(load_topics().values(), prefix=self.settings.topic_prefix, count=lambda topic: too_large.labels(topic).inc())
        ProcessCollector(registry=self.registry)

    @property
    def group(self) -> str:
        """The consumer group of the part, the same for all of its processes."""
        return f"{self.settings.topic_prefix}penstock.{self.program}"

    @property
    def recovery_folder(self) -> Path:
        """Where snapshots of the part's state are kept."""
        return self.settings.home / "recovery" / self.name

    @property
    def checkpoints(self) -> str:
        """Where checkpoints of the part's shards are kept, the same for all of its processes."""
        folder = self.settings.checkpoints or str(self.settings.home / "recovery")
        return f"{folder.rstrip('/')}/{self.program}"

    def at_end(self, call: Callable[[], None]) -> None:
        """Call something once the flow has ended and all of its output is acknowledged."""
        self._endings.append(call)

    def topic(self, name: str) -> str:
        """Return the topic's name in the cluster, and remember that the part needs it.

        Parameters
        ----------
        name : str
            As it stands in topics.yaml.
        """
        full = self.settings.topic_prefix + name
        self._topics.add(full)
        return full

    def wait_for_topics(self) -> bool:
        """Block until the broker answers and has every topic that :meth:`topic` named; return False if shutdown was requested instead."""
        client = AdminClient({**self.settings.kafka(), "log_level": 0})
        wait_s = _FIRST_WAIT_S
        while self._topics and not self.shutdown.requested:
            try:
                missing = sorted(self._topics - client.list_topics(timeout=_LOOK_S).topics.keys())
            except KafkaException as error:
                self.log.warning("broker does not answer, waiting", bootstrap_servers=self.settings.bootstrap_servers, error=str(error))
            else:
                if not missing:
                    return True
                self.log.warning("topics are missing, waiting", missing=missing, do="run `penstock topics apply`")
            self._pause(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        return not self.shutdown.requested

    def ready(self) -> None:
        """Say that the part does its work from now on; start-up objects are taken out of garbage collection."""
        if self._is_ready:
            return
        self._is_ready = True
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        self._ready.set(1)
        self.log.info("ready")

    def progress(self, n: int) -> None:
        """Count `n` records worked on."""
        self._processed.inc(n)
        self._last_progress.set(time.time())

    def lag(self, n: int) -> None:
        """Say how many records wait in front of the part."""
        self._lag.set(n)

    def watch_lag(self, lag: Waiting) -> None:
        """Ask for what waits, per (topic, partition), whenever somebody reads the metrics; `lag` is called from another thread."""
        self._lag.set_function(lambda: sum(lag().values()))
        self.registry.register(PartitionLag(lag))

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter ``penstock_<name>_total`` of this part."""
        return Counter(f"penstock_{name}", about, labels, registry=self.registry)

    def count_by(self, outcomes: Counter) -> Count:
        """Return what counts by name: `records` are progress, all else goes to `outcomes` under its one label."""

        def count(what: str, number: int) -> None:
            if what == "records":
                self.progress(number)
            else:
                outcomes.labels(what).inc(number)

        return count

    def gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge ``penstock_<name>`` of this part."""
        return Gauge(f"penstock_{name}", about, labels, registry=self.registry)

    def histogram(self, name: str, about: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS_S) -> Histogram:
        """Make a histogram ``penstock_<name>`` of this part; the default buckets are seconds from 0.5 ms to 10 s."""
        return Histogram(f"penstock_{name}", about, labels, registry=self.registry, buckets=buckets)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.shutdown.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _serve(self) -> Callable[[], None]:
        """Serve metrics and readiness, write the port to ``<home>/run/<name>.port``, and return what ends that."""
        settings = self.settings
        endpoint = Endpoint(host=settings.metrics_host, port=settings.metrics_port, registry=self.registry, is_ready=lambda: self._is_ready)
        port_file = _private(settings.home / "run") / f"{self.name}.port"
        part = port_file.with_suffix(".port.part")
        part.write_text(f"{endpoint.port}\n", encoding="ascii")
        part.replace(port_file)

        def end() -> None:
            port_file.unlink(missing_ok=True)
            endpoint.close()

        return end


@contextmanager
def hosted(name: str, settings: Settings | None = None) -> Iterator[Part]:
    """Give the body a running part: log, metrics and signal handlers are up.

    Raises
    ------
    SystemExit
        With code 1 when the body raises; the exception is logged, traceback included, as one line.
    """
    os.umask(0o077)
    part = Part(name, settings)
    part.shutdown.on_signals()
    end = part._serve()
    part.log.info("started", pid=os.getpid(), bootstrap_servers=part.settings.bootstrap_servers)
    try:
        yield part
    except Exception as error:
        part.log.exception("ended by an error", error=_root_cause(error))
        raise SystemExit(1) from None
    finally:
        end()
    part.log.info("ended")


def run_part(
    name: str,
    flow: Callable[[Part], Dataflow],
    *,
    recovery: bool = True,
    snapshot_interval: timedelta = timedelta(seconds=2),
    ready_at_start: bool = True,
) -> None:
    """Run a dataflow as a part of the system until it ends or SIGTERM comes.

    Parameters
    ----------
    name : str
        The name of the part.
    flow : Callable[[Part], Dataflow]
        Builds the flow; it names its topics by `part.topic` and hands `part.shutdown` to its sources.
    recovery : bool
        Keep snapshots of the state on disk, so that it is exact after a crash. bytewax ends such a flow at once when it has
        neither a partitioned source nor a stateful step.
    snapshot_interval : timedelta
        Length of an epoch: the state that is redone after a crash is at most this old.
    ready_at_start : bool
        Count as ready once all topics exist; False: the flow calls `part.ready()` itself, after it has loaded its tables.

    Raises
    ------
    SystemExit
        With code 1 when the flow raises.
    """
    with hosted(name) as part:
        dataflow = flow(part)
        if not part.wait_for_topics():
            return
        if ready_at_start:
            part.ready()
        run_to_end(dataflow, epoch=snapshot_interval, store=part.recovery_folder if recovery else None)
        for call in part._endings:
            call()


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
