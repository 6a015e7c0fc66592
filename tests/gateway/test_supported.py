"""What a vendor carries: its own arm, and the fields that its adapter names."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import InvalidRequest
from audiencegateway.v1.destinations_pb2 import (
    CreateDestinationRequest,
    Destination,
    Subscription,
    UpdateDestinationRequest,
)
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.validation import supported, validate
from tests.gateway.arbitrary import messages, new
from tests.gateway.judged import DESTINATION, told

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


def test_another_vendors_arm_is_told_before_what_is_missing_elsewhere_and_what_is_missing_in_it_is_not() -> None:
    request = new(
        CreateDestinationRequest, parent="connections/c", destination={"segment": {"source_id": "s"}}, request_id="no"
    )
    for vendor, expected in (
        ("meiro", ["VENDOR_MISMATCH destination.segment", "INVALID_FIELD request_id"]),
        ("segment", ["INVALID_FIELD destination.segment.metadata_id", "INVALID_FIELD request_id"]),
        ("", ["INVALID_FIELD destination.segment.metadata_id", "INVALID_FIELD request_id"]),
    ):
        error = told(validate, request, lambda vendor=vendor: vendor)
        assert error is not None
        assert [f"{each.reason} {each.field}" for each in error.violations] == expected
        assert error.reason == expected[0].partition(" ")[0]


def test_another_vendors_arm_in_a_mask_is_told_before_what_is_wrong_with_the_update() -> None:
    request = new(UpdateDestinationRequest, destination={"name": "x"}, update_mask={"paths": ["adobe.tags", "y"]})
    error = told(validate, request, lambda: "meiro")
    assert error is not None
    assert (error.violations[0].field, error.reason) == ("destination.adobe", "VENDOR_MISMATCH")
    assert {each.field for each in error.violations} == {"destination.adobe", "destination.name", "update_mask"}


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
