"""Every RPC of the contract with a valid request: as any vendor would get it, and as a vendor's seed allows it."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from audiencegateway.v1 import connections_pb2, destinations_pb2, export_jobs_pb2
from gateway.desk import VERBS
from gateway.methods import METHODS, Method

from .conftest import Vendor

RPCS: Mapping[str, Method] = {method.name: method for method in METHODS.values()}
STREAMED = ("Download", "Watch")
"""First words of the RPCs that answer with a stream."""

PARENT = "connections/{connection}"
ONE, JOB = f"{PARENT}/destinations/1", f"{PARENT}/exportJobs/1"
ID = "0f9d2b1a-5c4e-4d8f-9a3b-6e7c8d9f0a1b"
VALID: dict[str, dict[str, Any]] = {
    "GetConnection": {"name": PARENT},
    "ListConnections": {},
    "CheckConnection": {"name": PARENT},
    "GetDestination": {"name": ONE},
    "ListDestinations": {"parent": PARENT},
    "CreateDestination": {"parent": PARENT, "destination": {"display_name": "x"}},
    "UpdateDestination": {"destination": {"name": ONE, "display_name": "x"}},
    "DeleteDestination": {"name": ONE},
    "UndeleteDestination": {"name": ONE},
    "QueryDeliveryMetrics": {"name": ONE, "granularity": "DAY", "source_id": "1"},
    "GetSubscription": {"name": f"{ONE}/subscriptions/1"},
    "ListSubscriptions": {"parent": ONE},
    "CreateSubscription": {"parent": ONE, "subscription": {"display_name": "x"}},
    "UpdateSubscription": {"subscription": {"name": f"{ONE}/subscriptions/1", "display_name": "x"}},
    "DeleteSubscription": {"name": f"{ONE}/subscriptions/1"},
    "GetExportJob": {"name": JOB},
    "ListExportJobs": {"parent": PARENT},
    "CreateExportJob": {"parent": PARENT, "export_job": {"destination": ONE}},
    "CancelExportJob": {"name": JOB},
    "WaitExportJob": {"name": JOB},
    "WatchExportJob": {"name": JOB},
    "ResolveExportJob": {"name": f"{PARENT}/exportJobs/g~1", "never_submitted": True},
    "ListExportJobLogEntries": {"parent": JOB},
    "GetExportJobRevision": {"name": f"{JOB}/revisions/1"},
    "ListExportJobRevisions": {"parent": JOB},
    "DownloadExportJob": {"name": JOB},
    "IngestAudienceMembers": {
        "destination": ONE,
        "request_id": ID,
        "audience_members": [{"audience_id": "1", "never_expires": True, "operation": "ADD", "user_agent_id": "1"}],
    },
    "UploadAudienceMembers": {"header": {"destination": ONE, "request_id": ID}},
}
"""Requests that pass the contract's own validation, about things that need not be there."""


def verb_of(rpc: str) -> str:
    """Return the adapter's verb behind an RPC."""
    verb = RPCS[rpc].verb
    return VERBS.get(verb, verb)


def valid(vendor: Vendor, rpc: str) -> Message:
    """Return a request that nothing but the vendor's lack of the verb can be against."""
    return ParseDict(_filled(VALID[rpc], vendor.id), RPCS[rpc].request())


def call(vendor: Vendor, rpc: str, request: Message, **options: Any) -> Any:
    """Call an RPC; await what is returned, whether it is answered by a message or by a stream."""
    method: Any = next(getattr(stub, rpc) for stub in vendor.stubs if hasattr(stub, rpc))
    if rpc == "UploadAudienceMembers":
        return method(_sent(request), **options)
    answer = method(request, **options)
    return _whole(answer) if rpc.startswith(STREAMED) else answer


async def _sent(*requests: Message) -> AsyncIterator[Message]:
    for request in requests:
        yield request


async def _whole(answers: grpc.aio.UnaryStreamCall[Any, Any]) -> list[Message]:
    return [answer async for answer in answers]


def _filled(value: Any, connection: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, connection) for key, item in value.items()}
    return value.replace("{connection}", connection) if isinstance(value, str) else value


# What a vendor's seed allows. A key that its suite lacks skips the test.


def _renamed(vendor: Vendor) -> Message:
    return destinations_pb2.UpdateDestinationRequest(
        destination=destinations_pb2.Destination(name=vendor.destination(), display_name="Renamed by a test"),
        update_mask=FieldMask(paths=["display_name"]),
    )


def _subscription(vendor: Vendor) -> str:
    return f"{vendor.destination()}/subscriptions/{vendor['subscription_id']}"


def _changed_subscription(vendor: Vendor) -> Message:
    subscription = vendor.message("subscription_patch", destinations_pb2.Subscription(name=_subscription(vendor)))
    return destinations_pb2.UpdateSubscriptionRequest(subscription=subscription)


Make = Callable[[Vendor], Message]
D, J = destinations_pb2, export_jobs_pb2
READS: dict[str, Make] = {
    "CheckConnection": lambda v: connections_pb2.CheckConnectionRequest(name=v.connection),
    "GetDestination": lambda v: D.GetDestinationRequest(name=v.destination()),
    "ListDestinations": lambda v: D.ListDestinationsRequest(parent=v.connection),
    "GetSubscription": lambda v: D.GetSubscriptionRequest(name=_subscription(v)),
    "ListSubscriptions": lambda v: D.ListSubscriptionsRequest(parent=v.destination()),
    "GetExportJob": lambda v: J.GetExportJobRequest(name=v.job(v["jobs"]["SUCCEEDED"])),
    "ListExportJobs": lambda v: J.ListExportJobsRequest(parent=v.connection, filter=v["many_export_jobs_filter"]),
    "ListExportJobLogEntries": lambda v: J.ListExportJobLogEntriesRequest(parent=v.job(v["log_job_id"])),
    "ListExportJobRevisions": lambda v: J.ListExportJobRevisionsRequest(parent=v.job(v["revision_job_id"])),
    "DownloadExportJob": lambda v: J.DownloadExportJobRequest(name=v.job(v["download_job_id"])),
}
WRITES: dict[str, Make] = {
    "CreateDestination": lambda v: D.CreateDestinationRequest(
        parent=v.connection, destination=v.message("destination", D.Destination())
    ),
    "UpdateDestination": _renamed,
    "DeleteDestination": lambda v: D.DeleteDestinationRequest(name=v.destination(), force=True),
    "UndeleteDestination": lambda v: D.UndeleteDestinationRequest(name=v.destination("deleted_destination_id")),
    "CreateSubscription": lambda v: D.CreateSubscriptionRequest(
        parent=v.destination(), subscription=v.message("subscription", D.Subscription())
    ),
    "UpdateSubscription": _changed_subscription,
    "DeleteSubscription": lambda v: D.DeleteSubscriptionRequest(name=_subscription(v)),
    "CreateExportJob": lambda v: J.CreateExportJobRequest(
        parent=v.connection, export_job=v.message("export_job", J.ExportJob())
    ),
    # Not every vendor can stop what already runs, and not every one lets a job wait.
    "CancelExportJob": lambda v: J.CancelExportJobRequest(name=v.job(v["jobs"].get("PENDING") or v["jobs"]["RUNNING"])),
}
