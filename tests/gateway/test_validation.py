"""Validation: what the contract's annotations, and the rules beside them, refuse, and every violation at once."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from google.api import field_behavior_pb2, resource_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from adapters import secrets
from adapters.errors import InvalidRequest
from audiencegateway.v1.connections_pb2 import GetConnectionRequest
from audiencegateway.v1.destinations_pb2 import (
    CreateDestinationRequest,
    CreateSubscriptionRequest,
    Destination,
    GetDestinationRequest,
    ListDestinationsRequest,
    ListSubscriptionsRequest,
    QueryDeliveryMetricsRequest,
    Subscription,
    UpdateDestinationRequest,
    UpdateSubscriptionRequest,
)
from audiencegateway.v1.export_jobs_pb2 import (
    CancelExportJobRequest,
    CreateExportJobRequest,
    DownloadExportJobRequest,
    ExportJob,
    GetExportJobRevisionRequest,
    ListExportJobLogEntriesRequest,
    ListExportJobsRequest,
    ResolveExportJobRequest,
    WaitExportJobRequest,
    WatchExportJobRequest,
)
from audiencegateway.v1.members_pb2 import AudienceMember, IngestAudienceMembersRequest, UploadAudienceMembersRequest
from gateway.findings import MAX_VIOLATIONS
from gateway.methods import METHODS
from gateway.updates import MASK
from gateway.validation import supported, validate
from tests.gateway.arbitrary import messages, new

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


# --- Ranges, times, sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "nanos", "taken"),
    [
        (0, 0, True),
        (253_402_300_799, 999_999_999, True),
        (253_402_300_800, 0, False),
        (-62_135_596_800, 0, True),
        (-62_135_596_801, 0, False),
        (0, -1, False),
        (0, 1_000_000_000, False),
    ],
)
def test_times_are_those_of_the_years_1_to_9999(seconds: int, nanos: int, taken: bool) -> None:
    request = start(adobe={"all_profiles": True, "profile_ingest_start_time": {"seconds": seconds, "nanos": nanos}})
    expected = [] if taken else [("export_job.adobe.profile_ingest_start_time", "INVALID_FIELD")]
    assert wrong(request) == expected


@pytest.mark.parametrize(
    ("start_s", "end_s", "taken"), [(1, 2, True), (2, 2, False), (3, 2, False), (None, 2, True), (3, None, True)]
)
def test_an_interval_starts_before_it_ends(start_s: int | None, end_s: int | None, taken: bool) -> None:
    request = new(QueryDeliveryMetricsRequest, name=DESTINATION)
    if start_s is not None:
        request.interval.start_time.seconds = start_s
    if end_s is not None:
        request.interval.end_time.seconds = end_s
    assert wrong(request) == ([] if taken else [("interval", "INVALID_FIELD")])


def test_the_ends_of_an_interval_are_times() -> None:
    request = new(QueryDeliveryMetricsRequest, name=DESTINATION, interval={"start_time": {"nanos": -1}})
    assert wrong(request) == [("interval.start_time", "INVALID_FIELD")]


@pytest.mark.parametrize(
    ("seconds", "nanos", "taken"),
    [
        (0, 0, True),
        (300, 0, True),
        (86_400, 0, True),  # more than the maximum counts as the maximum
        (-1, 0, False),
        (0, -1, False),
        (1, -1, False),
        (315_576_000_001, 0, False),
    ],
)
def test_a_timeout_is_a_duration_and_not_negative(seconds: int, nanos: int, taken: bool) -> None:
    request = new(WaitExportJobRequest, name=JOB, timeout={"seconds": seconds, "nanos": nanos})
    assert wrong(request) == ([] if taken else [("timeout", "INVALID_FIELD")])


@pytest.mark.parametrize(
    ("seconds", "nanos", "taken"), [(0, 0, False), (0, 999_999_999, False), (1, 0, True), (4000, 0, True)]
)
def test_heartbeats_come_no_faster_than_every_second(seconds: int, nanos: int, taken: bool) -> None:
    request = new(WatchExportJobRequest, name=JOB, heartbeat_interval={"seconds": seconds, "nanos": nanos})
    assert wrong(request) == ([] if taken else [("heartbeat_interval", "INVALID_FIELD")])


def test_a_download_goes_on_from_an_offset_that_is_not_negative() -> None:
    assert wrong(new(DownloadExportJobRequest, name=JOB, read_offset=-1)) == [("read_offset", "INVALID_FIELD")]
    assert wrong(new(DownloadExportJobRequest, name=JOB, read_offset=2**40)) == []


@pytest.mark.parametrize(
    ("request_message", "field", "limit"),
    [
        (create(display_name="x" * 1025), "destination.display_name", "1024"),
        (create(description="x" * 65_537), "destination.description", "65536"),
        (create(meiro={"attribute_ids": ["ok", "x" * 1025]}), "destination.meiro.attribute_ids[1]", "1024"),
        (create(meiro={"attribute_ids": ["x"] * 10_001}), "destination.meiro.attribute_ids", "10000"),
        (create(adobe={"tags": {"x" * 1025: {}}}), f'destination.adobe.tags["{"x" * 64}"]', "1024"),
        (create(adobe={"tags": {str(n): {} for n in range(1001)}}), "destination.adobe.tags", "1000"),
        (new(ListDestinationsRequest, parent=CONNECTION, page_token="x" * 65_537), "page_token", "65536"),
    ],
)
def test_what_is_larger_than_its_kind_should_be_is_refused(request_message: Message, field: str, limit: str) -> None:
    assert wrong(request_message) == [(field, "LIMIT_EXCEEDED")]
    assert refused(request_message).metadata["limit"] == limit


def test_texts_and_lists_of_their_largest_size_are_taken() -> None:
    meiro = {"attribute_ids": ["x"] * 10_000}
    assert wrong(create(display_name="x" * 1024, description="x" * 65_536, meiro=meiro)) == []


def test_members_are_counted_and_not_looked_at() -> None:
    odd = new(AudienceMember, operation=99, expire_time={"nanos": -1}, email_hash="x" * 2000)
    request = new(IngestAudienceMembersRequest, destination=DESTINATION, audience_members=[odd] * 10_000)
    assert wrong(request) == []
    request.audience_members.append(odd)
    assert wrong(request) == [("audience_members", "LIMIT_EXCEEDED")]
    assert refused(request).metadata == {"limit": "10000", "value": "10001"}
    assert wrong(new(UploadAudienceMembersRequest, batch={"audience_members": [odd] * 5000})) == []
    assert wrong(new(UploadAudienceMembersRequest, batch={"audience_members": [odd] * 5001})) == [
        ("batch.audience_members", "LIMIT_EXCEEDED")
    ]
    assert wrong(new(UploadAudienceMembersRequest, batch={})) == [("batch.audience_members", "INVALID_FIELD")]


# --- Data inside of Structs ----------------------------------------------------------------------------------------


def settings(value: Struct) -> CreateDestinationRequest:
    request = create(meiro={})
    request.destination.meiro.settings.CopyFrom(value)
    return request


def nested(levels: int) -> Struct:
    top = inner = Struct()
    for _ in range(levels - 1):
        inner = inner.fields["a"].struct_value
        inner.SetInParent()
    return top


def test_data_may_be_twenty_levels_deep() -> None:
    assert wrong(settings(nested(20))) == []
    deep = refused(settings(nested(21))).violations
    assert [(violation.field.count("["), violation.reason) for violation in deep] == [(20, "LIMIT_EXCEEDED")]


def test_data_that_is_far_too_deep_is_no_trouble() -> None:
    assert [reason for _, reason in wrong(settings(nested(5000)))] == ["LIMIT_EXCEEDED"]


def test_data_may_have_256_kib() -> None:
    struct = Struct()
    struct.update({"a": "x" * 262_100})
    assert wrong(settings(struct)) == []
    struct.update({"a": "x" * 262_144})
    assert wrong(settings(struct)) == [("destination.meiro.settings", "LIMIT_EXCEEDED")]


def test_a_value_that_json_can_not_say_is_refused() -> None:
    struct = Struct()
    struct.update({"list": [1, {"inf": float("inf")}], "nan": float("nan")})
    struct.fields["nothing"].SetInParent()
    assert wrong(settings(struct)) == [
        ('destination.meiro.settings["list"][1]["inf"]', "INVALID_FIELD"),
        ('destination.meiro.settings["nan"]', "INVALID_FIELD"),
        ('destination.meiro.settings["nothing"]', "INVALID_FIELD"),
    ]


def test_data_inside_of_a_map_has_its_key_in_the_path() -> None:
    request = create(adobe={"tags": {'"x"': {"values": [{}]}}})
    assert wrong(request) == [(r'destination.adobe.tags["\"x\""][0]', "INVALID_FIELD")]


def test_a_mask_that_stands_for_nothing_is_refused() -> None:
    struct = Struct()
    struct.update({"key": MASK, "list": [MASK]})
    assert wrong(settings(struct)) == [
        ('destination.meiro.settings["key"]', "INVALID_FIELD"),
        ('destination.meiro.settings["list"][0]', "INVALID_FIELD"),
    ]
    assert wrong(update([], meiro={"settings": struct})) == []
    # A map is written as a whole, so in an update there is nothing to keep either.
    tags = {"x": {"values": [{"string_value": MASK}]}}
    assert wrong(update([], adobe={"tags": tags})) == [('destination.adobe.tags["x"][0]', "INVALID_FIELD")]


def test_adapters_mask_secrets_with_the_text_that_is_known_here() -> None:
    assert secrets.MASK == MASK


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


# --- Fields that depend on each other ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"adobe": {}}, ["export_job.audiences"]),
        ({"adobe": {"all_profiles": True}}, []),
        ({"adobe": {}, "audiences": [{"audience_id": "a"}]}, []),
        ({"adobe": {"all_profiles": True}, "audiences": [{"audience_id": "a"}]}, ["export_job.adobe.all_profiles"]),
        ({"meiro": {}}, []),
        ({}, []),
    ],
)
def test_everybody_is_exported_on_purpose_only(fields: dict[str, Any], expected: list[str]) -> None:
    assert wrong(start(**fields)) == [(field, "INVALID_FIELD") for field in expected]


def test_everybody_is_exported_on_purpose_only_also_without_the_arm() -> None:
    with pytest.raises(InvalidRequest, match=r"`adobe\.all_profiles`") as caught:
        supported(new(ExportJob, destination=DESTINATION), "adobe", frozenset({"destination", "audiences", "adobe"}))
    assert [violation.field for violation in caught.value.violations] == ["export_job.audiences"]


def test_a_schedule_is_set_by_update_only() -> None:
    arm: dict[str, Any] = {"action_id": "a", "trigger": "t", "schedule": {"strategy": "MANUAL"}}
    created = new(Subscription, display_name="s", segment=arm)
    assert wrong(new(CreateSubscriptionRequest, parent=DESTINATION, subscription=created)) == [
        ("subscription.segment.schedule", "INVALID_FIELD")
    ]
    updated = new(Subscription, name=SUBSCRIPTION, segment={"schedule": {"strategy": "MANUAL"}})
    assert wrong(new(UpdateSubscriptionRequest, subscription=updated)) == []


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        ({"never_submitted": True}, []),
        ({"export_job": JOB}, []),
        ({"never_submitted": False}, ["resolution"]),
        ({"export_job": ""}, ["export_job", "resolution"]),
        ({"export_job": "connections/other/exportJobs/1~2"}, ["export_job"]),
    ],
)
def test_a_job_is_resolved_by_one_of_its_own_connection_or_none(
    resolution: dict[str, Any], expected: list[str]
) -> None:
    request = new(ResolveExportJobRequest, name="connections/main/exportJobs/g~1", **resolution)
    assert [field for field, _ in wrong(request)] == expected


def test_a_job_stays_within_one_connection_and_destination() -> None:
    elsewhere = start(segment={"subscription": "connections/main/destinations/4/subscriptions/s"})
    assert wrong(elsewhere) == [("export_job.segment.subscription", "INVALID_FIELD")]
    assert wrong(start(segment={"subscription": SUBSCRIPTION})) == []
    other = new(CreateExportJobRequest, parent="connections/other", export_job=new(ExportJob, destination=DESTINATION))
    assert wrong(other) == [("export_job.destination", "INVALID_FIELD")]


# --- What a vendor carries -----------------------------------------------------------------------------------------

CARRIED = frozenset({"display_name", "meiro.attribute_ids", "meiro.settings"})


def unsupported(resource: Message, vendor: str, carried: frozenset[str], mask: list[str] | None = None) -> list[str]:
    error = told(supported, resource, vendor, carried, None if mask is None else FieldMask(paths=mask))
    if not error:
        return []
    assert error.reason == error.violations[0].reason
    return [f"{violation.reason} {violation.field}" for violation in error.violations]


def test_populated_fields_must_be_carried() -> None:
    full = new(Destination, name="x", etag="x", display_name="d", state=Destination.DELETED)
    full.meiro.attribute_ids.append("a")
    full.meiro.settings.update({"anything": {"below": 1}})
    full.meiro.owner_user_id = "output only"
    assert unsupported(full, "meiro", CARRIED) == []
    full.description = "d"
    full.meiro.icon = "i"
    assert unsupported(full, "meiro", CARRIED) == [
        "FIELD_NOT_SUPPORTED_BY_VENDOR destination.description",
        "FIELD_NOT_SUPPORTED_BY_VENDOR destination.meiro.icon",
    ]
    with pytest.raises(InvalidRequest) as caught:
        supported(full, "meiro", CARRIED)
    assert caught.value.metadata == {"field": "description"}


def test_what_is_carried_carries_all_below_it() -> None:
    job = new(
        ExportJob, destination=DESTINATION, audiences=[{"audience_id": "1", "namespace": "n"}], adobe={"events": {}}
    )
    assert unsupported(job, "adobe", frozenset({"destination", "audiences", "adobe"})) == []


def test_fields_inside_of_lists_are_told_by_their_index() -> None:
    job = new(ExportJob, audiences=[{"audience_id": "1"}, {"audience_id": "1", "namespace": "n"}])
    with pytest.raises(InvalidRequest) as caught:
        supported(job, "meiro", frozenset({"audiences.audience_id"}))
    assert [violation.field for violation in caught.value.violations] == ["export_job.audiences[1].namespace"]
    assert caught.value.metadata == {"field": "audiences.namespace"}


def test_a_message_that_says_something_by_being_there_must_be_carried() -> None:
    job = new(ExportJob, adobe={"all_profiles": True, "events": {}})
    assert unsupported(job, "adobe", frozenset({"adobe.all_profiles"})) == [
        "FIELD_NOT_SUPPORTED_BY_VENDOR export_job.adobe.events"
    ]
    assert unsupported(new(Destination, meiro={}), "meiro", frozenset({"display_name"})) == []


def test_the_arm_of_another_vendor_is_a_mismatch_and_nothing_more() -> None:
    destination = new(Destination, adobe={"schema_ref_id": "x"}, description="d")
    assert unsupported(destination, "meiro", CARRIED) == [
        "VENDOR_MISMATCH destination.adobe",
        "FIELD_NOT_SUPPORTED_BY_VENDOR destination.description",
    ]
    with pytest.raises(InvalidRequest) as caught:
        supported(destination, "meiro", CARRIED)
    assert caught.value.metadata == {"expected": "meiro", "actual": "adobe", "path": "destination.adobe"}
    assert unsupported(new(Destination, adobe={}), "meiro", CARRIED) == ["VENDOR_MISMATCH destination.adobe"]


def test_third_party_vendors_have_the_custom_arm() -> None:
    custom = Destination()
    custom.custom.update({"key": 1})
    assert unsupported(custom, "acme", frozenset({"custom"})) == []
    assert unsupported(custom, "acme", frozenset()) == ["FIELD_NOT_SUPPORTED_BY_VENDOR destination.custom"]
    assert unsupported(custom, "meiro", CARRIED) == ["VENDOR_MISMATCH destination.custom"]
    assert unsupported(new(Destination, meiro={}), "acme", frozenset({"custom"})) == [
        "VENDOR_MISMATCH destination.meiro"
    ]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (["display_name", "meiro.settings"], []),
        (["description"], ["FIELD_NOT_SUPPORTED_BY_VENDOR destination.description"]),
        (["meiro.icon"], ["FIELD_NOT_SUPPORTED_BY_VENDOR destination.meiro.icon"]),
        (["meiro"], ["FIELD_NOT_SUPPORTED_BY_VENDOR destination.meiro.workspace_id"]),
        (["*"], ["destination.disabled", "destination.meiro.workspace_id"]),
        ([], ["destination.disabled", "destination.meiro.workspace_id"]),
        (["adobe.tags", "adobe"], ["VENDOR_MISMATCH destination.adobe"]),
        (["name", "etag", "state", "vendor_extras", "nonsense"], []),
    ],
)
def test_the_paths_of_a_mask_must_be_carried(mask: list[str], expected: list[str]) -> None:
    destination = new(Destination, disabled=True, meiro={"workspace_id": "1", "attribute_ids": ["a"]})
    found = unsupported(destination, "meiro", CARRIED, mask)
    assert found == [path if " " in path else f"FIELD_NOT_SUPPORTED_BY_VENDOR {path}" for path in expected]


@given(data=st.data(), vendor=st.sampled_from(["meiro", "adobe", "segment", "mediarithmics", "acme"]))
def test_whatever_a_resource_holds_it_is_supported_or_an_invalid_request(data: st.DataObject, vendor: str) -> None:
    resource = data.draw(st.one_of(messages(Destination), messages(ExportJob), messages(Subscription)))
    mask = FieldMask(paths=data.draw(st.lists(st.sampled_from(["*", "", "meiro", "adobe.tags", "x.y", "etag"]))))
    if error := told(supported, resource, vendor, CARRIED, mask):
        assert {violation.reason for violation in error.violations} <= {
            "VENDOR_MISMATCH",
            "FIELD_NOT_SUPPORTED_BY_VENDOR",
            "INVALID_FIELD",
        }


def test_every_field_of_a_request_says_how_it_behaves() -> None:
    """What validation does rests on it: a field without is neither required nor ignored."""
    kinds: set[Any] = {request.DESCRIPTOR for request in REQUESTS}
    while (
        more := {
            field.message_type
            for field in itertools.chain.from_iterable(kind.fields for kind in kinds)
            if field.message_type and field.message_type.full_name.startswith("audiencegateway.")
            if not field.message_type.GetOptions().map_entry
        }
        - kinds
    ):
        kinds |= more
    silent = {
        f"{kind.name}.{field.name}"
        for kind in kinds
        for field in kind.fields
        if not field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    }
    assert silent == set()
