"""Validation: what the contract's annotations say of requests, and every violation at once."""

from typing import Any

import pytest
from google.api import resource_pb2
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st

from audiencegateway.v1.connections_pb2 import GetConnectionRequest
from audiencegateway.v1.destinations_pb2 import (
    CreateDestinationRequest,
    Destination,
    GetDestinationRequest,
    ListDestinationsRequest,
    ListSubscriptionsRequest,
    Subscription,
    UpdateDestinationRequest,
    UpdateSubscriptionRequest,
)
from audiencegateway.v1.export_jobs_pb2 import (
    CancelExportJobRequest,
    CreateExportJobRequest,
    ExportJob,
    GetExportJobRevisionRequest,
    ListExportJobLogEntriesRequest,
    ListExportJobsRequest,
    WaitExportJobRequest,
)
from audiencegateway.v1.members_pb2 import IngestAudienceMembersRequest, UploadAudienceMembersRequest
from gateway.findings import MAX_VIOLATIONS
from gateway.validation import validate
from tests.gateway.arbitrary import messages, new
from tests.gateway.judged import (
    CONNECTION,
    DESTINATION,
    JOB,
    REQUESTS,
    SUBSCRIPTION,
    UUID,
    create,
    refused,
    start,
    told,
    update,
    wrong,
)

# --- For every request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda request: request.DESCRIPTOR.name)
@given(data=st.data())
def test_whatever_a_request_holds_it_passes_or_is_an_invalid_request(
    request_type: type[Message], data: st.DataObject
) -> None:
    request = data.draw(messages(request_type))
    before = request.SerializeToString(deterministic=True)
    if error := told(validate, request):
        assert 1 <= len(error.violations) <= MAX_VIOLATIONS
        assert error.reason == error.violations[0].reason
        places = {*request.DESCRIPTOR.fields_by_name, *request.DESCRIPTOR.oneofs_by_name}
        assert {violation.field.split(".")[0].split("[")[0] for violation in error.violations} <= places
    assert request.SerializeToString(deterministic=True) == before


REQUIRED = {
    "CancelExportJobRequest": ["name"],
    "CheckConnectionRequest": ["name"],
    "CreateDestinationRequest": ["parent", "destination"],
    "CreateExportJobRequest": ["parent", "export_job"],
    "CreateSubscriptionRequest": ["parent", "subscription"],
    "DeleteDestinationRequest": ["name"],
    "DeleteSubscriptionRequest": ["name"],
    "DownloadExportJobRequest": ["name"],
    "GetConnectionRequest": ["name"],
    "GetDestinationRequest": ["name"],
    "GetExportJobRequest": ["name"],
    "GetExportJobRevisionRequest": ["name"],
    "GetSubscriptionRequest": ["name"],
    "IngestAudienceMembersRequest": ["destination", "audience_members"],
    "ListConnectionsRequest": [],
    "ListDestinationsRequest": ["parent"],
    "ListExportJobLogEntriesRequest": ["parent"],
    "ListExportJobRevisionsRequest": ["parent"],
    "ListExportJobsRequest": ["parent"],
    "ListSubscriptionsRequest": ["parent"],
    "QueryDeliveryMetricsRequest": ["name"],
    "ResolveExportJobRequest": ["name", "resolution"],
    "UndeleteDestinationRequest": ["name"],
    "UpdateDestinationRequest": ["destination"],
    "UpdateSubscriptionRequest": ["subscription"],
    "UploadAudienceMembersRequest": [],
    "WaitExportJobRequest": ["name"],
    "WatchExportJobRequest": ["name"],
}


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda request: request.DESCRIPTOR.name)
def test_an_empty_request_lacks_all_that_is_required(request_type: type[Message]) -> None:
    fields = REQUIRED[request_type.DESCRIPTOR.name]
    assert wrong(request_type()) == [(field, "INVALID_FIELD") for field in fields]


PAGED = [request for request in REQUESTS if "page_size" in request.DESCRIPTOR.fields_by_name]


@pytest.mark.parametrize("request_type", PAGED, ids=lambda request: request.DESCRIPTOR.name)
def test_a_negative_page_size_is_refused_and_a_large_one_is_not(request_type: type[Any]) -> None:
    assert ("page_size", "INVALID_FIELD") in wrong(new(request_type, page_size=-1))
    assert "page_size" not in dict(wrong(new(request_type, page_size=2**31 - 1)))


IDEMPOTENT = [request for request in REQUESTS if "request_id" in request.DESCRIPTOR.fields_by_name]


@pytest.mark.parametrize("request_type", IDEMPOTENT, ids=lambda request: request.DESCRIPTOR.name)
@pytest.mark.parametrize(
    ("request_id", "taken"),
    [
        ("", True),
        (UUID, True),
        (UUID.upper(), True),
        ("8f0e7c0a-3f0b-1c39-9f6b-6a0c0f6d2b11", False),  # version 1
        ("8f0e7c0a-3f0b-4c39-cf6b-6a0c0f6d2b11", False),  # another variant
        (UUID.replace("-", ""), False),
        (f"{{{UUID}}}", False),
        (f"{UUID}\n", False),
        ("a" * 10_000, False),
    ],
)
def test_a_request_id_is_a_uuid_of_version_4(request_type: type[Any], request_id: str, taken: bool) -> None:
    assert (("request_id", "INVALID_FIELD") not in wrong(new(request_type, request_id=request_id))) is taken


NAMED = [
    (request, field.name)
    for request in REQUESTS
    for field in request.DESCRIPTOR.fields
    if field.GetOptions().HasExtension(resource_pb2.resource_reference)
]


@pytest.mark.parametrize(("request_type", "field"), NAMED, ids=lambda case: getattr(case, "__name__", case))
@pytest.mark.parametrize(
    "name",
    [
        "x",
        "connections/",
        "connections/main/",
        "connections/Main",
        "connections/-/destinations/1",
        "connections/main/destinations/..",
        "connections/main/destinations/../../etc",
        "connections/main/destinations/a%2Fb",
        "connections/main/destinations/a\x00",
        "connections/main/destinations/é",
        "connections/main/exportJobs/..",
        "connections/main/exportJobs/3~4/revisions/ ",
        "connections/main/destinations/" + "a" * 10_000,
        "//audiencegateway.internal/connections/main",
    ],
    ids=lambda name: ascii(name)[:48],
)
def test_a_field_that_names_a_resource_takes_nothing_else(request_type: type[Any], field: str, name: str) -> None:
    error = refused(new(request_type, **{field: name}))
    [violation] = [violation for violation in error.violations if violation.field == field]
    assert violation.reason == "INVALID_RESOURCE_NAME"
    assert violation.description.isprintable()
    assert len(violation.description) + len(str(error.metadata)) < 1024


# --- Required, ignored, known --------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once() -> None:
    job = new(
        ExportJob,
        destination="connections/main",
        audiences=[{"audience_id": "300"}, {}],
        segment={"subscription": "nobody"},
    )
    request = new(CreateExportJobRequest, parent="main", export_job=job, request_id="1")
    assert wrong(request) == [
        ("parent", "INVALID_RESOURCE_NAME"),
        ("export_job.destination", "INVALID_RESOURCE_NAME"),
        ("export_job.audiences[1].audience_id", "INVALID_FIELD"),
        ("export_job.segment.subscription", "INVALID_RESOURCE_NAME"),
        ("export_job.segment.subscription", "INVALID_FIELD"),
        ("request_id", "INVALID_FIELD"),
    ]
    error = refused(request)
    assert error.reason == "INVALID_RESOURCE_NAME"
    assert error.metadata == {"resource": "main"}
    assert "6 violations" in error.message


def test_of_many_violations_twenty_are_listed_and_the_rest_is_counted() -> None:
    error = refused(start(audiences=[{}] * 33))
    assert len(error.violations) == 20
    assert error.violations[19].field == "export_job.audiences[19].audience_id"
    assert "33 violations, 13 of them not listed" in error.message


def test_what_is_required_inside_is_so_only_where_its_message_is_set() -> None:
    assert wrong(create()) == []
    assert wrong(create(segment={})) == [
        ("destination.segment.source_id", "INVALID_FIELD"),
        ("destination.segment.metadata_id", "INVALID_FIELD"),
    ]


def test_output_only_fields_and_identifiers_are_ignored_with_all_that_is_in_them() -> None:
    destination = new(Destination, name="../", state=99, running_export_job="../", unapplied_fields=["x"] * 20_000)
    destination.create_time.nanos = -1
    destination.vendor_extras.fields["x"].CopyFrom(Value())
    destination.meiro.data_load_start_time.seconds = -(2**62)
    destination.meiro.owner_user_id = "x" * 2000
    assert wrong(new(CreateDestinationRequest, parent=CONNECTION, destination=destination)) == []


def test_immutable_fields_can_be_set_on_create() -> None:
    assert wrong(create(segment={"source_id": "s", "metadata_id": "m"})) == []


@pytest.mark.parametrize("number", [99, -1, 2**31 - 1])
def test_a_number_that_its_enum_does_not_know_is_refused(number: int) -> None:
    assert wrong(new(GetDestinationRequest, name=DESTINATION, view=number)) == [("view", "INVALID_FIELD")]
    request = new(IngestAudienceMembersRequest, destination=DESTINATION, audience_members=[{}])
    request.defaults.operation = number  # type: ignore[assignment] # the same
    assert wrong(request) == [("defaults.operation", "INVALID_FIELD")]


@pytest.mark.parametrize(
    "request_message",
    [new(ListDestinationsRequest, parent="connections/-"), new(ListExportJobsRequest, parent="connections/-")],
)
def test_all_connections_can_be_listed(request_message: Message) -> None:
    assert wrong(request_message) == []


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (new(CreateDestinationRequest, parent="connections/-", destination={}), "parent"),
        (new(CreateExportJobRequest, parent="connections/-", export_job={"destination": DESTINATION}), "parent"),
        (new(ListSubscriptionsRequest, parent="connections/-"), "parent"),
        (new(ListExportJobLogEntriesRequest, parent="connections/-"), "parent"),
        (new(GetConnectionRequest, name="connections/-"), "name"),
        (new(GetDestinationRequest, name="connections/-/destinations/42"), "name"),
        (new(GetExportJobRevisionRequest, name="connections/-/exportJobs/1/revisions/1"), "name"),
    ],
)
def test_all_connections_can_be_meant_nowhere_else(request_message: Message, field: str) -> None:
    assert wrong(request_message) == [(field, "INVALID_RESOURCE_NAME")]


def test_a_name_of_another_kind_is_refused() -> None:
    assert wrong(new(GetDestinationRequest, name=JOB)) == [("name", "INVALID_RESOURCE_NAME")]
    assert wrong(new(CancelExportJobRequest, name=DESTINATION)) == [("name", "INVALID_RESOURCE_NAME")]


def test_a_job_that_only_the_gateway_knows_has_a_name_too() -> None:
    assert wrong(new(WaitExportJobRequest, name="connections/main/exportJobs/g~01JABC")) == []


def test_finishing_an_upload_says_how_many_members_it_had() -> None:
    assert wrong(new(UploadAudienceMembersRequest, finish={})) == [("finish.member_count", "INVALID_FIELD")]
    assert wrong(new(UploadAudienceMembersRequest, finish={"member_count": 0})) == []
    assert wrong(new(UploadAudienceMembersRequest, finish={"member_count": -1})) == [
        ("finish.member_count", "INVALID_FIELD")
    ]


# --- Updates -------------------------------------------------------------------------------------------------------


def test_an_update_names_its_resource() -> None:
    assert wrong(new(UpdateDestinationRequest, destination={})) == [("destination.name", "INVALID_FIELD")]
    assert wrong(new(UpdateDestinationRequest, destination={"name": JOB})) == [
        ("destination.name", "INVALID_RESOURCE_NAME")
    ]


def test_in_an_update_only_the_mask_says_what_is_required() -> None:
    subscription = new(Subscription, name=SUBSCRIPTION, segment={"model_id": "m"})
    request = new(UpdateSubscriptionRequest, subscription=subscription)
    assert wrong(request) == []
    request.update_mask.paths.extend(["display_name", "segment.model_id", "segment.trigger"])
    assert wrong(request) == [
        ("subscription.display_name", "INVALID_FIELD"),
        ("subscription.segment.trigger", "INVALID_FIELD"),
    ]


def test_what_an_update_holds_is_checked_whatever_the_mask_says() -> None:
    request = update(["description", "nonsense"], display_name="x" * 1025)
    assert wrong(request) == [("destination.display_name", "LIMIT_EXCEEDED"), ("update_mask", "INVALID_UPDATE_MASK")]
