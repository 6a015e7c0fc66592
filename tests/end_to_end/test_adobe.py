"""Adobe's operations on export jobs, with every documented property, and on datasets, from the sandbox's line alone."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.end_to_end.operations import CALLS, Operation, by_stub, seen, suite
from tests.end_to_end.sandbox import Running, sandbox

SUITE = suite("adobe")
CONNECTION = "connections/adobe"
ID = SUITE["destination_id"]
DESTINATION = f"{CONNECTION}/destinations/{ID}"
JOBS = "/data/core/ups/export/jobs"
DATASETS = "/data/foundation/catalog/dataSets"
PENDING, DONE = SUITE["jobs"]["PENDING"], SUITE["jobs"]["SUCCEEDED"]

OPERATIONS = [
    Operation("list export jobs", "ExportJobService/ListExportJobs", {"parent": CONNECTION}, ("GET", JOBS)),
    Operation(
        "create an export job",
        "ExportJobService/CreateExportJob",
        {"parent": CONNECTION, "exportJob": SUITE["export_job"]},
        ("POST", JOBS),
    ),
    Operation(
        "get an export job",
        "ExportJobService/GetExportJob",
        {"name": f"{CONNECTION}/exportJobs/{DONE}"},
        ("GET", f"{JOBS}/{DONE}"),
    ),
    Operation(
        "cancel an export job",
        "ExportJobService/CancelExportJob",
        {"name": f"{CONNECTION}/exportJobs/{PENDING}"},
        ("DELETE", f"{JOBS}/{PENDING}"),
    ),
]
DATASET_OPERATIONS = [
    Operation("list datasets", "DestinationService/ListDestinations", {"parent": CONNECTION}, ("GET", DATASETS)),
    Operation("get a dataset", "DestinationService/GetDestination", {"name": DESTINATION}, ("GET", f"{DATASETS}/{ID}")),
    Operation(
        "create a dataset",
        "DestinationService/CreateDestination",
        {"parent": CONNECTION, "destination": SUITE["destination"]},
        ("POST", DATASETS),
    ),
    Operation(
        "update a dataset",
        "DestinationService/UpdateDestination",
        {"destination": {"name": DESTINATION, **SUITE["destination_patch"]}},
        ("PATCH", f"{DATASETS}/{ID}"),
    ),
    Operation(
        "delete a dataset",
        "DestinationService/DeleteDestination",
        {"name": DESTINATION},
        ("DELETE", f"{DATASETS}/{ID}"),
    ),
]
REQUIRED_HEADERS = ["Authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with sandbox() as line:
        yield line


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("operation", [*OPERATIONS, *DATASET_OPERATIONS], ids=lambda operation: operation.documented)
def test_an_operation_is_seen_at_the_vendor_as_documented(
    running: Running, operation: Operation, call: Callable[[Running, Operation], None]
) -> None:
    running.control("adobe", "reset")
    call(running, operation)

    assert seen(running, "adobe", operation)
    calls = [entry for entry in running.journal("adobe") if entry["path"] not in SUITE["logins"]]
    for entry in calls:
        sent = {name.lower() for name in entry["headers"]}
        assert sent.issuperset(name.lower() for name in REQUIRED_HEADERS)


def test_every_documented_property_of_an_export_job_arrives(running: Running) -> None:
    job: dict[str, Any] = {
        "destination": DESTINATION,
        "audiences": [
            {"audienceId": SUITE["audience_id"], "namespace": "ups", "membershipStates": ["realized", "exited"]}
        ],
        "adobe": {
            "mergePolicyId": "example-merge-policy",
            "mergePolicyVersion": 1,
            "segmentPerBatch": True,
            "includeEmptyProfiles": True,
            "profileFields": ["identityMap", "personalEmail.address"],
            "schemaName": "_xdm.context.profile",
            "evaluateSegments": True,
            "qualificationInterval": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"},
            "profileIngestStartTime": "2026-01-03T00:00:00Z",
            "events": {
                "fields": ["environment.browserDetails.name"],
                "ingestInterval": {"startTime": "2026-01-04T00:00:00Z", "endTime": "2026-01-05T00:00:00Z"},
            },
        },
    }
    running.control("adobe", "reset")
    create = Operation("", "ExportJobService/CreateExportJob", {"parent": CONNECTION, "exportJob": job}, ("POST", JOBS))
    by_stub(running, create)

    (sent,) = [
        json.loads(entry["body"])
        for entry in running.journal("adobe")
        if (entry["method"], entry["path"]) == create.seen
    ]
    assert sent == {
        "fields": "identityMap,personalEmail.address",
        "mergePolicy": {"id": "example-merge-policy", "version": 1},
        "filter": {
            "segments": [{"segmentId": SUITE["audience_id"], "segmentNs": "ups", "status": ["realized", "exited"]}],
            "segmentQualificationTime": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"},
            "fromIngestTimestamp": "2026-01-03T00:00:00Z",
            "emptyProfiles": True,
        },
        "additionalFields": {
            "eventList": {
                "fields": "environment.browserDetails.name",
                "filter": {"fromIngestTimestamp": "2026-01-04T00:00:00Z", "toIngestTimestamp": "2026-01-05T00:00:00Z"},
            }
        },
        "destination": {"datasetId": ID, "segmentPerBatch": True},
        "schema": {"name": "_xdm.context.profile"},
        "evaluationInfo": {"segmentation": True},
    }
