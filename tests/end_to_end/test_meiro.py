"""All 15 documented operations of Meiro, from the sandbox's line alone: by a Python stub, and by grpcurl."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from gateway.methods import METHODS
from tests.end_to_end.sandbox import BIN, ROOT, Running, sandbox

DESTINATIONS = "/api/segments/export/destinations"
EXPORTS = "/api/segments/300/exports"


class Operation(NamedTuple):
    """One operation of the vendor's, and the RPC that leads to it."""

    documented: str
    rpc: str
    request: dict[str, Any]
    seen: tuple[str, str]


def destination(destination_id: str) -> str:
    return f"connections/meiro/destinations/{destination_id}"


def job(job_id: str) -> str:
    return f"connections/meiro/exportJobs/{job_id}"


OPERATIONS = [
    Operation(
        "List All Segments Export Destinations",
        "DestinationService/ListDestinations",
        {"parent": "connections/meiro"},
        ("GET", DESTINATIONS),
    ),
    Operation(
        "Retrieve a Segment Export Destination",
        "DestinationService/GetDestination",
        {"name": destination("101")},
        ("GET", f"{DESTINATIONS}/101"),
    ),
    Operation(
        "Modify a Segment Export Destination",
        "DestinationService/UpdateDestination",
        {"destination": {"name": destination("101"), "displayName": "Renamed"}},
        ("PATCH", f"{DESTINATIONS}/101"),
    ),
    Operation(
        "Delete a Segment Export Destination",
        "DestinationService/DeleteDestination",
        {"name": destination("101")},
        ("DELETE", f"{DESTINATIONS}/101"),
    ),
    Operation(
        "Retrieve a Segment Export Destination's Last Running Export",
        "DestinationService/GetDestination",
        {"name": destination("105"), "view": "DESTINATION_VIEW_FULL"},
        ("GET", f"{DESTINATIONS}/105/last_running_export"),
    ),
    Operation(
        "List All Trashed Segments Export Destinations",
        "DestinationService/ListDestinations",
        {"parent": "connections/meiro", "filter": "state = DELETED"},
        ("GET", f"{DESTINATIONS}/trash"),
    ),
    Operation(
        "Restore a Trashed Segment Export Destination",
        "DestinationService/UndeleteDestination",
        {"name": destination("191")},
        ("PATCH", f"{DESTINATIONS}/trash/191"),
    ),
    Operation(
        "List All Segment Exports",
        "ExportJobService/ListExportJobs",
        {"parent": "connections/meiro", "filter": 'audiences.audience_id:"300"'},
        ("GET", EXPORTS),
    ),
    Operation(
        "Run Segment Export",
        "ExportJobService/CreateExportJob",
        {
            "parent": "connections/meiro",
            "exportJob": {"destination": destination("101"), "audiences": [{"audienceId": "301"}]},
        },
        ("POST", "/api/segments/301/exports"),
    ),
    Operation(
        "Retrieve a Segment Export",
        "ExportJobService/GetExportJob",
        {"name": job("300~1001")},
        ("GET", f"{EXPORTS}/1001"),
    ),
    Operation(
        "Cancel Segment Export",
        "ExportJobService/CancelExportJob",
        {"name": job("300~1006")},
        ("DELETE", f"{EXPORTS}/1006"),
    ),
    Operation(
        "Retrieve a Segment Export History List",
        "ExportJobService/ListExportJobRevisions",
        {"parent": job("300~1001")},
        ("GET", f"{EXPORTS}/1001/history"),
    ),
    Operation(
        "Retrieve a Segment's Export History Item",
        "ExportJobService/GetExportJobRevision",
        {"name": f"{job('300~1001')}/revisions/100102"},
        ("GET", f"{EXPORTS}/1001/history/100102"),
    ),
    Operation(
        "List All Segment Export Logs",
        "ExportJobService/ListExportJobLogEntries",
        {"parent": job("300~1002")},
        ("GET", f"{EXPORTS}/1002/logs"),
    ),
    Operation(
        "Download Segment Export",
        "ExportJobService/DownloadExportJob",
        {"name": job("300~1001")},
        ("GET", f"{EXPORTS}/1001/download"),
    ),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with sandbox() as line:
        yield line


def by_stub(running: Running, operation: Operation) -> None:
    """Call with messages made from the stubs, as a Python service does."""
    method = METHODS[f"/audiencegateway.v1.{operation.rpc}"]
    request = ParseDict(operation.request, method.request()).SerializeToString()
    channel: Any
    with grpc.insecure_channel(running.grpc) as channel:
        if method.name.startswith("Download"):
            assert len(list(channel.unary_stream(method.path)(request, timeout=10))) > 1
        else:
            assert channel.unary_unary(method.path)(request, timeout=10)


def by_grpcurl(running: Running, operation: Operation) -> None:
    """Call with the .proto files and nothing else."""
    command = [
        *(str(BIN / "grpcurl"), "-plaintext", "-d", json.dumps(operation.request)),
        *("-import-path", str(ROOT / "protos"), "-import-path", str(ROOT / "protos/third_party")),
    ]
    for file in ("destinations", "export_jobs"):
        command += ["-proto", f"audiencegateway/v1/{file}.proto"]
    done = subprocess.run(
        [*command, running.grpc, f"audiencegateway.v1.{operation.rpc}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")


def test_the_table_holds_every_documented_operation() -> None:
    assert len({operation.documented for operation in OPERATIONS}) == 15


@pytest.mark.parametrize("call", [by_stub, by_grpcurl])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.documented)
def test_an_operation_is_seen_at_the_vendor_as_documented(
    running: Running, operation: Operation, call: Callable[[Running, Operation], None]
) -> None:
    running.control("meiro", "reset")
    call(running, operation)

    seen = [(entry["method"], entry["path"]) for entry in running.journal("meiro")]
    assert operation.seen in seen
    assert all(entry["headers"].get("X-Access-Token") for entry in running.journal("meiro"))
