"""Exports, their history and logs, and errors: the documented samples, odd answers, and rules for all inputs."""

from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from adapters import names
from adapters.errors import InvalidRequest, Missing
from adapters.extras import keep
from adapters.meiro import translate, wire
from adapters.states import UNRECOGNIZED
from adapters.wellknown import plain
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob, LogEntry
from tests.vendors.meiro.samples import CONDITIONS, EXPORT, HISTORY


def export_job(*, full: bool = False, **changes: Any) -> ExportJob:
    raw = {**EXPORT, **changes}
    source = msgspec.convert(raw, wire.Export)
    if full:
        keep(source, raw)
    return translate.export_job("crm", "300", source)


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


MARKS = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
LOOKALIKES = st.lists(MARKS.map("[gw:{}]".format) | st.sampled_from([" ", "\n", "[gw:]", "[gw:0A1B2C3D]", "x"])).map(
    "".join
)
NAMES = st.text(max_size=40) | LOOKALIKES | st.builds("{} {}".format, st.text(max_size=9), LOOKALIKES)


def wanted(**changes: Any) -> ExportJob:
    fields = {"destination": "connections/crm/destinations/400", "audiences": [ExportAudience(audience_id="300")]}
    return ExportJob(**{**fields, **changes})


@given(NAMES, MARKS | st.just(""))
def test_the_mark_in_a_name_is_taken_off_again_and_what_looks_like_one_stays(display_name: str, marker: str) -> None:
    _, body = translate.run("crm", wanted(display_name=display_name), marker)
    source = msgspec.convert({"id": 1, **body}, wire.Export)
    assert translate.mark(source) in {marker, translate.NO_MARK}
    assert export_job(name=body.get("name")).display_name == display_name


@given(NAMES, MARKS)
def test_a_mark_is_read_from_the_end_of_a_name_alone(display_name: str, marker: str) -> None:
    _, body = translate.run("crm", wanted(display_name=display_name), marker)
    assert translate.mark(msgspec.convert({"id": 1, **body}, wire.Export)) == marker


def test_a_change_of_a_name_is_shown_without_marks() -> None:
    source = {"segment_export": {"id": 1}, "diff": {"name": {"from": "a [gw:0a1b2c3d]", "to": "b [gw:0a1b2c3d]"}}}
    changes = translate.revision("crm", "300~1", msgspec.convert(source, wire.History)).changes["name"]
    assert (changes.old_value.string_value, changes.new_value.string_value) == ("a", "b")


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
