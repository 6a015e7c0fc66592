"""Calls whose answer was lost, as their callers see them: a job with a `g~…` name, or an error."""

from typing import TypeVar, cast

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from adapters import names
from adapters.errors import OutcomeUnknown, Unavailable
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway import etags
from gateway.errors import read, status_of
from gateway.ledger.store import Row

T = TypeVar("T", bound=Message)

ALIAS = "g~"
"""How the id of a job begins whose vendor id was not known when it was started."""


def alias(row: Row) -> str:
    """Return the name of a job that the vendor's id is not known of."""
    return names.export_job(row.connection, f"{ALIAS}{row.id}")


def outcome(row: Row, kind: type[T]) -> T:
    """Return what a call comes to whose answer was lost.

    Raises:
        OutcomeUnknown: It is about no job, so there is nothing to name and follow.
    """
    if kind is ExportJob:
        return cast(T, job(row))
    if kind is UploadedFile:
        file = UploadedFile.FromString(row.wanted or b"")
        file.export_job.CopyFrom(job(row))
        return cast(T, file)
    message = (
        "the vendor's answer was lost. The gateway looks for what came of it in the vendor's own list; repeat the call "
        "with the same request_id to learn it, or look there yourself. It is not sent again"
    )
    raise OutcomeUnknown(message, metadata={"connection": row.connection})


def job(row: Row) -> ExportJob:
    """Return the job of a row: OUTCOME_UNKNOWN, or FAILED once it is known that it was never submitted."""
    found = ExportJob()
    if row.kind == UploadedFile.DESCRIPTOR.name:
        found.CopyFrom(UploadedFile.FromString(row.wanted or b"").export_job)
    else:
        found.MergeFromString(row.wanted or b"")
    found.name = alias(row)
    found.state = ExportJob.FAILED if row.settled_at else ExportJob.OUTCOME_UNKNOWN
    if row.status:
        found.error.CopyFrom(Status.FromString(row.status))
    found.create_time.FromMilliseconds(int(row.created_at * 1000))
    found.started_by_gateway = True
    etags.stamp(found)
    return found


def never_arrived(row: Row) -> bool:
    """Tell whether a refused call is one that the vendor has nothing of; what the vendor refuses has other reasons."""
    return read(Status.FromString(row.status or b"")).reason == Unavailable.reason


def never_submitted(row: Row) -> bytes:
    """Return the status of a call that the vendor has nothing of."""
    error = Unavailable("the call never reached the vendor: it is safe to make it again", resource=alias(row))
    error.connection = row.connection
    kept: bytes = status_of(error).SerializeToString()
    return kept
