"""What the contract's annotations can't say of a request: ranges, sizes, and fields that depend on each other.

Ranges are INVALID_FIELD, sizes LIMIT_EXCEEDED. What is above a documented maximum of ours (`page_size` 500, `timeout`
300 s) is coerced by its user, not refused. Members are checked by the upload code, which reads each of them anyway.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from google.protobuf.message import Message

from audiencegateway.v1.destinations_pb2 import CreateSubscriptionRequest, Subscription
from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob, ResolveExportJobRequest
from gateway.annotations import fields
from gateway.findings import Finding, finding

Rule = Callable[[Any, str], Iterator[Finding]]
"""Yields what is wrong with a message that stands at a path, the empty one for the request itself."""

MINIMUMS: Mapping[str, int] = {
    "page_size": 0,
    "read_offset": 0,
    "first_member_index": 0,
    "member_count": 0,
    # Seconds.
    "timeout": 0,
    "heartbeat_interval": 1,
}
"""Of the fields of these names."""

MAX_CHARS = 1024
MAX_CHARS_OF: Mapping[str, int] = {
    "description": 64 * 1024,
    "trigger": 64 * 1024,  # a vendor's query
    "icon": 64 * 1024,  # may be the picture itself, as text
    "filter": 64 * 1024,  # filters have a limit of their own, with a position in its error
    "page_token": 64 * 1024,  # over many connections it holds a cursor of each
}
MAX_ITEMS = 10_000
MAX_ITEMS_OF: Mapping[str, int] = {
    "IngestAudienceMembersRequest.audience_members": 10_000,
    "UploadBatch.audience_members": 5_000,
}
MAX_KEYS = 1_000
"""Of a map."""
MAX_DATA_BYTES = 256 * 1024
"""Of a Struct, or of a value of a map."""
MAX_DATA_DEPTH = 20


def _arms_with(resource: type[Message], name: str) -> frozenset[str]:
    arms = (field for field in fields(resource.DESCRIPTOR) if field.arm and field.message)
    return frozenset(arm.name for arm in arms if arm.message and name in arm.message.fields_by_name)


ARMS_WITH_EVERYBODY = _arms_with(ExportJob, "all_profiles")
ARMS_WITH_SCHEDULE = _arms_with(Subscription, "schedule")


def everybody(job: ExportJob, at: str, arm: str) -> Iterator[Finding]:
    """Yield what is wrong with the audiences of a job whose vendor could export everybody by a forgotten field."""
    everybody_is_meant = getattr(job, arm).all_profiles
    if job.audiences and everybody_is_meant:
        yield finding(f"{at}.{arm}.all_profiles", "can't be set together with `audiences`")
    elif not job.audiences and not everybody_is_meant:
        yield finding(f"{at}.audiences", f"is required, unless `{arm}.all_profiles` is set")


def _job(job: ExportJob, at: str) -> Iterator[Finding]:
    arm = job.WhichOneof("vendor_spec")
    if not arm:
        return
    if arm in ARMS_WITH_EVERYBODY:
        yield from everybody(job, at, arm)
    spec = getattr(job, arm)
    for field in fields(spec.DESCRIPTOR):
        name = getattr(spec, field.name) if field.reference == "Subscription" else ""
        if name and job.destination and not name.startswith(f"{job.destination}/"):
            yield finding(f"{at}.{arm}.{field.name}", "is not of the job's `destination`")


def _schedule(request: CreateSubscriptionRequest, _at: str) -> Iterator[Finding]:
    arm = request.subscription.WhichOneof("vendor_config")
    if arm in ARMS_WITH_SCHEDULE and getattr(request.subscription, arm).HasField("schedule"):
        yield finding(f"subscription.{arm}.schedule", "can be set by UpdateSubscription only")


def _resolution(request: ResolveExportJobRequest, _at: str) -> Iterator[Finding]:
    arm = request.WhichOneof("resolution")
    if not arm or not getattr(request, arm):
        yield finding("resolution", "is required: `export_job`, or `never_submitted` as true")


def _interval(interval: Any, at: str) -> Iterator[Finding]:  # noqa: ANN401 - google.type has no types
    both = interval.HasField("start_time") and interval.HasField("end_time")
    start, end = interval.start_time, interval.end_time
    if both and (start.seconds, start.nanos) >= (end.seconds, end.nanos):
        yield finding(at, "must start before it ends")


def _one_connection(request: Message, _at: str, *, first: str, second: str) -> Iterator[Finding]:
    one, other = ("/".join(_get(request, path).split("/")[:2]) for path in (first, second))
    # What is no name, or names all connections, is refused as such.
    if one != other and one.startswith("connections/") and one != "connections/-" and other.startswith("connections/"):
        yield finding(second, f"is of another connection than `{first}`")


def _get(message: Any, path: str) -> Any:  # noqa: ANN401 - the table below knows what they are
    for name in path.split("."):
        message = getattr(message, name)
    return message


RULES: Mapping[str, tuple[Rule, ...]] = {
    "google.type.Interval": (_interval,),
    ExportJob.DESCRIPTOR.full_name: (_job,),
    CreateExportJobRequest.DESCRIPTOR.full_name: (
        partial(_one_connection, first="parent", second="export_job.destination"),
    ),
    CreateSubscriptionRequest.DESCRIPTOR.full_name: (_schedule,),
    ResolveExportJobRequest.DESCRIPTOR.full_name: (
        _resolution,
        partial(_one_connection, first="name", second="export_job"),
    ),
}
"""By type of message, wherever one stands in a request."""
