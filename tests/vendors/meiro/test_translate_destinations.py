"""Destinations and what is written of them: the documented sample, odd answers, and rules for all inputs."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import InvalidRequest
from adapters.extras import keep
from adapters.meiro import translate, wire
from adapters.wellknown import plain, struct
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.vendor_config_pb2 import MeiroDestinationConfig
from tests.vendors.meiro.samples import DESTINATION

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)  # no negative zero
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
SETTINGS = st.dictionaries(st.text(max_size=8).filter(lambda key: key != translate.OPERATOR), JSON, max_size=4)


def destination(*, full: bool = False, **changes: Any) -> Destination:
    raw = {**DESTINATION, **changes}
    source = msgspec.convert(raw, wire.Destination)
    if full:
        keep(source, raw)
    return translate.destination("crm", source)


def patched(raw: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body of the PATCH that makes *changes* to a destination, which its caller read before."""
    present = msgspec.convert({**DESTINATION, **raw}, wire.Destination)
    shown = translate.destination("crm", present)
    merged = Destination()
    merged.CopyFrom(shown)
    merged.MergeFrom(Destination(**{name: value for name, value in changes.items() if name != "meiro"}))
    for name, value in changes.get("meiro", {}).items():
        merged.meiro.ClearField(name)
        merged.meiro.MergeFrom(MeiroDestinationConfig(**{name: value}))
    paths = {*changes, *(f"meiro.{name}" for name in changes.get("meiro", {}))} - {"meiro"}
    return translate.patch(merged, shown, present, paths)


def test_the_sample_destination_is_whole() -> None:
    assert MessageToDict(destination(), preserving_proto_field_name=True) == {
        "name": "connections/crm/destinations/100",
        "display_name": "example segment",
        "description": "segment description",
        "state": "ACTIVE",
        "create_time": "2017-01-01T15:35:00Z",
        "last_export_time": "2018-01-01T15:00:00Z",
        "meiro": {
            "attribute_ids": ["id1", "id2"],
            "mandatory_attribute_ids": ["3"],
            "mandatory_attributes_operator": "and",
            "workspace_id": "300",
            "settings": {"mi_workspace_variables": DESTINATION["settings"]["mi_workspace_variables"]},
            "frontend_settings": {},
            "owner_user_id": "200",
        },
    }


def test_a_destination_may_have_nothing_but_an_id() -> None:
    bare = translate.destination("crm", msgspec.convert({"id": "x_1"}, wire.Destination))
    assert bare.name == "connections/crm/destinations/x__1"
    assert bare.state == Destination.ACTIVE
    assert not bare.HasField("create_time")
    assert not bare.meiro.HasField("customer_entities_count")


def test_every_key_but_the_id_may_be_null() -> None:
    nulls: dict[str, Any] = dict.fromkeys(DESTINATION) | {"id": 100}
    assert destination(**nulls).name == "connections/crm/destinations/100"


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ({"disabled": 0}, Destination.ACTIVE),
        ({"disabled": 1}, Destination.SUSPENDED),
        ({"disabled": True}, Destination.SUSPENDED),
        ({"disabled": 0, "deleted": 1}, Destination.DELETED),
        ({"disabled": 1, "deleted": True}, Destination.DELETED),
        ({"disabled": None, "deleted": False}, Destination.ACTIVE),
    ],
)
def test_flags_make_the_state(flags: dict[str, Any], state: Destination.State.ValueType) -> None:
    assert destination(**flags).state == state


def test_what_lies_in_the_trash_is_deleted_whatever_it_says() -> None:
    source = msgspec.convert({**DESTINATION, "deleted": None}, wire.Destination)
    assert translate.destination("crm", source, deleted=True).state == Destination.DELETED


def test_ids_may_be_numbers_or_texts() -> None:
    texts: dict[str, Any] = {"id": "100", "user_id": "200", "mi_workspace_id": "300", "attribute_ids": [1, "2"]}
    found = destination(**texts)
    assert found.name == "connections/crm/destinations/100"
    assert (found.meiro.owner_user_id, found.meiro.workspace_id) == ("200", "300")
    assert list(found.meiro.attribute_ids) == ["1", "2"]


def test_settings_may_be_json_in_a_string_as_patch_takes_them() -> None:
    strings: dict[str, Any] = {
        key: json.dumps(DESTINATION[key]) for key in ("settings", "frontend_settings", "attribute_ids")
    }
    assert destination(**strings) == destination()
    assert destination(settings="no JSON", attribute_ids="{}").meiro.settings == Struct()


@pytest.mark.parametrize("text", ["2023-01-20 10:59:33", "2023-01-20T10:59:33Z", "2023-01-20T10:59:33.000000"])
def test_the_three_forms_of_a_date_are_one_time(text: str) -> None:
    assert destination(created=text).create_time.ToDatetime(UTC) == datetime(2023, 1, 20, 10, 59, 33, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "0000-00-00 00:00:00", "yesterday", "0001-01-01T00:00:00+23:00", None])
def test_a_date_that_is_none_is_absent(text: str | None) -> None:
    assert not destination(created=text).HasField("create_time")


@given(st.datetimes())
def test_every_date_comes_through_in_every_form(moment: datetime) -> None:
    for text in (moment.isoformat(), moment.isoformat(" "), moment.isoformat() + "Z"):
        assert destination(created=text).create_time.ToDatetime() == moment


def test_a_workspace_variable_with_a_secret_name_is_masked() -> None:
    variables = [{"name": "password", "title": "Password", "values": {"password_home": "hunter2", "empty": ""}}]
    shown = plain(destination(settings={"mi_workspace_variables": variables}).meiro.settings)
    assert shown["mi_workspace_variables"][0]["values"] == {"password_home": "********", "empty": ""}


def test_the_attribute_of_a_push_token_is_no_secret() -> None:
    shown = plain(destination(settings={"registration_token_attribute_id": "attribute_a"}).meiro.settings)
    assert shown == {"registration_token_attribute_id": "attribute_a"}


def test_what_is_not_modelled_is_kept_in_the_full_view_alone() -> None:
    extra: dict[str, Any] = {"color": "teal", "user": {"id": 200, "password": "hunter2"}}
    assert plain(destination(full=True, **extra).vendor_extras) == {
        "color": "teal",
        "user": {"id": 200, "password": "********"},
    }
    assert not destination(**extra).HasField("vendor_extras")
    assert not destination(full=True).HasField("vendor_extras")


# What is written.

JSON_STRINGS = {"settings", "frontend_settings", "attribute_ids", "mandatory_attribute_ids"}


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"display_name": "CRM drop"}, {"name": "CRM drop"}),
        ({"description": "new"}, {"description": "new"}),
        ({"disabled": True}, {"disabled": 1}),
        ({"meiro": {"icon": "destination.png"}}, {"icon": "destination.png"}),
        ({"meiro": {"workspace_id": "301"}}, {"mi_workspace_id": 301}),
        ({"meiro": {"workspace_id": ""}}, {"mi_workspace_id": None}),
        ({"meiro": {"attribute_ids": ["email", "phone"]}}, {"attribute_ids": ["email", "phone"]}),
        ({"meiro": {"mandatory_attribute_ids": []}}, {"mandatory_attribute_ids": []}),
        ({"meiro": {"frontend_settings": {"color": "red"}}}, {"frontend_settings": {"color": "red"}}),
        (
            {"meiro": {"mandatory_attributes_operator": "or"}},
            {"settings": {"port": 1234, "mandatory_attributes_operator": "or"}},
        ),
        ({"meiro": {"mandatory_attributes_operator": ""}}, {"settings": {"port": 1234}}),
        (
            {"meiro": {"settings": {"folder": "in"}}, "display_name": "CRM drop"},
            {"settings": {"folder": "in", "mandatory_attributes_operator": "and"}, "name": "CRM drop"},
        ),
    ],
)
def test_only_what_changed_is_written_four_fields_as_json_in_a_string(
    changes: dict[str, Any], body: dict[str, Any]
) -> None:
    raw = {"settings": {"mandatory_attributes_operator": "and", "port": 1234}}
    written = patched(raw, **changes)
    assert {type(written[key]) for key in JSON_STRINGS & written.keys()} <= {str}
    assert {key: json.loads(value) if key in JSON_STRINGS else value for key, value in written.items()} == body


def test_whole_numbers_are_written_as_whole_numbers() -> None:
    written = patched({}, meiro={"settings": {"port": 22, "list": [2.0, {"deep": -3.0}], "ratio": 0.5}})["settings"]
    assert json.loads(written) == {
        "port": 22,
        "list": [2, {"deep": -3}],
        "ratio": 0.5,
        "mandatory_attributes_operator": "and",
    }
    assert ".0" not in written


def test_what_the_caller_left_is_written_as_meiro_has_it() -> None:
    settings = {"big": 2**60 + 1, "ratio": 1.0, "password": "hunter2", "tokens": ["a", "b"], "old": 1}
    shown = destination(settings=settings).meiro.settings
    assert plain(shown)["password"] == "********"
    changed = Struct()
    changed.CopyFrom(shown)
    changed.update({"old": 2})
    written = patched({"settings": settings}, meiro={"settings": changed})["settings"]
    assert json.loads(written) == {**settings, "old": 2}
    assert str(2**60 + 1) in written


def test_a_masked_secret_keeps_what_is_there_and_a_new_one_replaces_it() -> None:
    def variables(*values: str) -> dict[str, Any]:
        return {
            "mi_workspace_variables": [
                {"name": name, "values": {"home": value}}
                for name, value in zip(("host", "password", "token"), values, strict=True)
            ]
        }

    raw = {"settings": variables("a.example", "hunter2", "old")}
    written = patched(raw, meiro={"settings": struct(variables("b.example", "********", "new"))})["settings"]
    assert json.loads(written) == variables("b.example", "hunter2", "new")


def test_a_mask_where_nothing_is_to_keep_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nothing to keep") as refused:
        patched({}, meiro={"settings": {"password": "********"}})
    assert refused.value.violations[0].field == "destination.meiro.settings.password"


@pytest.mark.parametrize(
    ("meiro", "field"),
    [
        ({"workspace_id": "main"}, "destination.meiro.workspace_id"),
        ({"workspace_id": "1" * 30}, "destination.meiro.workspace_id"),
        (
            {"settings": {"mandatory_attributes_operator": "or"}},
            "destination.meiro.settings.mandatory_attributes_operator",
        ),
    ],
)
def test_what_meiro_can_not_take_is_refused_with_its_place(meiro: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        patched({}, meiro=meiro)
    assert (refused.value.reason, refused.value.violations[0].field) == ("INVALID_FIELD", field)


@given(SETTINGS, SETTINGS)
def test_settings_go_round_whatever_they_hold(settings: dict[str, Any], more: dict[str, Any]) -> None:
    present = {**settings, "mandatory_attributes_operator": "or"}
    shown = plain(destination(settings=present).meiro.settings)
    written = patched({"settings": present}, meiro={"settings": struct({**shown, **more})})["settings"]
    assert json.loads(written) == {**present, **more}
