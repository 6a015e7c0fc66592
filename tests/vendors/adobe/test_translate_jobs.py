"""Export jobs between Adobe's JSON and the contract: samples, odd answers, and rules for all inputs."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from adapters import names
from adapters.adobe import translate, wire
from adapters.errors import InvalidRequest
from adapters.extras import keep
from adapters.states import UNRECOGNIZED
from adapters.wellknown import plain
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.adobe.samples import BATCHES, FAILED, NEW, ONE_BATCH, REQUEST, SUCCEEDED

SAMPLES = {"SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "NEW": NEW}
SEGMENT = "52c26d0d-45f2-47a2-ab30-ed06abc981ff"


def export_job(sample: Mapping[str, Any] = SUCCEEDED, *, full: bool = False, **changes: Any) -> ExportJob:
    raw = {**sample, **changes}
    source = msgspec.json.decode(json.dumps(raw), type=wire.Job)
    if full:
        keep(source, raw)
    return translate.export_job("cdp", source)


def shown(job: ExportJob) -> dict[str, Any]:
    fields: dict[str, Any] = MessageToDict(job, preserving_proto_field_name=True)
    return fields


def test_the_sample_of_a_job_that_succeeded_is_whole() -> None:
    assert shown(export_job()) == {
        "name": "connections/cdp/exportJobs/100",
        "destination": "connections/cdp/destinations/5b7c86968f7b6501e21ba9df",
        "audiences": [{"audience_id": SEGMENT, "namespace": "ups", "membership_states": ["realized"]}],
        "state": "SUCCEEDED",
        "vendor_state": "SUCCEEDED",
        "vendor_job_id": "100",
        "create_time": "2018-10-04T01:19:33.895Z",
        "start_time": "1973-11-29T21:33:09Z",
        "end_time": "1973-11-29T21:33:19Z",
        "update_time": "2018-10-04T01:23:53.239Z",
        "metrics": {
            "records_succeeded_count": "20",
            "run_duration": "10s",
            "vendor_metrics": {
                "totalTime.startTimeInMs": 123456789000.0,
                "totalTime.endTimeInMs": 123456799000.0,
                "totalTime.totalTimeInMs": 10000.0,
                "profileExportTime.startTimeInMs": 123456789000.0,
                "profileExportTime.endTimeInMs": 123456799000.0,
                "profileExportTime.totalTimeInMs": 10000.0,
            },
            "records_by_namespace": {"namespace1": "10", "namespace2": "5"},
        },
        "artifacts": [{"artifact_id": "da5cfb4de32c4b93a09f7e37fa53ad52"}],
        "adobe": {
            "merge_policy_id": "timestampOrdered-none-mp",
            "merge_policy_version": 1,
            "schema_name": "_xdm.context.profile",
            "profile_fields": ["identities.id", "personalEmail.address"],
        },
    }


def test_the_sample_of_a_job_that_failed_says_why() -> None:
    job = export_job(FAILED)
    info = ErrorInfo()
    assert job.error.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("EXPORT_JOB_FAILED", "audiencegateway.internal")
    assert dict(info.metadata) == {
        "vendor": "adobe",
        "connection": "cdp",
        "vendorCode": "0090000009",
        "vendorMessage": "Error writing profiles to output path 'adl://va7devprofilesnapshot.azuredatalakestore.net"
        "/snapshot/722'",
    }
    assert shown(job)["metrics"]["run_duration"] == "505.864s"
    assert not job.metrics.HasField("records_succeeded_count")
    assert [audience.namespace for audience in job.audiences] == ["AAM"]


def test_the_sample_of_a_new_job_has_not_begun() -> None:
    job = export_job(NEW)
    assert (job.state, job.vendor_job_id) == (ExportJob.PENDING, "24115")
    assert job.destination == "connections/cdp/destinations/5cf6bcf79ecc7c14530fe436"
    assert not job.HasField("start_time")
    assert not job.HasField("end_time")
    assert shown(job)["metrics"] == {"vendor_metrics": {"totalTime.startTimeInMs": 1559674261657.0}}


def test_a_job_may_have_nothing_but_an_id() -> None:
    bare = translate.export_job("cdp", wire.Job(id=1))
    assert bare.name == "connections/cdp/exportJobs/1"
    assert bare.state == ExportJob.UNRECOGNIZED_STATE
    assert not bare.destination
    assert not bare.HasField("metrics")
    assert bare.adobe.all_profiles


@pytest.mark.parametrize("part", ["destination", "filter", "mergePolicy", "metrics", "additionalFields", "schema"])
def test_every_part_of_a_job_may_be_null_and_every_key_in_it_too(part: str) -> None:
    raw: dict[str, Any] = {**REQUEST, **SUCCEEDED, "filter": REQUEST["filter"]}
    for null in (None, dict.fromkeys(raw[part])):
        assert export_job({**raw, part: null}).vendor_job_id == "100"


def test_both_spellings_of_the_dataset_are_one() -> None:
    named = [export_job(destination={key: "5b7c86968f7b6501e21ba9df"}) for key in ("datasetId", "dataSetId")]
    assert {job.destination for job in named} == {"connections/cdp/destinations/5b7c86968f7b6501e21ba9df"}


@pytest.mark.parametrize("id_", ["100", "100.0", '"100"'])
def test_an_id_may_be_a_number_or_a_text(id_: str) -> None:
    job = translate.export_job("cdp", msgspec.json.decode(f'{{"id": {id_}}}', type=wire.Job))
    assert (job.name, job.vendor_job_id) == ("connections/cdp/exportJobs/100", "100")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NEW", ExportJob.PENDING),
        ("QUEUED", ExportJob.PENDING),
        ("PROCESSING", ExportJob.RUNNING),
        ("SUCCEEDED", ExportJob.SUCCEEDED),
        ("FAILED", ExportJob.FAILED),
        ("CANCELLING", ExportJob.CANCELLING),
        ("CANCELLED", ExportJob.CANCELLED),
        ("Succeeded", ExportJob.SUCCEEDED),
    ],
)
def test_every_documented_status_has_its_state(status: str, state: ExportJob.State.ValueType) -> None:
    job = export_job(status=status)
    assert (job.state, job.vendor_state) == (state, status)
    assert job.HasField("error") == (state == ExportJob.FAILED)


@given(st.text(max_size=12).filter(lambda word: word.lower() not in translate.JOB_STATES))
def test_a_status_nobody_knows_survives(word: str) -> None:
    before = UNRECOGNIZED["adobe", word]
    job = export_job(status=word)
    assert (job.state, job.vendor_state) == (ExportJob.UNRECOGNIZED_STATE, word)
    assert not job.HasField("end_time")
    assert UNRECOGNIZED["adobe", word] in {before + 1, 0}
    UNRECOGNIZED.clear()


@pytest.mark.parametrize("status", ["NEW", "PROCESSING", "CANCELLING", "ARCHIVING"])
def test_only_what_is_over_has_an_end(status: str) -> None:
    assert not export_job(status=status).HasField("end_time")


# What it measured.


@pytest.mark.parametrize(
    "changes",
    [
        {"totalExportedProfileCounter": 7, "metrics": None},
        {"totalExportedProfileCounter": 7, "metrics": {}},
        {"metrics": {"totalExportedProfileCounter": 7}},
        {"metrics": {"totalExportedProfileCounter": 7.0}},
    ],
    ids=str,
)
def test_the_count_may_stand_in_either_place(changes: dict[str, Any]) -> None:
    metrics = export_job(**changes).metrics
    assert metrics.records_succeeded_count == 7
    assert not metrics.HasField("records_total_count")


def test_a_count_of_none_is_none_and_no_count_is_no_none() -> None:
    none = export_job(metrics={"totalExportedProfileCounter": 0}).metrics
    assert none.HasField("records_succeeded_count")
    assert not export_job(metrics={"totalTime": {}}).metrics.HasField("records_succeeded_count")


@pytest.mark.parametrize(
    "metrics",
    [
        {"totalTime": None, "profileExportTime": 5},
        {"totalTime": {"totalTimeInMs": "10000", "endTimeInMs": None}, "totalExportedProfileCounter": "20"},
        {"totalTime": {"totalTimeInMs": 10**40, "endTimeInMs": 10**40}, "totalExportedProfileCounter": 10**40},
        {"exportedProfileByNamespaceCounter": [1, 2], "totalExportedProfileCounter": True},
        {"exportedProfileByNamespaceCounter": {"email": None, "ecid": "7", "x": {}}},
    ],
    ids=str,
)
def test_metrics_that_are_none_are_passed_over(metrics: dict[str, Any]) -> None:
    job = export_job(metrics=metrics)
    assert not job.metrics.HasField("records_succeeded_count")
    assert not job.metrics.HasField("run_duration")
    assert not job.metrics.records_by_namespace
    assert not job.HasField("end_time")


def test_a_timing_that_nobody_knows_is_kept_under_its_name() -> None:
    job = export_job(metrics={"evaluationTime": {"totalTimeInMs": 5}, "retries": 2, "done": True, "engine": "spark"})
    assert dict(job.metrics.vendor_metrics) == {"evaluationTime.totalTimeInMs": 5.0, "retries": 2.0}


# What it made.


def test_the_sample_of_a_batch_for_each_segment_has_one_artifact_for_each() -> None:
    artifacts = export_job(destination=BATCHES).artifacts
    assert [MessageToDict(artifact, preserving_proto_field_name=True) for artifact in artifacts] == [
        {
            "artifact_id": "da5cfb4de32c4b93a09f7e37fa53ad52",
            "audience": {"audience_id": "segment1", "namespace": "ups", "membership_states": ["realized"]},
        },
        {
            "artifact_id": "df4gssdfb93a09f7e37fa53ad52",
            "audience": {"audience_id": "segment2", "namespace": "AdCloud", "membership_states": ["exited"]},
        },
    ]
    assert export_job(destination=BATCHES).adobe.segment_per_batch


def test_a_single_batch_may_be_an_object_and_is_named_once() -> None:
    (artifact,) = export_job(destination=ONE_BATCH).artifacts
    assert (artifact.artifact_id, artifact.audience.audience_id) == ("da5cfb4de32c4b93a09f7e37fa53ad52", SEGMENT)
    assert not artifact.downloadable


@pytest.mark.parametrize(
    "destination", [{"batchId": ""}, {"batches": []}, {"batches": [{"segmentId": "a", "batchId": ""}]}, {}, None]
)
def test_a_job_without_batches_made_nothing(destination: dict[str, Any] | None) -> None:
    assert not export_job(destination=destination).artifacts


@pytest.mark.parametrize("status", ["realized,existing", ["realized", "existing"], " realized, existing "])
def test_membership_states_may_be_one_text(status: object) -> None:
    segments = {"segments": [{"segmentId": "a", "status": status}]}
    assert list(export_job(filter=segments).audiences[0].membership_states) == ["realized", "existing"]


# What is written down about it.


def test_the_errors_of_the_sample_are_its_log() -> None:
    entries = translate.log_entries(msgspec.convert(FAILED, wire.Job))
    assert [MessageToDict(entry, preserving_proto_field_name=True) for entry in entries] == [
        {
            "entry_id": "1",
            "severity": "ERROR",
            "text": "Error writing profiles to output path 'adl://va7devprofilesnapshot.azuredatalakestore.net"
            "/snapshot/722'\ncom.adobe.aep.unifiedprofile.common.logging.Logger",
            "code": "0090000009",
        },
        {
            "entry_id": "2",
            "severity": "ERROR",
            "text": "Job aborted.\norg.apache.spark.SparkException: Job aborted.",
            "code": "unknown",
        },
    ]
    assert not translate.log_entries(msgspec.convert(NEW, wire.Job))


@pytest.mark.parametrize("errors", [None, [], [{}], [{"code": 9, "msg": None, "callStack": None}]])
def test_a_job_may_fail_without_a_word(errors: list[Any] | None) -> None:
    job = export_job(status="FAILED", errors=errors)
    assert job.error.message == "the export failed at Adobe"


def test_an_error_shows_no_secret_and_no_end_of_a_long_text() -> None:
    text = "writing as ops@shop.example with Bearer abc.def " + "x " * 1000
    info = ErrorInfo()
    assert export_job(FAILED, errors=[{"msg": text}]).error.details[0].Unpack(info)
    assert info.metadata["vendorMessage"].startswith("writing as ******** with ******** x x")
    assert len(info.metadata["vendorMessage"]) == 256


def test_an_error_of_a_job_that_succeeded_is_in_its_log_alone() -> None:
    # As in the sample: a reason that says FAILED would be wrong on it.
    assert not export_job().HasField("error")
    assert len(translate.log_entries(msgspec.convert(SUCCEEDED, wire.Job))) == 1


def test_what_is_not_modelled_is_kept_in_the_full_view_alone() -> None:
    assert plain(export_job(full=True, secretKey="hunter2").vendor_extras) == {
        "jobType": "BATCH",
        "imsOrgId": "1BD6382559DF0C130A49422D@AdobeOrg",
        "profileInstanceId": "ups",
        "computeGatewayJobId": {"exportJob": "f3058161-7349-4ca9-807d-212cee2c2e94"},
        "requestId": "d995479c-8a08-4240-903b-af469c67be1f",
        "secretKey": "********",
    }
    assert not export_job().HasField("vendor_extras")


# What is asked for.


def wanted(**changes: Any) -> ExportJob:
    fields = {
        "destination": "connections/cdp/destinations/5b7c86968f7b6501e21ba9df",
        "audiences": [{"audience_id": SEGMENT, "namespace": "ups", "membership_states": ["realized"]}],
    }
    return ParseDict({**fields, **changes}, ExportJob())


FULL_SPEC: dict[str, Any] = {
    "profile_fields": ["identities.id", "personalEmail.address"],
    "merge_policy_id": "timestampOrdered-none-mp",
    "merge_policy_version": 1,
    "qualification_interval": {"start_time": "2018-01-01T00:00:00Z", "end_time": "2018-02-01T00:00:00Z"},
    "profile_ingest_start_time": "2018-01-01T00:00:00Z",
    "include_empty_profiles": True,
    "events": {
        "fields": ["string"],
        "ingest_interval": {"start_time": "2018-01-01T00:00:00Z", "end_time": "2020-01-01T00:00:00Z"},
    },
    "evaluate_segments": True,
    "schema_name": "_xdm.context.profile",
}


def test_the_sample_request_is_written_whole_and_read_back() -> None:
    job = wanted(adobe=FULL_SPEC)
    assert translate.run("cdp", job) == REQUEST
    assert translate.planned("cdp", REQUEST) == job


MINIMUM: dict[str, Any] = {
    "filter": {"segments": [{"segmentId": SEGMENT, "segmentNs": "ups", "status": ["realized"]}]},
    "destination": {"datasetId": "5b7c86968f7b6501e21ba9df", "segmentPerBatch": False},
    "schema": {"name": "_xdm.context.profile"},
}


def with_filter(**added: Any) -> dict[str, Any]:
    return {**MINIMUM, "filter": {**MINIMUM["filter"], **added}}


def with_events(**events: Any) -> dict[str, Any]:
    return {**MINIMUM, "additionalFields": {"eventList": events}}


@pytest.mark.parametrize(
    ("spec", "body"),
    [
        ({}, MINIMUM),
        ({"schema_name": "_xdm.context.account"}, {**MINIMUM, "schema": {"name": "_xdm.context.account"}}),
        ({"merge_policy_id": "mp"}, {**MINIMUM, "mergePolicy": {"id": "mp"}}),
        (
            {"merge_policy_id": "mp", "merge_policy_version": 0},
            {**MINIMUM, "mergePolicy": {"id": "mp", "version": 0}},
        ),
        ({"include_empty_profiles": True}, with_filter(emptyProfiles=True)),
        ({"evaluate_segments": True}, {**MINIMUM, "evaluationInfo": {"segmentation": True}}),
        (
            {"qualification_interval": {"start_time": "2018-01-01T00:00:00.500Z"}},
            with_filter(segmentQualificationTime={"startTime": "2018-01-01T00:00:00.500Z"}),
        ),
        (
            {"qualification_interval": {"end_time": "2018-01-01T00:00:00Z"}},
            with_filter(segmentQualificationTime={"endTime": "2018-01-01T00:00:00Z"}),
        ),
        ({"qualification_interval": {}}, MINIMUM),
        ({"events": {}}, with_events()),
        ({"events": {"fields": ["_id", "_experience"]}}, with_events(fields="_id,_experience")),
        (
            {"events": {"ingest_interval": {"end_time": "2020-01-01T00:00:00Z"}}},
            with_events(filter={"toIngestTimestamp": "2020-01-01T00:00:00Z"}),
        ),
    ],
    ids=str,
)
def test_only_what_is_said_is_written(spec: dict[str, Any], body: dict[str, Any]) -> None:
    assert translate.run("cdp", wanted(adobe=spec)) == body


def test_without_an_arm_the_defaults_are_written() -> None:
    assert translate.run("cdp", wanted()) == MINIMUM


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"audiences": []}, "export_job.audiences", "INVALID_FIELD"),
        ({"audiences": [], "adobe": {}}, "export_job.audiences", "INVALID_FIELD"),
        ({"adobe": {"all_profiles": True}}, "export_job.audiences", "INVALID_FIELD"),
        ({"destination": ""}, "export_job.destination", "INVALID_RESOURCE_NAME"),
        ({"destination": "destinations/400"}, "export_job.destination", "INVALID_RESOURCE_NAME"),
        ({"destination": "connections/other/destinations/400"}, "export_job.destination", "INVALID_FIELD"),
        ({"adobe": {"merge_policy_version": 1}}, "export_job.adobe.merge_policy_version", "INVALID_FIELD"),
        ({"adobe": {"profile_fields": ["a", "b,c"]}}, "export_job.adobe.profile_fields[1]", "INVALID_FIELD"),
        ({"adobe": {"profile_fields": [" "]}}, "export_job.adobe.profile_fields[0]", "INVALID_FIELD"),
        ({"adobe": {"events": {"fields": [""]}}}, "export_job.adobe.events.fields[0]", "INVALID_FIELD"),
    ],
    ids=str,
)
def test_what_adobe_would_take_for_something_else_is_refused_with_its_place(
    changes: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate.run("cdp", wanted(**changes))
    assert (refused.value.reason, refused.value.violations[0].field) == (reason, field)


def test_everybody_is_meant_where_it_is_said() -> None:
    body = translate.run("cdp", wanted(audiences=[], adobe={"all_profiles": True}))
    assert "filter" not in body
    assert translate.planned("cdp", body).adobe.all_profiles


def test_a_job_that_is_only_planned_has_no_state_that_nobody_knows() -> None:
    UNRECOGNIZED.clear()
    planned = translate.planned("cdp", MINIMUM)
    assert planned.state == ExportJob.STATE_UNSPECIFIED
    assert not UNRECOGNIZED


def test_what_the_answer_does_not_repeat_is_as_it_was_asked_for() -> None:
    answered = translate.completed(msgspec.convert({"id": 7, "status": "NEW"}, wire.Job), REQUEST)
    job = translate.export_job("cdp", answered)
    assert (job.name, job.state) == ("connections/cdp/exportJobs/7", ExportJob.PENDING)
    assert translate.run("cdp", job) == REQUEST
    other = {"id": 7, "filter": {"segments": [{"segmentId": "other"}]}, "requestId": "r"}
    repeated = translate.completed(msgspec.convert(other, wire.Job), REQUEST)
    assert [audience.audience_id for audience in translate.export_job("cdp", repeated).audiences] == ["other"]


TEXT = st.text(min_size=1, max_size=12)
PATHS = st.lists(st.from_regex(r"[a-z_]{1,5}(\.[a-zA-Z]{1,5})?", fullmatch=True), max_size=3)
TIMES = st.integers(0, 4 * 10**12).map(
    lambda time_ms: Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 10**6).ToJsonString()
)
INTERVALS = st.fixed_dictionaries({}, optional={"start_time": TIMES, "end_time": TIMES}).filter(bool)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "merge_policy_id": TEXT,
        "segment_per_batch": st.booleans(),
        "include_empty_profiles": st.booleans(),
        "evaluate_segments": st.booleans(),
        "profile_fields": PATHS,
        "qualification_interval": INTERVALS,
        "profile_ingest_start_time": TIMES,
        "events": st.fixed_dictionaries({}, optional={"fields": PATHS, "ingest_interval": INTERVALS}),
    },
)
AUDIENCES = st.lists(
    st.fixed_dictionaries(
        {"audience_id": TEXT}, optional={"namespace": TEXT, "membership_states": st.lists(st.sampled_from(["exited"]))}
    ),
    min_size=1,
    max_size=3,
)


@given(SPECS, AUDIENCES)
def test_a_job_reads_as_it_was_written_whatever_it_holds(spec: dict[str, Any], audiences: list[dict[str, Any]]) -> None:
    job = wanted(adobe={"schema_name": "_xdm.context.profile", **spec}, audiences=audiences)
    body = json.loads(json.dumps(translate.run("cdp", job)))
    assert translate.planned("cdp", body) == job


@given(SPECS, AUDIENCES, st.sampled_from(["merge_policy", "namespace", "status", "nothing"]))
def test_a_job_is_known_by_what_it_was_asked_for_whatever_adobe_fills_in(
    spec: dict[str, Any], audiences: list[dict[str, Any]], filled: str
) -> None:
    body = json.loads(json.dumps(translate.run("cdp", wanted(adobe=spec, audiences=audiences))))
    shown = json.loads(json.dumps({"id": 1, "status": "PROCESSING", **body}))
    if filled == "merge_policy":
        shown["mergePolicy"] = {"id": "its-own", "version": 3} | shown.get("mergePolicy", {})
    for segment in shown["filter"]["segments"]:
        segment.update({"segmentNs": "ups"} | segment if filled == "namespace" else {})
        segment.update({"status": ["realized", "existing"]} | segment if filled == "status" else {})

    assert translate.is_started_by(msgspec.convert(shown, wire.Job), body)
    for path in ("filter", "destination", "schema"):
        other = {**shown, path: {**shown[path], "name": "x", "datasetId": "x", "segments": [{"segmentId": "x" * 13}]}}
        assert not translate.is_started_by(msgspec.convert(other, wire.Job), body)


@given(st.integers(0) | TEXT, TEXT)
def test_names_go_both_ways_whatever_ids_hold(job_id: int | str, dataset_id: str) -> None:
    job = translate.export_job(
        "cdp", msgspec.convert({"id": job_id, "destination": {"datasetId": dataset_id}}, wire.Job)
    )
    (_, resource_id), (_, destination_id) = (
        names.parse(job.name, "ExportJob"),
        names.parse(job.destination, "Destination"),
    )
    assert names.split_id(resource_id, 1) == (str(job_id),)
    assert names.split_id(destination_id, 1, "Destination") == (dataset_id,)


# Pages.


@pytest.mark.parametrize(
    ("rest", "offset"),
    [
        ({"link": {"next": "/export/jobs/?limit=2&offset=1538573416687_722"}}, "1538573416687_722"),
        ({"link": {"next": "/export/jobs?offset=1538573416687_722&limit=2&status=FAILED"}}, "1538573416687_722"),
        ({"link": {"next": "https://platform.adobe.io/data/core/ups/export/jobs?offset=1_2"}}, "1_2"),
        ({"link": {"next": "/export/jobs/?limit=2&offset=a%26b%3D1"}}, "a&b=1"),
        # The oldest sample: a link that is a placeholder, and a page that says where it ends.
        ({"link": {"next": "string"}, "page": {"pageOffset": "1540974701302_96"}}, "1540974701302_96"),
        ({"link": {"next": "/export/jobs/?limit=2"}, "page": {"pageOffset": 96}}, "96"),
        ({"link": {"next": ""}, "page": {"pageOffset": "1540974701302_96"}}, ""),
        ({"link": {"next": None}, "page": {"pageOffset": "1540974701302_96"}}, ""),
        ({"link": {}, "page": {"pageOffset": "1540974701302_96"}}, ""),
        ({"link": None}, ""),
        ({}, ""),
        ({"link": {"next": "string"}}, None),
        ({"link": {"next": "/export/jobs/?offset="}, "page": {"pageOffset": ""}}, None),
        ({"link": {"next": "http://[::1?offset=1_2"}}, "1_2"),
    ],
    ids=str,
)
def test_the_next_page_is_found_in_every_form_of_the_link(rest: dict[str, Any], offset: str | None) -> None:
    assert translate.next_offset(msgspec.convert({"records": [], **rest}, wire.Jobs)) == offset
