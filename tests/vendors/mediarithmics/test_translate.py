"""Imports, executions and errors: samples, odd answers, and rules for all inputs."""

from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import Fault, InvalidRequest
from adapters.extras import keep
from adapters.mediarithmics import translate, wire
from adapters.states import UNRECOGNIZED
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.mediarithmics.samples import EXECUTION, IMPORT


def destination(*, full: bool = False, **changes: Any) -> Destination:
    raw = {**IMPORT, **changes}
    source = msgspec.convert(raw, wire.Import)
    if full:
        keep(source, raw)
    return translate.destination("dmp", source)


def execution(*, full: bool = False, **changes: Any) -> wire.Execution:
    raw = {**EXECUTION, **changes}
    source = msgspec.convert(raw, wire.Execution)
    if full:
        keep(source, raw)
    return source


def export_job(*, full: bool = False, **changes: Any) -> ExportJob:
    return translate.export_job("dmp", "21577", execution(full=full, **changes))


def counted(succeeded: object, failed: object, **more: Any) -> dict[str, Any]:
    return {"result": {**EXECUTION["result"], "total_success": succeeded, "total_failure": failed, **more}}


def told(job: ExportJob) -> dict[str, str]:
    info = ErrorInfo()
    assert job.error.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("EXPORT_JOB_FAILED", "audiencegateway.internal")
    return dict(info.metadata)


# Destinations.


def test_the_sample_import_is_whole() -> None:
    assert MessageToDict(destination(), preserving_proto_field_name=True) == {
        "name": "connections/dmp/destinations/21577",
        "display_name": "example import",
        "state": "ACTIVE",
        "mediarithmics": {
            "datamart_id": "1509",
            "mime_type": "APPLICATION_X_NDJSON",
            "encoding": "utf-8",
            "priority": "MEDIUM",
        },
    }
    assert plain(destination(full=True).vendor_extras) == {"datafarm_key": "DF_EU_2026_01"}


def test_an_import_may_have_nothing_but_an_id_which_may_be_a_number() -> None:
    bare = translate.destination("dmp", msgspec.convert({"id": 7}, wire.Import))
    assert bare.name == "connections/dmp/destinations/7"
    assert destination(id=21577, datamart_id=1509) == destination()


def test_secrets_among_the_extras_of_an_import_are_masked_and_written_back_as_they_are() -> None:
    raw = {**IMPORT, "callback_secret": "fake-secret-5555", "labels": [1]}
    source = msgspec.convert(raw, wire.Import)
    keep(source, raw)
    assert plain(translate.destination("dmp", source).vendor_extras)["callback_secret"] == "********"
    assert translate.whole(source) == raw


def test_what_is_cleared_by_an_update_gets_what_a_create_would_give_it() -> None:
    cleared = Destination(display_name="x")
    assert translate.changes(cleared, {"mediarithmics.encoding", "mediarithmics.priority"}) == {
        "encoding": "utf-8",
        "priority": "MEDIUM",
    }
    with pytest.raises(InvalidRequest) as refused:
        translate.changes(Destination(), {"display_name"})
    assert [violation.field for violation in refused.value.violations] == ["destination.display_name"]


def test_a_create_that_is_only_checked_shows_what_would_be() -> None:
    planned = translate.planned("1509", translate.new_import(Destination(display_name="x")))
    assert MessageToDict(planned, preserving_proto_field_name=True) == {
        "display_name": "x",
        "state": "ACTIVE",
        "mediarithmics": {
            "datamart_id": "1509",
            "mime_type": "APPLICATION_X_NDJSON",
            "encoding": "utf-8",
            "priority": "MEDIUM",
        },
    }


# Export jobs.


def test_the_sample_execution_is_whole() -> None:
    job = export_job()
    assert told(job) == {"vendor": "mediarithmics", "connection": "dmp", "vendorMessage": "2 lines in error"}
    job.error.ClearField("details")
    assert MessageToDict(job, preserving_proto_field_name=True) == {
        "name": "connections/dmp/exportJobs/21577~90211",
        "destination": "connections/dmp/destinations/21577",
        "mediarithmics": {"document_import_id": "21577"},
        "state": "PARTIALLY_SUCCEEDED",
        "vendor_state": "SUCCEEDED",
        "vendor_job_id": "90211",
        "create_time": "2026-01-01T00:00:00Z",
        "start_time": "2026-01-01T00:00:02Z",
        "end_time": "2026-01-01T00:00:06.100Z",
        "error": {"code": 2, "message": "mediarithmics reports an error"},
        "metrics": {
            "records_total_count": "100",
            "records_succeeded_count": "98",
            "records_failed_count": "2",
            "run_duration": "4.100s",
            "vendor_metrics": {"num_tasks": 1.0, "completed_tasks": 1.0, "erroneous_tasks": 0.0},
        },
        "artifacts": [
            {"artifact_id": "input", "downloadable": True, "filename": "x.ndjson"},
            {"artifact_id": "error", "downloadable": True, "filename": "x.err"},
        ],
    }


def test_an_execution_may_have_nothing_but_an_id() -> None:
    for source in ({"id": 1}, {"id": "1", **dict.fromkeys(EXECUTION.keys() - {"id"})}):
        bare = translate.export_job("dmp", "21577", msgspec.convert(source, wire.Execution))
        assert bare.name == "connections/dmp/exportJobs/21577~1"
        assert bare.state == ExportJob.UNRECOGNIZED_STATE
        assert not bare.HasField("metrics")
        assert not bare.HasField("create_time")
        assert not bare.artifacts


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", ExportJob.PENDING),
        ("SCHEDULED", ExportJob.PENDING),
        ("WAITING_DEPENDENT_JOB", ExportJob.PENDING),
        ("RUNNING", ExportJob.RUNNING),
        ("EXECUTOR_NOT_RESPONDING", ExportJob.RUNNING),
        ("SUCCEEDED", ExportJob.PARTIALLY_SUCCEEDED),
        ("SUCCESS", ExportJob.PARTIALLY_SUCCEEDED),
        ("succeeded", ExportJob.PARTIALLY_SUCCEEDED),
        ("FAILED", ExportJob.FAILED),
        ("LOST", ExportJob.FAILED),
        ("CANCELED", ExportJob.CANCELLED),
    ],
)
def test_every_status_has_its_state_whatever_failed(status: str, state: ExportJob.State.ValueType) -> None:
    job = export_job(status=status)
    assert (job.state, job.vendor_state) == (state, status)
    assert job.HasField("end_time") == (state not in {ExportJob.PENDING, ExportJob.RUNNING})


@given(st.text(max_size=30))
def test_a_status_nobody_knows_is_unrecognized(word: str) -> None:
    if word.lower() not in translate.JOB_STATES:
        job = export_job(status=word)
        assert (job.state, job.vendor_state) == (ExportJob.UNRECOGNIZED_STATE, word)
        assert not job.HasField("end_time")
    UNRECOGNIZED.clear()


@pytest.mark.parametrize(
    ("succeeded", "failed", "state"),
    [
        (100, 0, ExportJob.SUCCEEDED),
        (0, 0, ExportJob.SUCCEEDED),
        (99, 1, ExportJob.PARTIALLY_SUCCEEDED),
        (0, 5, ExportJob.FAILED),
        (None, None, ExportJob.SUCCEEDED),
        (None, 5, ExportJob.PARTIALLY_SUCCEEDED),
        (5, None, ExportJob.SUCCEEDED),
        ("99", "1", ExportJob.PARTIALLY_SUCCEEDED),
        ("", "", ExportJob.SUCCEEDED),
    ],
    ids=repr,
)
def test_rows_that_failed_make_a_success_a_part_of_one_or_none(
    succeeded: object, failed: object, state: ExportJob.State.ValueType
) -> None:
    job = export_job(error=None, **counted(succeeded, failed))
    assert job.state == state
    assert job.HasField("error") == (state == ExportJob.FAILED)
    assert ("error" in {artifact.artifact_id for artifact in job.artifacts}) == (failed in {1, 5, "1"})
    assert job.metrics.HasField("records_failed_count") == (failed not in {None, ""})
    assert job.metrics.HasField("records_total_count") == (None not in {succeeded, failed} and failed != "")


def test_rows_without_any_success_failed_for_a_reason_that_is_said() -> None:
    job = export_job(**counted(0, 5), error={"message": "5 lines in error"})
    assert job.error.message == "mediarithmics took none of the rows"
    assert told(job)["vendorMessage"] == "5 lines in error"
    assert export_job(status="FAILED", error=None).error.message == "the execution failed at mediarithmics"


def test_a_success_may_carry_an_error() -> None:
    job = export_job(**counted(100, 0), error={"message": "Took longer than usual"})
    assert job.state == ExportJob.SUCCEEDED
    assert told(job)["vendorMessage"] == "Took longer than usual"
    for nothing in (None, {}, {"message": None}, {"message": ""}):
        assert not export_job(**counted(100, 0), error=nothing).HasField("error")


def test_the_words_of_an_error_are_scrubbed_and_cut() -> None:
    text = "row of jane@shop.example with hash 0123456789abcdef0123456789abcdef failed " + "x " * 300
    shown = told(export_job(error={"message": text}))["vendorMessage"]
    assert "jane" not in shown
    assert "0123456789abcdef" not in shown
    assert len(shown) <= 256


def test_before_a_result_counts_and_file_are_those_of_the_parameters() -> None:
    parameters = {**EXECUTION["parameters"], "total_success": 40, "total_failure": 1}
    job = export_job(status="RUNNING", result=None, error=None, parameters=parameters)
    assert (job.metrics.records_succeeded_count, job.metrics.records_failed_count) == (40, 1)
    assert not job.metrics.HasField("records_total_count")
    assert [artifact.artifact_id for artifact in job.artifacts] == ["input"]
    assert job.artifacts[0].filename == "x.ndjson"


def test_counts_of_a_result_come_before_those_of_the_parameters() -> None:
    parameters = {**EXECUTION["parameters"], "total_success": 1, "total_failure": 1}
    job = export_job(parameters=parameters, **counted(0, 0))
    assert (job.metrics.records_succeeded_count, job.metrics.records_failed_count) == (0, 0)
    assert job.state == ExportJob.SUCCEEDED


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, ["input", "error"]),
        (counted(100, 0), ["input"]),
        (counted(98, 2, error_file_uri=None), ["input"]),
        (counted(98, 2, error_file_uri=""), ["input"]),
        ({"result": None, "parameters": None}, []),
        (counted(98, 2, input_file_uri=None), ["input", "error"]),
        ({**counted(98, 2, input_file_uri=None), "parameters": None}, ["error"]),
    ],
    ids=str,
)
def test_artifacts_are_the_files_that_there_are(changes: dict[str, Any], ids: list[str]) -> None:
    assert [artifact.artifact_id for artifact in export_job(**changes).artifacts] == ids
    assert list(translate.uris(execution(**changes))) == ids


def test_what_is_not_modelled_is_shown_where_it_was() -> None:
    parameters = {**EXECUTION["parameters"], "number_of_lines": 100, "api_token": "fake-5555"}
    job = export_job(full=True, parameters=parameters, permalink_uri="x")
    assert plain(job.vendor_extras) == {
        "organisation_id": "1426",
        "user_id": "7",
        "job_type": "DOCUMENT_IMPORT",
        "permalink_uri": "x",
        "parameters": {"datamart_id": 1509, "number_of_lines": 100, "api_token": "********"},
    }
    assert not export_job().HasField("vendor_extras")


@pytest.mark.parametrize(
    ("parameters", "is_one"),
    [
        (None, True),
        ({}, True),
        ({"document_type": "USER_SEGMENT"}, True),
        ({"document_type": None}, True),
        ({"document_type": "USER_PROFILE"}, False),
    ],
    ids=str,
)
def test_an_execution_over_other_things_is_told_where_it_says_so(parameters: Any, is_one: bool) -> None:
    assert translate.is_export_job(execution(parameters=parameters)) == is_one


# Errors.


def test_an_error_answer_is_read() -> None:
    body = b'{"status":"error","error":"No such import","error_code":"RESOURCE_NOT_FOUND_ERROR","error_id":"e-1"}'
    assert translate.fault(404, {}, body) == Fault(
        message="No such import", code="RESOURCE_NOT_FOUND_ERROR", request_id="e-1"
    )
    assert translate.fault(500, {}, b'{"status":"error"}') == Fault()
    assert translate.fault(500, {}, b'{"error":null,"error_code":null,"error_id":null}') == Fault()
