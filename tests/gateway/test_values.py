"""Single values in requests: ranges, times, sizes, and the data inside of Structs."""

import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from adapters import secrets
from audiencegateway.v1.destinations_pb2 import (
    CreateDestinationRequest,
    ListDestinationsRequest,
    QueryDeliveryMetricsRequest,
)
from audiencegateway.v1.export_jobs_pb2 import (
    DownloadExportJobRequest,
    WaitExportJobRequest,
    WatchExportJobRequest,
)
from audiencegateway.v1.members_pb2 import AudienceMember, IngestAudienceMembersRequest, UploadAudienceMembersRequest
from gateway.updates import MASK
from tests.gateway.arbitrary import new
from tests.gateway.judged import CONNECTION, DESTINATION, JOB, create, refused, start, update, wrong

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
