"""A small server in place of a container, where a test is about what the platform and ``deploy`` do around one."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from answering import Handler, served
from rehearsal.hosting import Endpoint, Fleet
from rehearsal.simulator import Simulator

Answer = tuple[int, str, list[bytes]]
"""A status, a media type, and the chunks of a body."""


def each_row(content_type: str, body: bytes) -> Answer:
    """A line for each row: its first cell and a mark. A row that begins with ``bad`` is refused."""
    rows = [row for row in csv.reader(io.StringIO(body.decode(), newline=""), strict=True) if row]
    rows = rows[1 if "header=present" in content_type else 0 :]
    for number, row in enumerate(rows, 1):
        if row[0] == "bad":
            return 400, "application/json", [json.dumps({"error": {"message": f"row {number} is bad"}}).encode()]
    return 200, "text/csv", ["".join(f"{row[0]}!\n" for row in rows).encode()]


@dataclass
class StandIn:
    """What it was asked, and what it answers."""

    url: str = ""
    answer: Callable[[str, bytes], Answer] = each_row
    calls: list[tuple[str, bytes]] = field(default_factory=list)
    """The content types and bodies of all invocations."""
    parameters: dict[str, int] = field(default_factory=dict)
    """What ``/execution-parameters`` says; 404 if empty (B-02)."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A server that answers as long as the block runs."""
    said = StandIn()

    class Container(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parameters = json.dumps(said.parameters).encode() if self.path == "/execution-parameters" else b""
            self.answer(404 if parameters == b"{}" else 200, parameters)

        def do_POST(self) -> None:
            body = self.body()
            said.calls.append((self.headers["Content-Type"], body))
            status, kind, chunks = said.answer(self.headers["Content-Type"], body)
            if len(chunks) == 1:
                self.answer(status, chunks[0], {"Content-Type": kind})
                return
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in chunks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.close_connection = True  # an empty chunk ends a body; without one it broke off

    with served(Container) as address:
        said.url = address
        yield said


def in_service(platform: Simulator, container: StandIn, **config: Any) -> None:
    """An endpoint ``churn`` with the stand-in behind it; ``config`` are members of its configuration."""
    sagemaker, role = platform.sagemaker, f"arn:aws:iam::{'1' * 12}:role/r"
    variant: dict[str, Any] = {"VariantName": "all", "ModelName": "m"}
    serverless = config.pop("serverless", None)
    instances = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    variant |= {"ServerlessConfig": serverless} if serverless else instances
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant], **config)
    sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName="c")
    platform.endpoints["churn"] = Endpoint("InService", Fleet("c", container.url))
