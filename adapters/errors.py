"""Every error that is an answer: one tree, named by what went wrong, not by gRPC code.

ApiError
├── InvalidRequest          the request is wrong; nothing was sent to the vendor
├── NotSupported            the adapter has no such verb
├── Precondition            the request is right, the state of things is not
├── AlreadyExists           what was to be made is there
├── Missing                 found out by the gateway itself, without asking the vendor
├── Aborted                 read again, then decide
├── CallerRefused           the caller's own identity or grants
├── Overloaded              the gateway's own limits
├── StoreUnavailable        the ledger can't record; nothing was sent
└── VendorError             the vendor's answer, or the lack of one
    ├── Rejected            400, 422 and other 4xx
    ├── CredentialsRejected 401, after one refresh
    ├── PermissionMissing   403
    ├── NotFound            404, 410
    ├── Conflict            409
    ├── VendorEtagMismatch  412
    ├── TooLarge            413
    ├── RateLimited         425, 429
    │   └── NoTurn          nothing was sent: the vendor takes no such call just now
    ├── Unavailable         nothing was sent; or 5xx, 408, a reset, where sending again is safe
    │   └── CircuitOpen     nothing was sent: the vendor has failed too often
    ├── TimedOut            no answer to a read in time
    ├── OutcomeUnknown      a write was sent that must not be sent again, and its answer was lost
    ├── DownloadInterrupted the body of a download broke off
    └── ProtocolViolation   2xx or 3xx that is not what the vendor documents

`reason` is a value of the contract's ErrorReason without its prefix; `gateway/errors.py` turns it into a gRPC status.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Violation(NamedTuple):
    """One thing that is wrong with a request, and where."""

    field: str
    """Path in the request, for example `export_job.audiences[0].audience_id`."""
    description: str
    reason: str = "INVALID_FIELD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a vendor's error answer says, read by the vendor's own translate module."""

    http_status: int = 0
    """0: there was no answer."""
    code: str = ""
    message: str = ""
    request_id: str = ""
    """The vendor's identifier of the call, for its support."""
    retry_after_s: float | None = None
    fields: tuple[tuple[str, str], ...] = ()
    """The vendor's path of each wrong field, and what it says of it."""
    kind: "type[VendorError] | None" = None
    """The error to raise where the status line does not tell."""


class ApiError(Exception):
    """An answer that is not the resource asked for."""

    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        resource: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.resource = resource
        self.retry_after_s = retry_after_s


class InvalidRequest(ApiError):
    """The request is wrong; nothing was sent to the vendor."""

    reason = "INVALID_FIELD"


def invalid_field(field: str, description: str, *, reason: str = "INVALID_FIELD", **metadata: str) -> InvalidRequest:
    """Return the error for one wrong field."""
    violation = Violation(field, description, reason)
    return InvalidRequest(f"{field}: {description}", reason=reason, metadata=metadata, violations=[violation])


class NotSupported(ApiError):
    """The vendor has no such operation."""

    reason = "NOT_SUPPORTED_BY_VENDOR"


class Precondition(ApiError):
    """The state of a resource forbids the operation."""

    reason = "DESTINATION_IN_USE"


class AlreadyExists(ApiError):
    """What was to be made is there already."""

    reason = "DESTINATION_ALREADY_EXISTS"


class Missing(ApiError):
    """No such resource, as the gateway itself can tell."""

    reason = "CONNECTION_NOT_FOUND"


class Aborted(ApiError):
    """Something else came first: read again, then decide."""

    reason = "ETAG_MISMATCH"


class CallerRefused(ApiError):
    """The caller is unknown or lacks a grant."""

    reason = "CALLER_NOT_ALLOWED"


class Overloaded(ApiError):
    """A limit of the gateway's own is reached."""

    reason = "GATEWAY_OVERLOADED"


class StoreUnavailable(ApiError):
    """The ledger can't record the call, so nothing was sent."""

    reason = "STORE_UNAVAILABLE"


class VendorError(ApiError):
    """What the vendor answered, or that it did not."""

    vendor: str = ""
    connection: str = ""
    hurried: bool = False
    """True where the caller's time was the limit: another call might have got an answer."""

    def __init__(
        self,
        message: str,
        *,
        fault: Fault | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        resource: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.fault = fault or Fault()
        if retry_after_s is None:
            retry_after_s = self.fault.retry_after_s
        super().__init__(
            message,
            reason=reason,
            metadata=metadata,
            violations=violations,
            resource=resource,
            retry_after_s=retry_after_s,
        )


class Rejected(VendorError):
    """The vendor found the request wrong."""

    reason = "REJECTED_BY_VENDOR"


class CredentialsRejected(VendorError):
    """The vendor refused the connection's credentials."""

    reason = "VENDOR_CREDENTIALS_REJECTED"


class PermissionMissing(VendorError):
    """The connection's credentials lack a permission."""

    reason = "VENDOR_PERMISSION_MISSING"


class NotFound(VendorError):
    """The vendor has no such resource; the reason follows the kind of the resource."""

    reason = "DESTINATION_NOT_FOUND"


class Conflict(VendorError):
    """The vendor's state forbids the call; adapters narrow the reason per operation."""

    reason = "VENDOR_CONFLICT"


class VendorEtagMismatch(VendorError):
    """The resource changed at the vendor since it was read."""

    reason = "ETAG_MISMATCH"


class TooLarge(VendorError):
    """The vendor found the body too large."""

    reason = "LIMIT_EXCEEDED"


class RateLimited(VendorError):
    """The vendor asks for fewer calls."""

    reason = "VENDOR_RATE_LIMITED"


class NoTurn(RateLimited):
    """Nothing was sent, since the vendor takes no such call just now; the wait is until it does."""

    reason = "GATEWAY_RATE_LIMITED"


class Unavailable(VendorError):
    """The vendor can't be reached or fails, and sending again is safe."""

    reason = "VENDOR_UNAVAILABLE"


class CircuitOpen(Unavailable):
    """Nothing was sent, since the vendor has failed too often; the wait is until a call is let through."""

    reason = "VENDOR_CIRCUIT_OPEN"


class TimedOut(VendorError):
    """The vendor did not answer a read in time."""

    reason = "VENDOR_TIMEOUT"


class OutcomeUnknown(VendorError):
    """A write that must not be sent twice was sent, and its answer was lost."""

    reason = "OUTCOME_UNKNOWN"


class DownloadInterrupted(VendorError):
    """A download broke off; metadata `offset` says where."""

    reason = "DOWNLOAD_INTERRUPTED"


class ProtocolViolation(VendorError):
    """The vendor's answer is not what it documents."""

    reason = "VENDOR_PROTOCOL"


BY_STATUS: Mapping[int, type[VendorError]] = {
    401: CredentialsRejected,
    403: PermissionMissing,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: NotFound,
    412: VendorEtagMismatch,
    413: TooLarge,
    425: RateLimited,
    429: RateLimited,
    501: Rejected,
}


def kind_of_status(status: int) -> type[VendorError]:
    """Return the error for an HTTP status above 299, as far as the status alone tells."""
    if status < 400:  # noqa: PLR2004 - a redirect is never followed: it could carry the credential elsewhere
        return ProtocolViolation
    return BY_STATUS.get(status, Rejected if status < 500 else Unavailable)  # noqa: PLR2004 - 5xx
