"""The error tree: drawn as it is, and every reason one of the contract's."""

import inspect

import pytest

from adapters import errors
from adapters.errors import ApiError, Fault, InvalidRequest, VendorError, Violation, invalid_field, kind_of_status
from audiencegateway.v1.error_reason_pb2 import ErrorReason

REASONS = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ApiError)]


def drawn(text: str) -> dict[str, str]:
    """Return child -> parent of the tree in *text*, told by how far each name is indented."""
    tree: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        name = line.strip("│├└─ ").split(" ")[0]
        if line == "ApiError":
            above = [(0, line)]
        elif "──" in line:
            depth = line.index("──")
            while above[-1][0] >= depth + 1:
                above.pop()
            tree[name] = above[-1][1]
            above.append((depth + 1, name))
    return tree


def test_the_tree_is_as_it_is_drawn() -> None:
    classes = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not ApiError}
    assert drawn(errors.__doc__ or "") == classes
    assert all(len(kind.__bases__) == 1 for kind in CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_default_reason_is_one_of_the_contract(kind: type[ApiError]) -> None:
    assert kind.reason in REASONS


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in {ApiError, VendorError}])
def test_every_error_says_more_than_internal(kind: type[ApiError]) -> None:
    assert kind.reason != "INTERNAL"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, errors.ProtocolViolation),
        (301, errors.ProtocolViolation),
        (304, errors.ProtocolViolation),
        (399, errors.ProtocolViolation),
        (400, errors.Rejected),
        (401, errors.CredentialsRejected),
        (402, errors.Rejected),
        (403, errors.PermissionMissing),
        (404, errors.NotFound),
        (405, errors.Rejected),
        (408, errors.Unavailable),
        (409, errors.Conflict),
        (410, errors.NotFound),
        (412, errors.VendorEtagMismatch),
        (413, errors.TooLarge),
        (415, errors.Rejected),
        (422, errors.Rejected),
        (425, errors.RateLimited),
        (429, errors.RateLimited),
        (499, errors.Rejected),
        (500, errors.Unavailable),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
        (529, errors.Unavailable),
        (599, errors.Unavailable),
        (999, errors.Unavailable),
    ],
)
def test_a_status_alone_tells_the_error(status: int, kind: type[VendorError]) -> None:
    assert kind_of_status(status) is kind


def test_a_vendor_that_lacks_a_method_is_not_asked_again() -> None:
    # The one 5xx that says nothing will change.
    assert kind_of_status(501) is errors.Rejected


def test_an_instance_narrows_the_reason_and_its_class_keeps_its_own() -> None:
    error = errors.Conflict("busy", reason="DESTINATION_IN_USE")
    assert error.reason == "DESTINATION_IN_USE"
    assert errors.Conflict.reason == "VENDOR_CONFLICT"
    assert str(error) == error.message == "busy"


def test_the_vendors_wait_becomes_the_errors_unless_it_has_one() -> None:
    fault = Fault(retry_after_s=7.0)
    assert errors.RateLimited("slow", fault=fault).retry_after_s == 7.0
    assert errors.RateLimited("slow", fault=fault, retry_after_s=9.0).retry_after_s == 9.0
    assert errors.Unavailable("gone").retry_after_s is None


def test_an_error_without_an_answer_has_an_empty_fault() -> None:
    assert errors.Unavailable("gone").fault == Fault()
    assert errors.Unavailable("gone").fault.http_status == 0


def test_metadata_is_the_errors_own() -> None:
    given = {"state": "RUNNING"}
    error = errors.Precondition("no", reason="EXPORT_JOB_NOT_CANCELLABLE", metadata=given)
    given["state"] = "changed"
    assert error.metadata == {"state": "RUNNING"}


def test_one_wrong_field_is_named_with_its_reason() -> None:
    error = invalid_field("read_offset", "is negative", limit="0")
    assert isinstance(error, InvalidRequest)
    assert error.reason == "INVALID_FIELD"
    assert error.violations == (Violation("read_offset", "is negative", "INVALID_FIELD"),)
    assert error.metadata == {"limit": "0"}
    assert invalid_field("x", "y", reason="LIMIT_EXCEEDED").violations[0].reason == "LIMIT_EXCEEDED"
