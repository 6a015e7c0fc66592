"""Segment's 11 documented operations and its syncs, from the sandbox's line alone."""

from collections.abc import Callable, Iterator

import pytest

from adapters.names import split_id
from tests.end_to_end.operations import CALLS, Operation, seen, suite
from tests.end_to_end.sandbox import Running, sandbox

SUITE = suite("segment")
CONNECTION = "connections/segment"
ID, SUBSCRIPTION_ID = SUITE["destination_id"], SUITE["subscription_id"]
DESTINATION = f"{CONNECTION}/destinations/{ID}"
SUBSCRIPTION = f"{DESTINATION}/subscriptions/{SUBSCRIPTION_ID}"
RUNNING = SUITE["jobs"]["RUNNING"]
DONE = SUITE["jobs"]["SUCCEEDED"]


def sync_path(job_id: str) -> str:
    _, _, model, sync = split_id(job_id, 4)
    return f"/reverse-etl-models/{model}/syncs/{sync}"


def syncs_path(job_id: str) -> str:
    _, subscription, model, _ = split_id(job_id, 4)
    return f"/reverse-etl-models/{model}/subscriptionId/{subscription}/syncs"


OPERATIONS = [
    Operation(
        "List Destinations",
        "DestinationService/ListDestinations",
        {"parent": CONNECTION},
        ("GET", "/destinations"),
    ),
    Operation(
        "Create Destination",
        "DestinationService/CreateDestination",
        {"parent": CONNECTION, "destination": SUITE["destination"]},
        ("POST", "/destinations"),
    ),
    Operation(
        "Get Destination", "DestinationService/GetDestination", {"name": DESTINATION}, ("GET", f"/destinations/{ID}")
    ),
    Operation(
        "Update Destination",
        "DestinationService/UpdateDestination",
        {"destination": {"name": DESTINATION, **SUITE["destination_patch"]}},
        ("PATCH", f"/destinations/{ID}"),
    ),
    Operation(
        "Delete Destination",
        "DestinationService/DeleteDestination",
        {"name": DESTINATION, "force": True},
        ("DELETE", f"/destinations/{ID}"),
    ),
    Operation(
        "List Delivery Metrics Summary from Destination",
        "DestinationService/QueryDeliveryMetrics",
        {"name": DESTINATION, **SUITE["metrics"]},
        ("GET", f"/destinations/{ID}/delivery-metrics"),
    ),
    Operation(
        "List Subscriptions from Destination",
        "DestinationService/ListSubscriptions",
        {"parent": DESTINATION},
        ("GET", f"/destinations/{ID}/subscriptions"),
    ),
    Operation(
        "Create Destination Subscription",
        "DestinationService/CreateSubscription",
        {"parent": DESTINATION, "subscription": SUITE["subscription"]},
        ("POST", f"/destinations/{ID}/subscriptions"),
    ),
    Operation(
        "Get Subscription from Destination",
        "DestinationService/GetSubscription",
        {"name": SUBSCRIPTION},
        ("GET", f"/destinations/{ID}/subscriptions/{SUBSCRIPTION_ID}"),
    ),
    Operation(
        "Update Subscription for Destination",
        "DestinationService/UpdateSubscription",
        {"subscription": {"name": SUBSCRIPTION, **SUITE["subscription_patch"]}},
        ("PATCH", f"/destinations/{ID}/subscriptions/{SUBSCRIPTION_ID}"),
    ),
    Operation(
        "Remove Subscription from Destination",
        "DestinationService/DeleteSubscription",
        {"name": SUBSCRIPTION},
        ("DELETE", f"/destinations/{ID}/subscriptions/{SUBSCRIPTION_ID}"),
    ),
]
SYNCS = [
    Operation(
        "start a sync",
        "ExportJobService/CreateExportJob",
        {"parent": CONNECTION, "exportJob": SUITE["export_job"]},
        ("POST", "/reverse-etl-syncs"),
    ),
    Operation(
        "a sync's status",
        "ExportJobService/GetExportJob",
        {"name": f"{CONNECTION}/exportJobs/{DONE}"},
        ("GET", sync_path(DONE)),
    ),
    Operation(
        "list syncs",
        "ExportJobService/ListExportJobs",
        {"parent": CONNECTION, "filter": SUITE["export_jobs_filter"]},
        ("GET", syncs_path(DONE)),
    ),
    Operation(
        "cancel a sync",
        "ExportJobService/CancelExportJob",
        {"name": f"{CONNECTION}/exportJobs/{RUNNING}"},
        ("POST", f"{sync_path(RUNNING)}/cancel"),
    ),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with sandbox() as line:
        yield line


def test_the_table_holds_every_documented_operation() -> None:
    assert len({operation.documented for operation in OPERATIONS}) == 11


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("operation", [*OPERATIONS, *SYNCS], ids=lambda operation: operation.documented)
def test_an_operation_is_seen_at_the_vendor_as_documented(
    running: Running, operation: Operation, call: Callable[[Running, Operation], None]
) -> None:
    running.control("segment", "reset")
    # Both tables and both callers together write more often in a minute than the vendor takes.
    running.control("segment", "switches", {"rate_limits": False})
    call(running, operation)

    assert seen(running, "segment", operation)
    assert all(entry["headers"]["Authorization"].startswith("Bearer ") for entry in running.journal("segment"))
