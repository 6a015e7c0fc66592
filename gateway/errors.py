"""The one table from reasons to gRPC codes, and the status that carries an error to the caller."""

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from adapters import names
from adapters.errors import ApiError, Fault, VendorError, Violation

DOMAIN = "audiencegateway.internal"
MAX_DETAILS_BYTES = 6 * 1024
"""gRPC drops a whole error whose trailers exceed 8 KiB."""
MAX_VIOLATIONS = 20
MAX_TEXT_CHARS = 512

_C = grpc.StatusCode
CODES: Mapping[str, grpc.StatusCode] = {
    "INVALID_FIELD": _C.INVALID_ARGUMENT,
    "INVALID_RESOURCE_NAME": _C.INVALID_ARGUMENT,
    "INVALID_PAGE_TOKEN": _C.INVALID_ARGUMENT,
    "INVALID_FILTER": _C.INVALID_ARGUMENT,
    "INVALID_ORDER_BY": _C.INVALID_ARGUMENT,
    "INVALID_UPDATE_MASK": _C.INVALID_ARGUMENT,
    "IMMUTABLE_FIELD": _C.INVALID_ARGUMENT,
    "VENDOR_MISMATCH": _C.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": _C.INVALID_ARGUMENT,
    "LIMIT_EXCEEDED": _C.INVALID_ARGUMENT,
    "UPLOAD_PROTOCOL": _C.INVALID_ARGUMENT,
    "UPLOAD_INCOMPLETE": _C.INVALID_ARGUMENT,
    "REJECTED_BY_VENDOR": _C.INVALID_ARGUMENT,
    "FIELD_NOT_SUPPORTED_BY_VENDOR": _C.INVALID_ARGUMENT,
    "FILTER_REQUIRED": _C.INVALID_ARGUMENT,
    "CONNECTION_NOT_FOUND": _C.NOT_FOUND,
    "DESTINATION_NOT_FOUND": _C.NOT_FOUND,
    "SUBSCRIPTION_NOT_FOUND": _C.NOT_FOUND,
    "EXPORT_JOB_NOT_FOUND": _C.NOT_FOUND,
    "REVISION_NOT_FOUND": _C.NOT_FOUND,
    "ARTIFACT_NOT_FOUND": _C.NOT_FOUND,
    "AUDIENCE_NOT_FOUND": _C.NOT_FOUND,
    "DESTINATION_ALREADY_EXISTS": _C.ALREADY_EXISTS,
    "DESTINATION_NOT_DELETED": _C.ALREADY_EXISTS,
    "DESTINATION_DISABLED": _C.FAILED_PRECONDITION,
    "DESTINATION_IN_USE": _C.FAILED_PRECONDITION,
    "EXPORT_JOB_NOT_CANCELLABLE": _C.FAILED_PRECONDITION,
    "EXPORT_JOB_NOT_DOWNLOADABLE": _C.FAILED_PRECONDITION,
    "EXPORT_ALREADY_RUNNING": _C.FAILED_PRECONDITION,
    # The gateway's credential is wrong, not the caller's.
    "VENDOR_CREDENTIALS_REJECTED": _C.FAILED_PRECONDITION,
    "VENDOR_PERMISSION_MISSING": _C.FAILED_PRECONDITION,
    "DESTINATION_HAS_SUBSCRIPTIONS": _C.FAILED_PRECONDITION,
    "EXPORT_JOB_NOT_UNRESOLVED": _C.FAILED_PRECONDITION,
    "VENDOR_JOB_ALREADY_ADOPTED": _C.FAILED_PRECONDITION,
    "NOT_SUPPORTED_BY_VENDOR": _C.UNIMPLEMENTED,
    "ETAG_MISMATCH": _C.ABORTED,
    "REQUEST_IN_PROGRESS": _C.ABORTED,
    "VENDOR_CONFLICT": _C.ABORTED,
    "VENDOR_RATE_LIMITED": _C.RESOURCE_EXHAUSTED,
    "VENDOR_QUOTA_EXHAUSTED": _C.RESOURCE_EXHAUSTED,
    "GATEWAY_RATE_LIMITED": _C.RESOURCE_EXHAUSTED,
    "GATEWAY_OVERLOADED": _C.RESOURCE_EXHAUSTED,
    "VENDOR_UNAVAILABLE": _C.UNAVAILABLE,
    "VENDOR_CIRCUIT_OPEN": _C.UNAVAILABLE,
    "GATEWAY_SHUTTING_DOWN": _C.UNAVAILABLE,
    "STORE_UNAVAILABLE": _C.UNAVAILABLE,
    "DOWNLOAD_INTERRUPTED": _C.UNAVAILABLE,
    "VENDOR_TIMEOUT": _C.DEADLINE_EXCEEDED,
    "OUTCOME_UNKNOWN": _C.UNKNOWN,
    # Of jobs, never of calls.
    "EXPORT_JOB_FAILED": _C.UNKNOWN,
    "CALLER_UNAUTHENTICATED": _C.UNAUTHENTICATED,
    "CALLER_NOT_ALLOWED": _C.PERMISSION_DENIED,
    "VENDOR_PROTOCOL": _C.INTERNAL,
    "INTERNAL": _C.INTERNAL,
}
RETRY_AFTER_S: Mapping[str, float] = {
    "VENDOR_UNAVAILABLE": 1.0,
    "VENDOR_RATE_LIMITED": 1.0,
    "GATEWAY_SHUTTING_DOWN": 1.0,
    "GATEWAY_OVERLOADED": 1.0,
    "STORE_UNAVAILABLE": 1.0,
    "DOWNLOAD_INTERRUPTED": 1.0,
    "REQUEST_IN_PROGRESS": 1.0,
}
"""What RetryInfo says where nobody named a wait."""


def code_of(error: ApiError) -> grpc.StatusCode:
    """Return the gRPC code of *error*."""
    return CODES[error.reason]


def status_of(error: ApiError) -> Status:
    """Return *error* as a google.rpc.Status whose details stay within `MAX_DETAILS_BYTES`."""
    status = Status(code=_number(CODES[error.reason]), message=error.message[:MAX_TEXT_CHARS])
    room = MAX_DETAILS_BYTES - status.ByteSize()
    for detail in _details(error):
        packed = AnyMessage()
        packed.Pack(detail)
        if packed.ByteSize() + 8 > room:  # 8: the field's tag and length
            continue
        room -= packed.ByteSize() + 8
        status.details.append(packed)
    return status


def read(status: Status) -> VendorError:
    """Return the error that `status_of` made *status* of, in so far as it is told by it; as one of a vendor's."""
    info, bad, retry, resource = ErrorInfo(), BadRequest(), RetryInfo(), ResourceInfo()
    for detail in status.details:
        for message in (info, bad, retry, resource):
            detail.Unpack(message)
    metadata = dict(info.metadata)
    vendor, connection = metadata.pop("vendor", ""), metadata.pop("connection", "")
    error = VendorError(
        status.message,
        fault=Fault(
            http_status=int(metadata.pop("vendorHttpStatus", "0")),
            code=metadata.pop("vendorCode", ""),
            request_id=metadata.pop("vendorRequestId", ""),
            message=metadata.pop("vendorMessage", ""),
        ),
        reason=info.reason,
        metadata=metadata,
        violations=[Violation(one.field, one.description, one.reason) for one in bad.field_violations],
        resource=resource.resource_name,
        retry_after_s=retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
    )
    error.vendor, error.connection = vendor, connection
    return error


def internal(reference: str) -> ApiError:
    """Return what a caller hears of something that should not have happened; the log knows the rest."""
    return ApiError(f"internal error, see the gateway's log for {reference}", metadata={"reference": reference})


def _number(code: grpc.StatusCode) -> int:
    number: int = Code.Value(code.name)
    return number


def _details(error: ApiError) -> list[Message]:
    """Return the details of *error*, what matters most first."""
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error))]
    wait_s = error.retry_after_s if error.retry_after_s is not None else RETRY_AFTER_S.get(error.reason)
    if wait_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(wait_s * 1000))
        details.append(RetryInfo(retry_delay=delay))
    if error.resource:
        kind = f"{DOMAIN}/{names.kind(error.resource)}"
        details.append(ResourceInfo(resource_type=kind, resource_name=error.resource))
    if error.violations:
        details.append(_bad_request(error))
    return details


def _metadata(error: ApiError) -> dict[str, str]:
    metadata = dict(error.metadata)
    # What an adapter makes of a vendor's answer is raised from it, and the caller may want to know the answer too.
    said = error if isinstance(error, VendorError) else error.__cause__
    if isinstance(said, VendorError):
        fault = said.fault
        metadata |= {
            "vendor": said.vendor,
            "connection": said.connection,
            "vendorHttpStatus": str(fault.http_status or ""),
            "vendorCode": fault.code,
            "vendorRequestId": fault.request_id,
            "vendorMessage": fault.message,
        }
    return {key: value[:MAX_TEXT_CHARS] for key, value in metadata.items() if value}


def _bad_request(error: ApiError) -> BadRequest:
    bad, room = BadRequest(), MAX_DETAILS_BYTES // 2
    for field, description, reason in error.violations[:MAX_VIOLATIONS]:
        violation = BadRequest.FieldViolation(field=field[:256], description=description[:256], reason=reason)
        room -= violation.ByteSize()
        if room < 0:
            break
        bad.field_violations.append(violation)
    return bad
