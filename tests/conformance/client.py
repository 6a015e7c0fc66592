"""The client's side: the stubs of every service over one channel, and errors as a client reads them."""

from typing import Any, NamedTuple

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from audiencegateway.v1.connections_pb2_grpc import ConnectionServiceStub
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from audiencegateway.v1.export_jobs_pb2_grpc import ExportJobServiceStub
from audiencegateway.v1.members_pb2_grpc import AudienceMemberServiceStub


class Stubs(NamedTuple):
    """The client side of every service, over one channel."""

    channel: Any
    connections: Any
    destinations: Any
    export_jobs: Any
    members: Any


def stubs(channel: grpc.aio.Channel) -> Stubs:
    return Stubs(
        channel,
        ConnectionServiceStub(channel),
        DestinationServiceStub(channel),
        ExportJobServiceStub(channel),
        AudienceMemberServiceStub(channel),
    )


class Refusal(NamedTuple):
    """An error as a client sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    violations: list[tuple[str, str]]
    """Field and reason of each."""
    retry_after_s: float | None
    resource: str
    size: int


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Read an error's details as a client does."""
    raw = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    status = Status.FromString(raw if isinstance(raw, bytes) else raw.encode())
    info, bad, retry, resource = ErrorInfo(), BadRequest(), RetryInfo(), ResourceInfo()
    for detail in status.details:
        for message in (info, bad, retry, resource):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        [(violation.field, violation.reason) for violation in bad.field_violations],
        retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
        resource.resource_name,
        len(raw),
    )


async def refused(call: Any) -> Refusal:
    """Await a call that must be refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    raise AssertionError("the call was answered")
