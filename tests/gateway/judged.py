"""What validation says of requests, and short ways to make some."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from adapters.errors import InvalidRequest
from audiencegateway.v1.destinations_pb2 import (
    CreateDestinationRequest,
    Destination,
    UpdateDestinationRequest,
)
from audiencegateway.v1.export_jobs_pb2 import (
    CreateExportJobRequest,
    ExportJob,
)
from gateway.methods import METHODS
from gateway.validation import validate
from tests.gateway.arbitrary import new

CONNECTION = "connections/main"
DESTINATION = "connections/main/destinations/42"
SUBSCRIPTION = "connections/main/destinations/42/subscriptions/s"
JOB = "connections/main/exportJobs/300~100"
UUID = "8f0e7c0a-3f0b-4c39-9f6b-6a0c0f6d2b11"
REQUESTS = sorted({method.request for method in METHODS.values()}, key=lambda request: request.DESCRIPTOR.name)


def refused(request: Message) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        validate(request)
    return caught.value


def wrong(request: Message) -> list[tuple[str, str]]:
    """Return the path and the reason of everything that is wrong."""
    error = told(validate, request)
    return [(violation.field, violation.reason) for violation in error.violations] if error else []


def told(check: Callable[..., None], *arguments: object) -> InvalidRequest | None:
    """Return the error that *check* raises, if it raises one."""
    try:
        check(*arguments)
    except InvalidRequest as error:
        return error
    return None


def create(**fields: Any) -> CreateDestinationRequest:
    return new(CreateDestinationRequest, parent=CONNECTION, destination=new(Destination, **fields))


def start(**fields: Any) -> CreateExportJobRequest:
    return new(CreateExportJobRequest, parent=CONNECTION, export_job=new(ExportJob, destination=DESTINATION, **fields))


def update(mask: list[str], **fields: Any) -> UpdateDestinationRequest:
    destination = new(Destination, name=DESTINATION, **fields)
    return new(UpdateDestinationRequest, destination=destination, update_mask=FieldMask(paths=mask))
