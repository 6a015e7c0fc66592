"""What the ledger keeps of a resource, and of a refusal: nothing of members, no secrets, no words of a vendor's."""

from typing import TypeVar

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from adapters.errors import ApiError, Fault, VendorError, Violation
from audiencegateway.v1.export_jobs_pb2 import RecordErrorCount
from gateway.annotations import fields
from gateway.errors import read, status_of

T = TypeVar("T", bound=Message)


def asked(resource: T) -> T:
    """Return what a resource to be made is looked for by: what a caller may write, but no Struct."""
    bare = type(resource)()
    bare.CopyFrom(resource)
    for field in fields(bare.DESCRIPTOR):
        if not field.writable:
            bare.ClearField(field.name)
    _clear_structs(bare)
    return bare


def result(message: Message) -> bytes:
    """Return what is kept of what a call came to: as it was answered, but no Struct, and no words of a vendor's."""
    bare = type(message)()
    bare.CopyFrom(message)
    _clear_structs(bare)
    kept: bytes = bare.SerializeToString()
    return kept


def refusal(error: ApiError) -> bytes:
    """Return what is kept of a refusal that is said again to whoever repeats the call."""
    kept: bytes = status_of(_in_our_words(error)).SerializeToString()
    return kept


def refused(status: bytes) -> VendorError:
    """Return the refusal again."""
    return read(Status.FromString(status))


def _in_our_words(error: ApiError) -> ApiError:
    """Return *error* without what the vendor said, which might name a member."""
    cause = error if isinstance(error, VendorError) else error.__cause__
    if not isinstance(cause, VendorError):
        return error
    violations = [Violation(field, "refused by the vendor", reason) for field, _, reason in error.violations]
    fault = Fault(http_status=cause.fault.http_status, code=cause.fault.code, request_id=cause.fault.request_id)
    bare = VendorError(
        error.message,
        fault=fault,
        reason=error.reason,
        metadata=error.metadata,
        violations=violations,
        resource=error.resource,
        retry_after_s=error.retry_after_s,
    )
    bare.vendor, bare.connection = cause.vendor, cause.connection
    return bare


def _clear_structs(message: Message) -> None:
    """Take every Struct out: a setting in it may be a secret, under whatever name, and nothing is looked for by one.

    Of a job's error the details go too, and why records failed, which say what the vendor says.
    """
    for field in fields(message.DESCRIPTOR):
        if field.struct or field.message is RecordErrorCount.DESCRIPTOR:
            message.ClearField(field.name)
        elif field.message is Status.DESCRIPTOR and field.populated(message):
            getattr(message, field.name).ClearField("details")
        elif field.ours and field.populated(message):
            value = getattr(message, field.name)
            for one in value if field.repeated else [value]:
                _clear_structs(one)
