"""Updates: what a mask covers, what a merge-patch leaves, and what goes to the vendor."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.base import Change, M
from adapters.errors import Aborted, InvalidRequest
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import etags
from gateway.findings import Finding
from gateway.updates import MASK, patch, paths, plan
from tests.gateway.arbitrary import json, messages, new, objects, struct

DESTINATION = "connections/main/destinations/42"
DESTINATION_PATHS = sorted(paths(Destination.DESCRIPTOR))


def present() -> Destination:
    destination = new(
        Destination,
        name=DESTINATION,
        display_name="CRM",
        description="daily",
        disabled=True,
        state=Destination.SUSPENDED,
        running_export_job="connections/main/exportJobs/1~2",
        meiro={"attribute_ids": ["email", "phone"], "workspace_id": "7", "owner_user_id": "5"},
        etag="whatever the adapter says",
    )
    destination.meiro.settings.update({"variables": {"region": "eu", "limit": 10}, "key": MASK, "hosts": ["a", "b"]})
    return destination


def subscription() -> Subscription:
    made = new(Subscription, name=f"{DESTINATION}/subscriptions/s", display_name="Orders")
    made.segment.action_id = "a1"
    made.segment.trigger = 'type = "track"'
    made.segment.schedule.strategy = "CRON"
    made.segment.schedule.config.update({"spec": "0 * * * *"})
    return made


def change(resource: Destination, mask: list[str], current: Destination | None = None) -> Change[Destination]:
    return plan(resource, FieldMask(paths=mask))(current or present())


def refused(resource: M, mask: list[str], current: M) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        plan(resource, FieldMask(paths=mask))(current)
    assert caught.value.reason == caught.value.violations[0].reason
    return [(violation.field, violation.reason) for violation in caught.value.violations]


def settings(value: dict[str, Any]) -> Destination:
    return new(Destination, meiro={"settings": struct(value)})


# --- Masks ---------------------------------------------------------------------------------------------------------


def test_without_a_mask_the_populated_fields_are_written() -> None:
    made = change(new(Destination, display_name="new", meiro={"icon": "i.png"}), [])
    assert made.paths == {"display_name", "meiro.icon"}
    assert not made.settled
    assert made.merged.display_name == "new"
    assert made.merged.disabled
    assert made.merged.meiro.attribute_ids == ["email", "phone"]


def test_a_default_value_needs_the_mask() -> None:
    assert change(new(Destination, disabled=False, description=""), []).paths == frozenset()
    made = change(new(Destination, disabled=False, description=""), ["disabled", "description"])
    assert made.paths == {"disabled", "description"}
    assert not made.merged.disabled
    assert made.merged.description == ""


def test_a_star_writes_all_that_the_vendor_has() -> None:
    made = change(new(Destination, display_name="CRM", meiro={"attribute_ids": ["email"]}), ["*"])
    assert made.paths == {"description", "disabled", "meiro.attribute_ids", "meiro.workspace_id"}
    assert made.merged.WhichOneof("vendor_config") == "meiro"


def test_a_message_in_a_mask_means_its_writable_fields() -> None:
    made = change(new(Destination, display_name="not meant", meiro={"workspace_id": "8"}), ["meiro"])
    assert made.paths == {"meiro.workspace_id", "meiro.attribute_ids"}
    assert made.merged.display_name == "CRM"
    assert made.merged.meiro.owner_user_id == "5"


def test_lists_and_maps_are_written_as_a_whole() -> None:
    assert change(new(Destination, meiro={"attribute_ids": ["phone"]}), []).merged.meiro.attribute_ids == ["phone"]
    current = new(Destination, adobe={"tags": {"a": {"values": [{"number_value": 1}]}, "b": {}}})
    made = change(new(Destination, adobe={"tags": {"c": {}}}), ["adobe.tags"], current)
    assert made.paths == {"adobe.tags"}
    assert set(made.merged.adobe.tags) == {"c"}
    assert change(new(Destination, adobe={"tags": current.adobe.tags}), [], current).settled


@pytest.mark.parametrize(
    "path",
    [
        "nonsense",
        "displayName",
        "meiro.settings.variables",
        "meiro.attribute_ids.0",
        "adobe.tags.x",
        "vendor_extras.x",
        "create_time.seconds",
        "meiro.",
        ".meiro",
        "meiro.*",
        "",
        "destination.display_name",
        "x" * 5000,
    ],
    ids=lambda path: path[:32] or "empty",
)
def test_a_path_that_is_no_field_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan(Destination(), FieldMask(paths=["display_name", path]))
    assert caught.value.reason == "INVALID_UPDATE_MASK"
    assert caught.value.metadata == {"path": path[:128]}
    assert [violation.field for violation in caught.value.violations] == ["update_mask"]


def test_a_mask_has_a_size() -> None:
    with pytest.raises(InvalidRequest, match="1001 paths") as caught:
        plan(Destination(), FieldMask(paths=["display_name"] * 1001))
    assert caught.value.reason == "LIMIT_EXCEEDED"


def test_what_is_no_callers_business_is_ignored() -> None:
    resource = new(Destination, name="other", state=Destination.DELETED, meiro={"owner_user_id": "6"})
    made = change(resource, ["name", "etag", "state", "create_time", "vendor_extras", "meiro.owner_user_id"])
    assert made.settled
    assert made.paths == frozenset()
    assert made.merged == present()


# --- What may not be written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "cleared"),
    [
        (["display_name"], ["display_name"]),
        (["segment.trigger"], ["segment.trigger"]),
        (["segment"], ["segment.action_id", "segment.trigger"]),
        (["segment.schedule.strategy"], ["segment.schedule.strategy"]),
        (["*"], ["display_name"]),
    ],
)
def test_what_is_required_may_not_be_cleared(mask: list[str], cleared: list[str]) -> None:
    expected = [(f"subscription.{path}", "INVALID_FIELD") for path in cleared]
    with pytest.raises(InvalidRequest) as caught:
        plan(Subscription(), FieldMask(paths=mask))
    assert [(violation.field, violation.reason) for violation in caught.value.violations] == expected


def test_a_star_clears_nothing_required_of_the_present_vendor_either() -> None:
    assert refused(new(Subscription, display_name="Orders"), ["*"], subscription()) == [
        ("subscription.segment.action_id", "INVALID_FIELD"),
        ("subscription.segment.trigger", "INVALID_FIELD"),
    ]


def test_an_optional_message_can_be_taken_away_with_all_that_is_required_in_it() -> None:
    made = plan(Subscription(), FieldMask(paths=["segment.schedule"]))(subscription())
    assert made.paths == {"segment.schedule.strategy", "segment.schedule.config"}
    assert not made.merged.segment.HasField("schedule")
    assert made.merged.segment.trigger == 'type = "track"'
    assert plan(Subscription(), FieldMask(paths=["segment.schedule"]))(made.merged).settled


def test_an_immutable_field_can_be_given_its_present_value() -> None:
    resource = new(Subscription, segment={"action_id": "a1", "trigger": "new"})
    made = plan(resource, FieldMask())(subscription())
    assert made.paths == {"segment.trigger"}


def test_an_immutable_field_can_not_be_changed() -> None:
    resource = new(Subscription, segment={"action_id": "a2", "trigger": "new"})
    assert refused(resource, [], subscription()) == [("subscription.segment.action_id", "IMMUTABLE_FIELD")]
    with pytest.raises(InvalidRequest) as caught:
        plan(resource, FieldMask())(subscription())
    assert caught.value.metadata == {"field": "segment.action_id"}


def test_what_is_below_an_immutable_message_is_immutable() -> None:
    [leaf] = paths(ExportJob.DESCRIPTOR)["adobe.schema_name"]
    assert leaf.immutable
    assert not leaf.field.immutable


def test_the_arm_of_another_vendor_is_refused() -> None:
    expected = [("destination.adobe", "VENDOR_MISMATCH")]
    assert refused(new(Destination, adobe={"schema_ref_id": "x"}), [], present()) == expected
    assert refused(new(Destination, adobe={}), ["*"], present()) == expected
    assert refused(Destination(), ["adobe.tags"], present()) == expected
    with pytest.raises(InvalidRequest) as caught:
        change(new(Destination, adobe={}), [])
    assert caught.value.metadata == {"expected": "meiro", "actual": "adobe", "path": "destination.adobe"}


def test_the_first_setting_of_a_resource_without_an_arm_brings_it() -> None:
    made = change(settings({"a": 1}), [], new(Destination, name=DESTINATION))
    assert made.paths == {"meiro.settings"}
    assert made.merged.meiro.settings["a"] == 1


# --- Etags, dry runs -----------------------------------------------------------------------------------------------


def test_an_etag_must_be_that_of_the_present_resource() -> None:
    assert change(new(Destination, etag=etags.of(present()), display_name="new"), []).paths == {"display_name"}
    with pytest.raises(Aborted) as caught:
        change(new(Destination, etag='W/"0000000000000000"', display_name="new"), [])
    assert caught.value.reason == "ETAG_MISMATCH"
    assert caught.value.resource == DESTINATION


def test_a_dry_run_is_settled_and_says_what_would_be() -> None:
    made = plan(new(Destination, display_name="new"), FieldMask(), validate_only=True)(present())
    assert made.settled
    assert made.merged.display_name == "new"
    assert made.paths == {"display_name"}
    assert made.current == present()


def test_a_dry_run_refuses_the_same() -> None:
    with pytest.raises(InvalidRequest):
        plan(new(Destination, adobe={}), FieldMask(), validate_only=True)(present())


def test_nothing_is_sent_where_nothing_differs() -> None:
    made = change(present_as_request(), ["*"])
    assert made.settled
    assert made.merged == made.current


def present_as_request() -> Destination:
    request = present()
    request.etag = ""
    return request


# --- Merge-patch ---------------------------------------------------------------------------------------------------


def test_keys_that_are_given_are_set_null_removes_and_the_others_stay() -> None:
    made = change(settings({"variables": {"limit": None, "tier": "gold"}, "new": [1]}), [])
    assert made.paths == {"meiro.settings"}
    assert MessageToDict(made.merged.meiro.settings) == {
        "variables": {"region": "eu", "tier": "gold"},
        "key": MASK,
        "hosts": ["a", "b"],
        "new": [1.0],
    }


@pytest.mark.parametrize(
    "resource", [Destination(), new(Destination, meiro={}), settings({})], ids=["no arm", "arm", "Struct"]
)
def test_an_empty_patch_changes_nothing_even_where_the_mask_names_it(resource: Destination) -> None:
    assert change(resource, ["meiro.settings"]).settled


def test_a_mask_keeps_what_is_there() -> None:
    assert change(settings({"key": MASK, "variables": {"region": MASK}}), []).settled
    assert change(settings({"key": MASK, "nothing": MASK}), []).settled
    assert change(settings({"key": "new"}), []).merged.meiro.settings["key"] == "new"


@pytest.mark.parametrize(
    ("there", "given_", "after"),
    [
        (["a", "b"], [MASK, "c"], ["a", "c"]),
        ([{"name": "n", "token": "t"}], [{"name": "m", "token": MASK}], [{"name": "m", "token": "t"}]),
        ([{"name": "n"}], [{"name": "m", "token": MASK}], [{"name": "m"}]),
        ([["a", "b"], 1.0], [[MASK, "c"], 2.0], [["a", "c"], 2.0]),
        ([{"list": ["a"]}], [{"list": [MASK], "x": None}], [{"list": ["a"], "x": None}]),
        (["a", "b"], ["c"], ["c"]),
    ],
)
def test_in_lists_a_mask_keeps_what_is_at_its_place(there: list[Any], given_: list[Any], after: list[Any]) -> None:
    made = change(settings({"list": given_}), [], settings({"list": there}))
    assert MessageToDict(made.merged.meiro.settings) == {"list": after}


@pytest.mark.parametrize(
    ("there", "given_", "where"),
    [
        (["a", "b"], [MASK], '["list"]'),
        (["a"], [MASK, "b"], '["list"]'),
        ("no list", [MASK], '["list"]'),
        (["a"], [{"token": MASK}, "b"], '["list"]'),
        ([{"inner": ["a"]}], [{"inner": [MASK, "b"]}], '["list"][0]["inner"]'),
    ],
)
def test_a_mask_in_a_list_of_another_length_is_refused(there: object, given_: list[Any], where: str) -> None:
    expected = [(f"destination.meiro.settings{where}", "INVALID_FIELD")]
    assert refused(settings({"list": given_}), [], settings({"list": there})) == expected


def merge(target: Any, changes: Any) -> Any:
    """Merge as RFC 7396 writes it down."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def unmasked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unmasked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unmasked(item) for item in value]
    return "masked" if value == MASK else value


@given(target=objects(json()), changes=objects(json()))
def test_patches_are_merged_as_the_rfc_says(target: dict[str, Any], changes: dict[str, Any]) -> None:
    target, changes = unmasked(target), unmasked(changes)
    after, found = struct(target), list[Finding]()
    patch(after, struct(changes), "settings", found)
    assert after == struct(merge(target, changes))
    assert found == []


@given(target=objects(json()), changes=objects(json()))
def test_a_patch_that_was_merged_changes_nothing_more(target: dict[str, Any], changes: dict[str, Any]) -> None:
    once, found = struct(target), list[Finding]()
    patch(once, struct(changes), "settings", found)
    assume(not found)
    twice = Struct()
    twice.CopyFrom(once)
    patch(twice, struct(changes), "settings", found)
    assert twice == once
    assert found == []


@given(target=objects(json()), changes=objects(json()))
def test_a_patch_brings_no_mask_that_was_not_there(target: dict[str, Any], changes: dict[str, Any]) -> None:
    after, found = struct(unmasked(target)), list[Finding]()
    patch(after, struct(changes), "settings", found)
    assert found or MASK not in str(after)


# --- For all resources and masks -----------------------------------------------------------------------------------


def destinations() -> st.SearchStrategy[Destination]:
    return messages(Destination, wild=False).map(_without_etag)


def _without_etag(destination: Destination) -> Destination:
    destination.etag = ""
    return destination


MASKS = st.lists(st.sampled_from(DESTINATION_PATHS), max_size=4)


def _planned(resource: Destination, mask: list[str], current: Destination) -> Change[Destination]:
    try:
        return plan(resource, FieldMask(paths=mask))(current)
    except InvalidRequest:
        assume(False)
        raise


@given(current=destinations(), resource=destinations(), mask=MASKS)
def test_an_update_is_a_change_or_an_invalid_request(
    current: Destination, resource: Destination, mask: list[str]
) -> None:
    before = current.SerializeToString(deterministic=True), resource.SerializeToString(deterministic=True)
    reason = ""
    try:
        made = plan(resource, FieldMask(paths=mask))(current)
    except InvalidRequest as error:
        reason = error.reason
    else:
        assert made.settled == (not made.paths)
        assert made.current is current
    assert reason in {"", "INVALID_FIELD", "IMMUTABLE_FIELD", "VENDOR_MISMATCH"}
    assert (current.SerializeToString(deterministic=True), resource.SerializeToString(deterministic=True)) == before


@given(current=destinations(), resource=destinations(), mask=MASKS.filter(bool))
def test_what_the_mask_does_not_cover_never_changes(
    current: Destination, resource: Destination, mask: list[str]
) -> None:
    legal = paths(Destination.DESCRIPTOR)
    covered = {leaf.path for path in mask for leaf in legal[path]}
    made = _planned(resource, mask, current)
    assert made.paths <= covered
    for message in (current, made.merged):
        for leaf in legal["*"]:
            if leaf.path in covered and leaf.populated(message):
                leaf.holder(message).ClearField(leaf.field.name)
        for arm in ("meiro", "mediarithmics", "adobe", "segment"):
            if not getattr(message, arm).ByteSize():
                message.ClearField(arm)
    assert made.merged == current


@given(current=destinations(), resource=destinations(), mask=MASKS)
def test_the_paths_of_a_change_are_the_fields_that_differ(
    current: Destination, resource: Destination, mask: list[str]
) -> None:
    made = _planned(resource, mask, current)
    leaves = paths(Destination.DESCRIPTOR)["*"]
    assert made.paths == {leaf.path for leaf in leaves if leaf.value(made.current) != leaf.value(made.merged)}


@given(current=destinations(), resource=destinations(), mask=MASKS)
def test_an_update_that_was_made_changes_nothing_more(
    current: Destination, resource: Destination, mask: list[str]
) -> None:
    once = _planned(resource, mask, current).merged
    twice = plan(resource, FieldMask(paths=mask))(once)
    assert twice.settled
    assert twice.merged == once


@given(current=destinations(), resource=destinations())
def test_without_a_mask_nothing_is_ever_cleared(current: Destination, resource: Destination) -> None:
    made = _planned(resource, [], current)
    for leaf in paths(Destination.DESCRIPTOR)["*"]:
        assert leaf.populated(made.merged) or not leaf.populated(current)


def test_the_value_of_a_struct_without_a_value_is_set_like_any_other() -> None:
    resource = new(Destination, meiro={"settings": new(Struct, fields={"x": Value()})})
    assert "x" in change(resource, []).merged.meiro.settings.fields
