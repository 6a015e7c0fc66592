"""Syncs as export jobs: the models of the vendor's clients, odd answers, states and counts."""

from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import InvalidRequest
from adapters.extras import keep
from adapters.segment import translate, wire
from adapters.states import FINAL
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.vendor_config_pb2 import SegmentExportSpec
from tests.vendors.segment import models
from tests.vendors.segment.samples import SYNC

IDS = ("dest", "sub", "model", "sync_1")


def job(*, full: bool = False, **changes: Any) -> ExportJob:
    raw = {key: value for key, value in {**SYNC, **changes}.items() if value is not ...}
    source = msgspec.convert(raw, wire.Sync)
    if full:
        keep(source, raw)
    return translate.export_job("cdp", IDS, source)


def info_of(message: ExportJob) -> dict[str, str]:
    info = ErrorInfo()
    assert message.error.details[0].Unpack(info)
    return dict(info.metadata)


def test_the_sample_is_one_of_the_vendors_model() -> None:
    assert msgspec.convert(SYNC, models.ReverseETLSyncStatus).sync_id == "rsync_1"


def test_the_sample_is_whole() -> None:
    message = job()
    assert info_of(message) == {
        "vendor": "segment",
        "connection": "cdp",
        "vendorCode": "PartialDelivery",
        "vendorMessage": "some records were refused",
    }
    message.ClearField("error")
    assert MessageToDict(message, preserving_proto_field_name=True) == {
        "name": "connections/cdp/exportJobs/dest~sub~model~sync__1",
        "destination": "connections/cdp/destinations/dest",
        "segment": {
            "subscription": "connections/cdp/destinations/dest/subscriptions/sub",
            "model_id": "model",
            "source_id": "qQEHquLrjRDN9j1ByrChyn",
        },
        "state": "PARTIALLY_SUCCEEDED",
        "vendor_state": "PARTIAL_SUCCESS",
        "vendor_job_id": "sync_1",
        "create_time": "2024-05-02T10:00:00Z",
        "start_time": "2024-05-02T10:00:00Z",
        "end_time": "2024-05-02T10:01:30.500Z",
        "metrics": {
            "records_total_count": "1000",
            "records_succeeded_count": "980",
            "records_failed_count": "20",
            "run_duration": "90.500s",
            "vendor_metrics": {"addedCount": 700.0, "updatedCount": 290.0, "deletedCount": 10.0},
        },
        "record_errors": [{"reason": "DeliveryFailed", "record_count": "20"}],
    }


def test_the_full_view_has_what_is_not_typed() -> None:
    assert MessageToDict(job(full=True).vendor_extras) == {
        "duration": "1m30s",
        "extractPhase": {"startedAt": "2024-05-02T10:00:00.000Z", "finishedAt": "2024-05-02T10:00:40.000Z"},
        "loadPhase": {"startedAt": "2024-05-02T10:00:40.000Z", "finishedAt": "2024-05-02T10:01:30.500Z"},
        "errorCodes": ["PartialDelivery", "DeliveryFailed"],
    }


NONE: dict[str, Any] = {"error": ..., "errorCode": ..., "loadPhase": ..., "extractPhase": ...}


@pytest.mark.parametrize(
    ("word", "code", "state"),
    [
        ("IN_PROGRESS", "", ExportJob.RUNNING),
        ("in_progress", "", ExportJob.RUNNING),
        ("SUCCESS", "", ExportJob.SUCCEEDED),
        ("PARTIAL_SUCCESS", "", ExportJob.PARTIALLY_SUCCEEDED),
        ("FAIL", "", ExportJob.FAILED),
        ("FAIL", "WarehouseError", ExportJob.FAILED),
        ("FAIL", "SyncCanceled", ExportJob.CANCELLED),
        ("FAIL", "SyncAlreadyCanceled", ExportJob.CANCELLED),
        # It says that the sync could not be cancelled.
        ("FAIL", "SyncFinishedCannotCancel", ExportJob.FAILED),
        ("CANCELLING", "", ExportJob.CANCELLING),
        ("CANCELED", "", ExportJob.CANCELLED),
        # Only a FAIL is explained by a code.
        ("SUCCESS", "SyncCanceled", ExportJob.SUCCEEDED),
        ("IN_PROGRESS", "SyncCanceled", ExportJob.RUNNING),
        ("REPLAYING", "SyncCanceled", ExportJob.UNRECOGNIZED_STATE),
        ("", "", ExportJob.UNRECOGNIZED_STATE),
    ],
)
def test_states_follow_the_word_and_the_code_of_a_failure(
    word: str, code: str, state: ExportJob.State.ValueType
) -> None:
    message = job(**NONE | {"syncStatus": word, "errorCode": code})
    assert (message.state, message.vendor_state) == (state, word)
    assert message.HasField("end_time") == (state in FINAL)
    assert message.HasField("error") == (state == ExportJob.FAILED)


@pytest.mark.parametrize("phase", ["extractPhase", "loadPhase"])
def test_a_cancel_may_be_told_by_the_code_of_a_phase(phase: str) -> None:
    message = job(**NONE | {"syncStatus": "FAIL", phase: {"errorCode": "SyncCanceled"}})
    assert message.state == ExportJob.CANCELLED


def test_a_failed_sync_says_why_without_what_identifies_somebody() -> None:
    message = job(
        **NONE | {"syncStatus": "FAIL", "errorCode": "Denied", "error": "no user jane@shop.example " + "x " * 400}
    )
    shown = info_of(message)
    assert (shown["vendorCode"], message.error.message) == ("Denied", "the sync failed at Segment")
    assert shown["vendorMessage"].startswith("no user ******** x x")
    assert len(shown["vendorMessage"]) == 256


def test_a_code_that_is_empty_is_none() -> None:
    message = job(**NONE | {"syncStatus": "FAIL", "errorCode": "", "loadPhase": {"errorCode": ""}})
    assert "vendorCode" not in info_of(message)
    assert not message.record_errors


@given(st.one_of(st.none(), st.text(max_size=20), st.integers(0, 2**63 - 1).map(str), st.integers(0, 2**53)))
def test_a_count_is_a_number_or_absent_and_never_zero_for_nothing(count: str | int | None) -> None:
    message = job(extractPhase={"extractCount": count}, loadPhase=...)
    text = str(count)
    is_number = text.isascii() and text.isdecimal() and len(text) <= 18
    assert message.metrics.HasField("records_total_count") == is_number
    if is_number:
        assert message.metrics.records_total_count == int(text)
    assert not message.metrics.HasField("records_succeeded_count")
    assert not message.metrics.vendor_metrics


def test_a_sync_that_has_only_begun_counts_nothing() -> None:
    message = job(**NONE | {"syncStatus": "IN_PROGRESS", "finishedAt": ...})
    assert not message.HasField("metrics")
    assert not message.HasField("end_time")


def test_a_sync_without_times_has_none() -> None:
    message = job(startedAt=..., finishedAt="yesterday")
    assert not any(message.HasField(name) for name in ("create_time", "start_time", "end_time"))
    assert translate.start_ns(msgspec.convert({"syncId": "1", "syncStatus": "x"}, wire.Sync)) == 0


def test_a_sync_that_was_just_started_is_running() -> None:
    answer = models.ReverseETLManualSyncJobOutput(started_at="2024-05-02T10:00:00.000Z", sync_id="sync_1")
    source = msgspec.convert(msgspec.to_builtins(answer), wire.Started)
    assert MessageToDict(translate.started("cdp", IDS, "src", source), preserving_proto_field_name=True) == {
        "name": "connections/cdp/exportJobs/dest~sub~model~sync__1",
        "destination": "connections/cdp/destinations/dest",
        "segment": {
            "subscription": "connections/cdp/destinations/dest/subscriptions/sub",
            "model_id": "model",
            "source_id": "src",
        },
        "state": "RUNNING",
        "vendor_job_id": "sync_1",
        "create_time": "2024-05-02T10:00:00Z",
        "start_time": "2024-05-02T10:00:00Z",
    }


SUB = "connections/cdp/destinations/d1/subscriptions/s1"


@pytest.mark.parametrize(
    ("destination", "subscription", "field", "reason"),
    [
        ("connections/cdp/destinations/d1", "", "export_job.segment.subscription", "INVALID_FIELD"),
        ("connections/cdp/destinations/d1", "s1", "export_job.segment.subscription", "INVALID_RESOURCE_NAME"),
        ("connections/cdp/destinations/d2", SUB, "export_job.segment.subscription", "INVALID_FIELD"),
        ("connections/other/destinations/d1", SUB, "export_job.destination", "INVALID_FIELD"),
        ("d1", SUB, "export_job.destination", "INVALID_RESOURCE_NAME"),
        (
            "connections/cdp/destinations/d1",
            SUB.replace("cdp", "other"),
            "export_job.segment.subscription",
            "INVALID_FIELD",
        ),
    ],
)
def test_a_job_runs_through_a_subscription_of_its_destination(
    destination: str, subscription: str, field: str, reason: str
) -> None:
    wanted = ExportJob(destination=destination, segment=SegmentExportSpec(subscription=subscription))
    with pytest.raises(InvalidRequest) as refused:
        translate.through("cdp", wanted)
    assert (refused.value.reason, refused.value.violations[0].field) == (reason, field)
    right = ExportJob(destination="connections/cdp/destinations/d1", segment=SegmentExportSpec(subscription=SUB))
    assert translate.through("cdp", right) == ("d1", "s1")
