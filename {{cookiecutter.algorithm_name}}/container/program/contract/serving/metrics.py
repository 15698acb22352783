"""Template: the metrics that GET /metrics returns, summed over the workers (M-50), if MODEL_SERVER_METRICS is true."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import time
from typing import Any

from flask import Response
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from contract.paths import Paths
from contract.serving import worker_states

LOADED = time()
REQUESTS = Counter("model_requests", "Requests to /invocations.", ["status"])
SECONDS = Histogram("model_request_seconds", "Time from a request's headers to its answer.")
WAITED = Histogram("model_queue_seconds", "Time a request waited for the predictions before it.")
ROWS = Histogram("model_request_rows", "Rows of a request.", buckets=[10**power for power in range(6)])
TOGETHER = Histogram("model_batch_requests", "Requests predicted together.", buckets=[1, 2, 4, 8, 16, 32, 64])
AGE = Gauge("model_age_seconds", "Time since the model was loaded.", multiprocess_mode="max")


def observe(event: Mapping[str, Any]) -> None:
    """Count a request, as it was logged."""
    REQUESTS.labels(event["status"]).inc()
    SECONDS.observe(event["total_ms"] / 1000)
    if "rows" in event:
        WAITED.observe(event["queue_ms"] / 1000)
        ROWS.observe(event["rows"])
        TOGETHER.observe(event["together"])


class Server(Collector):
    """Metrics of the server as a whole."""

    def collect(self) -> Iterable[Metric]:
        """Workers, revisions, and what nginx itself refused."""
        states = worker_states.SHARED
        yield GaugeMetricFamily("model_workers", "Workers that are ready.", states.alive)
        yield CounterMetricFamily("model_worker_restarts", "Workers that ended and were replaced.", states.restarts)
        revisions = GaugeMetricFamily("model_info", "Git revisions of the image.", labels=["trained_by", "served_by"])
        manifest = _read(Paths.from_environment().model / "manifest.json")
        revisions.add_metric([str(manifest.get("revision") or ""), os.environ.get("IMAGE_REVISION", "")], 1)
        yield revisions
        refused = CounterMetricFamily("nginx_refused", "Requests that nginx answered by itself.", labels=["status"])
        for status, count in _read(Path(os.environ.get("WORKER_SOCKETS", ""), "front.json")).items():
            refused.add_metric([status], count)
        yield refused


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def answer() -> Response:
    """The metrics of all workers, which they keep in files for ``serve``, in Prometheus's text format."""
    AGE.set(time() - LOADED)
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the one class that has no types
    server = CollectorRegistry()
    server.register(Server())
    return Response(generate_latest(registry) + generate_latest(server), content_type="text/plain; version=0.0.4")
