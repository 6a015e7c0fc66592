"""All 15 documented operations of Meiro, from the sandbox's line alone: by a Python stub, and by grpcurl."""

from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.operations import CALLS, Operation, seen
from tests.end_to_end.sandbox import Running, sandbox

DESTINATIONS = "/api/segments/export/destinations"
EXPORTS = "/api/segments/300/exports"


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


def test_the_table_holds_every_documented_operation() -> None:
    assert len({operation.documented for operation in OPERATIONS}) == 15


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.documented)
def test_an_operation_is_seen_at_the_vendor_as_documented(
    running: Running, operation: Operation, call: Callable[[Running, Operation], None]
) -> None:
    running.control("meiro", "reset")
    call(running, operation)

    assert seen(running, "meiro", operation)
    assert all(entry["headers"].get("X-Access-Token") for entry in running.journal("meiro"))
