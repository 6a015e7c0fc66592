"""Every RPC of the contract, asked with what a vendor's simulator says of its seed: by rule, for any vendor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.methods import FILES, METHODS, Method
from tests.conformance.client import Refusal, refusal
from tests.weather.weathers import NAMED, OK, Outcome

Suite = Mapping[str, Any]
Json = dict[str, Any]

WELL_FORMED: Suite = {
    "deleted_destination_id": "1",
    "subscription_id": "1",
    "destination": {"displayName": "Example"},
    "subscription": {"displayName": "Example"},
    "subscription_patch": {"displayName": "Example"},
    "export_job": {"destination": "connections/{connection}/destinations/1", "audiences": [{"audienceId": "1"}]},
    "metrics": {},
    "export_jobs_filter": "",
    "log_job_id": "1",
    "revision_job_id": "1",
    "revision_id": "1",
    "download_job_id": "1",
    "download_artifact_id": "",
    "member_destination_id": "1",
    "members": [{"operation": "REMOVE", "userAccountId": "1", "audienceId": "1"}],
}
"""What is asked for where the vendor has none, so that it is refused for that alone."""

C = "connections/{connection}"


def _destination(suite: Suite, key: str = "destination_id") -> str:
    return f"{C}/destinations/{suite[key]}"


def _job(suite: Suite, key: str = "") -> str:
    return f"{C}/exportJobs/{suite[key] if key else suite['jobs']['SUCCEEDED']}"


def _stoppable(suite: Suite) -> str:
    jobs = suite["jobs"]
    return f"{C}/exportJobs/{jobs.get('PENDING') or jobs['RUNNING']}"


def _subscription(suite: Suite) -> str:
    return f"{_destination(suite)}/subscriptions/{suite['subscription_id']}"


def _upload(suite: Suite) -> list[Json]:
    return [
        {"header": {"destination": _destination(suite, "member_destination_id"), "requestId": str(uuid4())}},
        {"batch": {"audienceMembers": suite["members"]}},
        {"finish": {"memberCount": str(len(suite["members"]))}},
    ]


REQUESTS: Mapping[str, Callable[[Suite], Json | list[Json]]] = {
    "GetConnection": lambda _: {"name": C},
    "ListConnections": lambda _: {},
    "CheckConnection": lambda _: {"name": C},
    "GetDestination": lambda s: {"name": _destination(s)},
    "ListDestinations": lambda _: {"parent": C, "pageSize": 2},
    "CreateDestination": lambda s: {"parent": C, "destination": s["destination"]},
    "UpdateDestination": lambda s: {"destination": {**s["destination_patch"], "name": _destination(s)}},
    "DeleteDestination": lambda s: {"name": _destination(s), "force": True},
    "UndeleteDestination": lambda s: {"name": _destination(s, "deleted_destination_id")},
    "QueryDeliveryMetrics": lambda s: {"name": _destination(s), **s["metrics"]},
    "GetSubscription": lambda s: {"name": _subscription(s)},
    "ListSubscriptions": lambda s: {"parent": _destination(s), "pageSize": 1},
    "CreateSubscription": lambda s: {"parent": _destination(s), "subscription": s["subscription"]},
    "UpdateSubscription": lambda s: {"subscription": {**s["subscription_patch"], "name": _subscription(s)}},
    "DeleteSubscription": lambda s: {"name": _subscription(s)},
    "GetExportJob": lambda s: {"name": _job(s)},
    "ListExportJobs": lambda s: {"parent": C, "filter": s["export_jobs_filter"], "pageSize": 2},
    "CreateExportJob": lambda s: {"parent": C, "exportJob": s["export_job"]},
    "CancelExportJob": lambda s: {"name": _stoppable(s)},
    "WaitExportJob": lambda s: {"name": _job(s)},
    "WatchExportJob": lambda s: {"name": _job(s)},
    "ResolveExportJob": lambda s: {"name": _job(s), "neverSubmitted": True},
    "ListExportJobLogEntries": lambda s: {"parent": _job(s, "log_job_id"), "pageSize": 1},
    "GetExportJobRevision": lambda s: {"name": f"{_job(s, 'revision_job_id')}/revisions/{s['revision_id']}"},
    "ListExportJobRevisions": lambda s: {"parent": _job(s, "revision_job_id"), "pageSize": 1},
    "DownloadExportJob": lambda s: {"name": _job(s, "download_job_id"), "artifactId": s["download_artifact_id"]},
    "IngestAudienceMembers": lambda s: {
        "destination": _destination(s, "member_destination_id"),
        "audienceMembers": s["members"],
    },
    "UploadAudienceMembers": _upload,
}

_DESCRIPTORS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
RPCS: Mapping[str, Method] = {method.name: method for method in METHODS.values()}


class Told(NamedTuple):
    """What a caller was told."""

    outcome: Outcome
    answers: Sequence[Message] = ()
    refusal: Refusal | None = None

    @property
    def text(self) -> str:
        """All of it, as text."""
        return f"{self.answers} {self.refusal}"

    @property
    def retry_after_s(self) -> float | None:
        """The wait that was asked for."""
        return self.refusal.retry_after_s if self.refusal else None


def filled(value: Any, connection: str) -> Any:
    """Return JSON with the id of the connection in it."""
    if isinstance(value, dict):
        return {key: filled(item, connection) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, connection) for item in value]
    return value.replace("{connection}", connection) if isinstance(value, str) else value


async def ask(
    channel: grpc.aio.Channel, rpc: str, suite: Suite, connection: str, timeout_s: float = 20.0, **more: Any
) -> Told:
    """Call an RPC of one connection to its end; *more* goes into its request."""
    method, descriptor = RPCS[rpc], _DESCRIPTORS[RPCS[rpc].path]
    said = filled(REQUESTS[rpc]({**WELL_FORMED, **suite}), connection)
    if isinstance(said, dict) and "request_id" in method.request.DESCRIPTOR.fields_by_name:
        said["requestId"] = str(uuid4())
    requests = [ParseDict({**one, **more}, method.request()) for one in (said if isinstance(said, list) else [said])]
    reply = GetMessageClass(descriptor.output_type)
    kind = f"{'stream' if isinstance(said, list) else 'unary'}_{'stream' if descriptor.server_streaming else 'unary'}"
    call = getattr(channel, kind)(
        method.path, request_serializer=method.request.SerializeToString, response_deserializer=reply.FromString
    )
    try:
        under_way = call(iter(requests) if isinstance(said, list) else requests[0], timeout=timeout_s)
        answers = [answer async for answer in under_way] if descriptor.server_streaming else [await under_way]
    except grpc.aio.AioRpcError as error:
        refused = refusal(error)
        return Told(Outcome(refused.code, refused.reason), refusal=refused)
    return Told(NAMED if any(map(_is_unknown, answers)) else OK, answers)


def _is_unknown(answer: Any) -> bool:
    """Tell whether an answer is a job, or has one, of which nobody knows whether it is there."""
    jobs = [answer, getattr(answer, "export_job", None), *(file.export_job for file in getattr(answer, "files", ()))]
    return any(isinstance(job, ExportJob) and job.state == ExportJob.OUTCOME_UNKNOWN for job in jobs)
