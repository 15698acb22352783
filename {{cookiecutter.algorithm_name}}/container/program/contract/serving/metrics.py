"""Template: what GET /metrics tells Prometheus, summed over the workers (M-50), where MODEL_SERVER_METRICS is true."""

import os
from collections.abc import Mapping
from time import time
from typing import Any

from flask import Response
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

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


def answer() -> Response:
    """The figures of all workers, which ``serve`` makes them keep in files, in Prometheus's text format."""
    AGE.set(time() - LOADED)
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type="text/plain; version=0.0.4")
