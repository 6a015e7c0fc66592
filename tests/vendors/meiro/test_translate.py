"""Meiro's JSON and the contract's messages: payloads as in the documentation, odd answers, and rules for all inputs."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from adapters import names
from adapters.errors import InvalidRequest, Missing
from adapters.extras import keep
from adapters.meiro import translate, wire
from adapters.states import UNRECOGNIZED
from adapters.wellknown import plain, struct
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob, LogEntry
from audiencegateway.v1.vendor_config_pb2 import MeiroDestinationConfig

# The samples of the documentation, typed as valid JSON.
DESTINATION: dict[str, Any] = {
    "id": 100,
    "user_id": 200,
    "name": "example segment",
    "description": "segment description",
    "settings": {
        "mandatory_attributes_operator": "and",
        "mi_workspace_variables": [
            {
                "name": "port",
                "title": "Port",
                "values": {"port_home": "1234"},
                "required": True,
                "can_be_empty": False,
                "input_mode": "value_from_list",
            }
        ],
    },
    "frontend_settings": {},
    "attribute_ids": ["id1", "id2"],
    "disabled": 0,
    "icon": "",
    "mandatory_attribute_ids": ["3"],
    "created": "2017-01-01 15:35:00",
    "mi_workspace_id": 300,
    "last_export": "2018-01-01 15:00:00",
    "data_load_start_time": None,
    "data_load_end_time": None,
}
CONDITIONS = {
    "operation": "and",
    "operands": [
        {"attribute_id": "attribute_1", "condition": {"operation": "contains", "value": "foo"}, "negation": False}
    ],
    "negation": False,
}
EXPORT: dict[str, Any] = {
    "id": 100,
    "user_id": 200,
    "segment_id": 300,
    "segment_export_destination_id": 400,
    "name": "export example",
    "settings": {"conditions_operation": CONDITIONS},
    "frontend_settings": {},
    "status": "running",
    "stats": {
        "statuses_history": {
            "waiting": "2017-01-01 15:35:00",
            "running": "2017-01-01 15:36:00",
            "finished": "2017-01-01 15:37:00",
        }
    },
    "file_download_token": "1234567890abcdef",
    "created": "2017-01-01 15:35:00",
}
HISTORY: dict[str, Any] = {
    "id": "100",
    "segment_export": {
        "id": 200,
        "user_id": 200,
        "segment_id": 300,
        "segment_export_destination_id": 400,
        "name": "export example",
        "settings": {},
        "frontend_settings": {},
        "status": "running",
        "stats": None,
        "created": "2017-01-01 15:35:00",
    },
    "diff": {"status": {"from": "waiting", "to": "running"}},
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
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


def export_job(*, full: bool = False, **changes: Any) -> ExportJob:
    raw = {**EXPORT, **changes}
    source = msgspec.convert(raw, wire.Export)
    if full:
        keep(source, raw)
    return translate.export_job("crm", "300", source)


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


# Destinations.


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


# Export jobs.


def test_the_sample_export_is_whole() -> None:
    assert MessageToDict(export_job(), preserving_proto_field_name=True) == {
        "name": "connections/crm/exportJobs/300~100",
        "display_name": "export example",
        "destination": "connections/crm/destinations/400",
        "audiences": [{"audience_id": "300"}],
        "state": "RUNNING",
        "vendor_state": "running",
        "vendor_job_id": "100",
        "create_time": "2017-01-01T15:35:00Z",
        "start_time": "2017-01-01T15:36:00Z",
        "meiro": {
            "settings": {"conditions_operation": CONDITIONS},
            "frontend_settings": {},
            "owner_user_id": "200",
            "state_times": {
                "waiting": "2017-01-01T15:35:00Z",
                "running": "2017-01-01T15:36:00Z",
                "finished": "2017-01-01T15:37:00Z",
            },
        },
    }


def test_an_export_may_have_nothing_but_an_id() -> None:
    bare = translate.export_job("crm", "300", msgspec.convert({"id": 1}, wire.Export))
    assert bare.name == "connections/crm/exportJobs/300~1"
    assert bare.state == ExportJob.UNRECOGNIZED_STATE
    assert not bare.destination


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("waiting", ExportJob.PENDING),
        ("running", ExportJob.RUNNING),
        ("finished", ExportJob.SUCCEEDED),
        ("error", ExportJob.FAILED),
        ("canceled", ExportJob.CANCELLED),
        ("Canceled", ExportJob.CANCELLED),
        ("FINISHED", ExportJob.SUCCEEDED),
    ],
)
def test_every_documented_status_has_its_state(status: str, state: ExportJob.State.ValueType) -> None:
    job = export_job(status=status)
    assert (job.state, job.vendor_state) == (state, status)


@given(st.text(max_size=12).filter(lambda word: word.lower() not in translate.JOB_STATES))
def test_a_status_nobody_knows_survives(word: str) -> None:
    before = UNRECOGNIZED["meiro", word]
    job = export_job(status=word)
    assert (job.state, job.vendor_state) == (ExportJob.UNRECOGNIZED_STATE, word)
    assert not job.HasField("end_time")
    assert UNRECOGNIZED["meiro", word] in {before + 1, 0}
    UNRECOGNIZED.clear()


@pytest.mark.parametrize(
    ("status", "start", "end"),
    [
        # The history of the sample says `finished` of exports that run, or were canceled.
        ("waiting", False, False),
        ("running", True, False),
        ("finished", True, True),
        ("error", True, False),
        ("canceled", False, False),
        ("archiving", False, False),
    ],
)
def test_times_are_taken_from_the_history_only_as_far_as_the_status_vouches_for_them(
    status: str, start: bool, end: bool
) -> None:
    job = export_job(status=status)
    assert (job.HasField("start_time"), job.HasField("end_time")) == (start, end)
    assert len(job.meiro.state_times) == 3


@pytest.mark.parametrize("stats", [None, {}, {"statuses_history": None}, {"statuses_history": {"finished": None}}])
def test_an_export_without_a_history_has_no_times(stats: dict[str, Any] | None) -> None:
    job = export_job(status="finished", stats=stats)
    assert not job.HasField("end_time")
    assert not job.meiro.state_times


def test_a_finished_export_has_its_file_and_no_other_has_one() -> None:
    (file,) = export_job(status="finished").artifacts
    assert (file.artifact_id, file.downloadable, file.vendor_state) == ("file", True, "finished")
    assert not [status for status in ("waiting", "running", "error", "canceled") if export_job(status=status).artifacts]


def test_a_failed_export_says_so_and_why_where_its_log_does() -> None:
    job = export_job(status="error")
    info = ErrorInfo()
    assert job.error.details[0].Unpack(info)
    assert (info.domain, dict(info.metadata)) == (
        "audiencegateway.internal",
        {"vendor": "meiro", "connection": "crm"},
    )
    translate.explain(job, "Connection refused")
    assert job.error.details[0].Unpack(info)
    assert info.metadata["vendorMessage"] == "Connection refused"
    assert len(job.error.details) == 1
    assert not export_job(status="canceled").HasField("error")


@pytest.mark.parametrize("full", [False, True])
def test_the_download_token_is_never_shown(full: bool) -> None:
    shown = str(export_job(full=full, segment={"file_download_token": "fedcba0987654321"}))
    assert "1234567890abcdef" not in shown
    assert "fedcba0987654321" not in shown
    assert 'key: "file_download_token"' not in str(export_job(full=full))


def test_sub_entities_are_kept_in_the_full_view() -> None:
    assert plain(export_job(full=True, segment={"id": 300}).vendor_extras) == {"segment": {"id": 300}}
    assert not export_job(segment={"id": 300}).HasField("vendor_extras")


NAMES = st.text(max_size=40).filter(lambda name: not name.endswith("]"))
MARKS = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)


def wanted(**changes: Any) -> ExportJob:
    fields = {"destination": "connections/crm/destinations/400", "audiences": [ExportAudience(audience_id="300")]}
    return ExportJob(**{**fields, **changes})


@given(NAMES, MARKS | st.just(""))
def test_the_mark_in_a_name_is_taken_off_again(display_name: str, marker: str) -> None:
    _, body = translate.run("crm", wanted(display_name=display_name), marker)
    assert marker in body.get("name", "")
    assert export_job(name=body.get("name")).display_name == display_name


def test_a_run_names_its_destination_by_a_number() -> None:
    assert translate.run("crm", wanted(display_name="example tag"), "0a1b2c3d") == (
        "300",
        {"segment_export_destination_id": 400, "name": "example tag [gw:0a1b2c3d]"},
    )
    assert translate.run("crm", wanted(), "") == ("300", {"segment_export_destination_id": 400})
    assert translate.run("crm", wanted(), "0a1b2c3d")[1]["name"] == "[gw:0a1b2c3d]"


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"audiences": []}, "export_job.audiences", "INVALID_FIELD"),
        ({"audiences": [ExportAudience()]}, "export_job.audiences", "INVALID_FIELD"),
        ({"audiences": [ExportAudience(audience_id=x) for x in "ab"]}, "export_job.audiences", "INVALID_FIELD"),
        ({"destination": ""}, "export_job.destination", "INVALID_RESOURCE_NAME"),
        ({"destination": "destinations/400"}, "export_job.destination", "INVALID_RESOURCE_NAME"),
        ({"destination": "connections/other/destinations/400"}, "export_job.destination", "INVALID_FIELD"),
    ],
)
def test_a_run_needs_one_audience_and_a_destination_of_the_connection(
    changes: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate.run("crm", wanted(**changes), "")
    assert (refused.value.reason, refused.value.violations[0].field) == (reason, field)


@pytest.mark.parametrize("destination_id", ["main", "9" * 40, "-1"])
def test_a_run_to_what_meiro_can_not_have_is_not_sent(destination_id: str) -> None:
    name = f"connections/crm/destinations/{destination_id}"
    with pytest.raises(Missing) as missing:
        translate.run("crm", wanted(destination=name), "")
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", name)


@given(st.text(min_size=1, max_size=12), st.integers(0) | st.text(min_size=1, max_size=12))
def test_names_go_both_ways_whatever_ids_hold(audience_id: str, export_id: int | str) -> None:
    source = msgspec.convert({"id": export_id, "segment_export_destination_id": export_id}, wire.Export)
    job = translate.export_job("crm", audience_id, source)
    (_, job_id), (_, destination_id) = names.parse(job.name, "ExportJob"), names.parse(job.destination, "Destination")
    assert names.split_id(job_id, 2) == (audience_id, str(export_id))
    assert names.split_id(destination_id, 1, "Destination") == (str(export_id),)


# History and logs.


def test_the_sample_history_item_is_whole() -> None:
    revision = translate.revision("crm", "300~200", msgspec.convert(HISTORY, wire.History))
    assert revision.name == "connections/crm/exportJobs/300~200/revisions/100"
    assert revision.snapshot.name == "connections/crm/exportJobs/300~200"
    assert revision.snapshot.state == ExportJob.RUNNING
    assert revision.changes["status"].old_value.string_value == "waiting"
    assert revision.changes["status"].new_value.string_value == "running"


def test_a_history_item_is_of_the_export_that_was_asked_for() -> None:
    revision = translate.revision("crm", "300~100", msgspec.convert(HISTORY, wire.History))
    assert revision.snapshot.name == "connections/crm/exportJobs/300~100"
    assert revision.snapshot.vendor_job_id == "100"


@pytest.mark.parametrize("without", [{"id": None}, {}])
def test_a_history_item_without_an_id_is_the_current_one(without: dict[str, Any]) -> None:
    item = {"segment_export": HISTORY["segment_export"], **without}
    revision = translate.revision("crm", "300~200", msgspec.convert(item, wire.History))
    assert revision.name == "connections/crm/exportJobs/300~200/revisions/current"
    assert not revision.changes


def test_a_change_may_be_anything_but_shows_no_token() -> None:
    diff = {
        "file_download_token": {"from": None, "to": "1234567890abcdef"},
        "settings": {"from": {}, "to": {"a": [1, {"password": "hunter2"}]}},
        "name": {"to": "new"},
    }
    revision = translate.revision("crm", "300~200", msgspec.convert({**HISTORY, "diff": diff}, wire.History))
    assert "1234567890abcdef" not in str(revision)
    assert "hunter2" not in str(revision)
    assert plain(revision.changes["settings"].new_value.struct_value)["a"][0] == 1
    assert revision.changes["name"].old_value.HasField("null_value")


def test_the_sample_log_line_is_whole() -> None:
    sample = {"id": 100, "segment_export_id": 200, "level": "info", "text": "log content"}
    entry = translate.log_entry(msgspec.convert({**sample, "created": "2017-01-01 15:35:00"}, wire.Log))
    assert MessageToDict(entry, preserving_proto_field_name=True) == {
        "log_time": "2017-01-01T15:35:00Z",
        "severity": "INFO",
        "text": "log content",
        "entry_id": "100",
        "vendor_severity": "info",
    }


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("debug", LogEntry.DEBUG),
        ("WARNING", LogEntry.WARNING),
        ("error", LogEntry.ERROR),
        ("notice", LogEntry.SEVERITY_UNSPECIFIED),
        (None, LogEntry.SEVERITY_UNSPECIFIED),
    ],
)
def test_a_level_nobody_knows_stays_a_word(level: str | None, severity: LogEntry.Severity.ValueType) -> None:
    entry = translate.log_entry(msgspec.convert({"id": 1, "level": level}, wire.Log))
    assert (entry.severity, entry.vendor_severity) == (severity, level or "")


# Errors.


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "Notification doesn\'t exist"}', "Notification doesn't exist"),
        (b'{"message": null}', ""),
        (b"{}", ""),
        (b"", ""),
        (b"<html>502</html>", ""),
        (b'["message"]', ""),
        (b'{"message": 5}', ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_an_error_answer_is_read_if_it_can_be(body: bytes, message: str) -> None:
    assert translate.fault(400, {}, body).message == message
