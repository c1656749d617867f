"""Serves the metrics and the readiness of a process over HTTP: `/metrics` and `/ready`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Waiting = Callable[[], Mapping[tuple[str, int], int]]
"""Tells how many records wait, per (topic, partition)."""


class PartitionLag(Collector):
    """Shows what waits on each partition that the process owns, asked for whenever somebody reads the metrics.

    Parameters
    ----------
    waiting
        Tells it; called from another thread.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def collect(self) -> Iterable[Metric]:
        """Return one gauge with a sample per partition."""
        family = GaugeMetricFamily("penstock_partition_lag", "Records that wait on a partition of the part.", labels=["topic", "partition"])
        for (topic, partition), lag in self._waiting().items():
            family.add_metric([topic, str(partition)], lag)
        return [family]


class Endpoint:
    """An HTTP server in a thread of its own.

    `/metrics` answers in the Prometheus format; `/ready` answers 200 while the process does its work and 503 before.

    Parameters
    ----------
    host, port
        Where it listens; port 0 takes a free one.
    registry
        The metrics.
    is_ready
        Tells whether the process does its work.
    """

    def __init__(self, *, host: str, port: int, registry: CollectorRegistry, is_ready: Callable[[], bool]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif path == "/ready":
                    ready = is_ready()
                    self._answer(200 if ready else 503, b"ready\n" if ready else b"not ready\n", "text/plain; charset=utf-8")
                else:
                    self._answer(404, b"expected /metrics or /ready\n", "text/plain; charset=utf-8")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoint", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._server.server_port

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
