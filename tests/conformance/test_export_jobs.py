"""What every vendor's export jobs keep of the contract."""

import asyncio
from uuid import uuid4

import grpc
import pytest
from google.protobuf.json_format import MessageToJson, Parse

from audiencegateway.v1 import export_jobs_pb2 as pb
from gateway.watching import FINAL_STATES

from .client import refused
from .conftest import Vendor


def _create(vendor: Vendor, request_id: str = "") -> pb.CreateExportJobRequest:
    job = vendor.message("export_job", pb.ExportJob())
    return pb.CreateExportJobRequest(parent=vendor.connection, export_job=job, request_id=request_id)


async def _get(vendor: Vendor, name: str) -> pb.ExportJob:
    return await vendor.stubs.export_jobs.GetExportJob(pb.GetExportJobRequest(name=name))  # type: ignore[no-any-return]  # stubs are Any


@pytest.mark.parametrize("state", [word for word in pb.ExportJob.State.keys() if word != "STATE_UNSPECIFIED"])  # noqa: SIM118 - an enum wrapper
async def test_a_job_is_read_in_every_state_that_the_vendor_has(vendor: Vendor, state: str) -> None:
    vendor.can("get_export_job")
    key = state.removesuffix("_STATE")
    if key not in vendor["jobs"]:
        pytest.skip(f"{vendor.id} has no job that is {state}")
    job = await _get(vendor, vendor.job(vendor["jobs"][key]))

    assert pb.ExportJob.State.Name(job.state) == state
    assert job.vendor_state
    assert job.HasField("end_time") <= (job.state in FINAL_STATES)
    assert job.HasField("error") == (job.state == pb.ExportJob.FAILED) or state == "PARTIALLY_SUCCEEDED"


async def test_an_unknown_job_is_not_found_by_name(vendor: Vendor) -> None:
    vendor.can("get_export_job")
    name = vendor.job(vendor["unknown_job_id"])
    answer = await refused(vendor.stubs.export_jobs.GetExportJob(pb.GetExportJobRequest(name=name)))

    assert (answer.code, answer.reason, answer.resource) == (grpc.StatusCode.NOT_FOUND, "EXPORT_JOB_NOT_FOUND", name)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 501])
async def test_pages_of_jobs_concatenate_to_the_whole_newest_first(vendor: Vendor, size: int) -> None:
    vendor.can("list_export_jobs")
    found: list[pb.ExportJob] = []
    request = pb.ListExportJobsRequest(
        parent=vendor.connection, page_size=size, filter=vendor["many_export_jobs_filter"]
    )
    while True:
        response = await vendor.stubs.export_jobs.ListExportJobs(request)
        found += response.export_jobs
        request.page_token = response.next_page_token
        if not request.page_token:
            break

    assert len({job.name for job in found}) == len(found) == vendor["many_export_job_count"]
    created = [job.create_time.ToNanoseconds() for job in found]
    assert created == sorted(created, reverse=True)


async def test_a_list_that_needs_a_filter_says_which(vendor: Vendor) -> None:
    vendor.can("list_export_jobs")
    if not vendor.adapter.export_jobs.required_filter:
        pytest.skip(f"{vendor.id} lists jobs without a filter")
    answer = await refused(vendor.stubs.export_jobs.ListExportJobs(pb.ListExportJobsRequest(parent=vendor.connection)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_REQUIRED")
    assert answer.metadata["field"] == vendor.adapter.export_jobs.required_filter
    assert answer.violations == [("filter", "FILTER_REQUIRED")]
    assert not vendor.requests()


async def test_a_started_job_runs_to_its_end(vendor: Vendor) -> None:
    vendor.can("create_export_job", "get_export_job")
    created = await vendor.stubs.export_jobs.CreateExportJob(_create(vendor))
    vendor.simulator.clock.advance(3600)
    ended = await _get(vendor, created.name)

    assert created.state not in FINAL_STATES
    assert created.started_by_gateway
    assert created.display_name == ended.display_name
    assert ended.state == pb.ExportJob.SUCCEEDED
    assert ended.etag != created.etag


async def test_a_job_is_started_once_for_its_request_id(vendor: Vendor) -> None:
    vendor.can("create_export_job")
    request_id = str(uuid4())
    first = await vendor.stubs.export_jobs.CreateExportJob(_create(vendor, request_id))
    second = await vendor.stubs.export_jobs.CreateExportJob(_create(vendor, request_id))
    here, elsewhere = vendor.destination(), vendor.destination("unknown_destination_id")
    other = Parse(MessageToJson(_create(vendor, request_id)).replace(here, elsewhere), pb.CreateExportJobRequest())
    reused = await refused(vendor.stubs.export_jobs.CreateExportJob(other))

    assert first.name == second.name
    assert reused.reason == "REQUEST_ID_REUSED"
    assert len(vendor.requests("POST")) == 1


async def test_a_start_that_is_repeated_answers_with_the_job_as_it_is_now(vendor: Vendor) -> None:
    vendor.can("create_export_job", "get_export_job")
    request = _create(vendor, str(uuid4()))
    first = await vendor.stubs.export_jobs.CreateExportJob(request)
    vendor.simulator.clock.advance(3600)
    again = await vendor.stubs.export_jobs.CreateExportJob(request)

    assert again.name == first.name
    assert (first.state in FINAL_STATES, again.state) == (False, pb.ExportJob.SUCCEEDED)
    assert again.started_by_gateway
    assert len(vendor.requests("POST")) == 1


async def test_validate_only_starts_nothing(vendor: Vendor) -> None:
    vendor.can("create_export_job")
    request = _create(vendor)
    request.validate_only = True
    await vendor.stubs.export_jobs.CreateExportJob(request)

    assert not vendor.requests("POST")


async def test_a_start_whose_answer_is_lost_is_not_sent_again(vendor: Vendor) -> None:
    vendor.can("create_export_job")
    await vendor.stubs.export_jobs.CreateExportJob(_create(vendor))
    start = vendor.requests("POST")[-1]["path"]
    vendor.simulator.journal.clear()
    vendor.simulator.fault(method="POST", path=start, drop="after")
    request = _create(vendor, str(uuid4()))
    answer = await vendor.stubs.export_jobs.CreateExportJob(request)
    again = await vendor.stubs.export_jobs.CreateExportJob(request)

    assert answer.state == again.state == pb.ExportJob.OUTCOME_UNKNOWN
    assert answer.name == again.name
    assert answer.name.startswith(f"{vendor.connection}/exportJobs/g~")
    assert answer.destination == request.export_job.destination
    assert len(vendor.requests("POST")) == 1


async def test_a_job_can_be_cancelled_and_cancelling_it_again_changes_nothing(vendor: Vendor) -> None:
    vendor.can("create_export_job", "cancel_export_job")
    created = await vendor.stubs.export_jobs.CreateExportJob(_create(vendor))
    request = pb.CancelExportJobRequest(name=created.name)
    cancelled = await vendor.stubs.export_jobs.CancelExportJob(request)
    again = await vendor.stubs.export_jobs.CancelExportJob(request)

    assert cancelled.state in {pb.ExportJob.CANCELLED, pb.ExportJob.CANCELLING}
    assert again.state in {pb.ExportJob.CANCELLED, pb.ExportJob.CANCELLING}


async def test_a_final_job_is_not_cancellable_and_stays_as_it_is(vendor: Vendor) -> None:
    vendor.can("cancel_export_job")
    name = vendor.job(vendor["jobs"]["SUCCEEDED"])
    answer = await refused(vendor.stubs.export_jobs.CancelExportJob(pb.CancelExportJobRequest(name=name)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXPORT_JOB_NOT_CANCELLABLE")
    assert answer.metadata["state"] == "SUCCEEDED"
    assert (await _get(vendor, name)).state == pb.ExportJob.SUCCEEDED


async def test_a_watch_tells_the_job_then_its_end_and_ends(vendor: Vendor) -> None:
    vendor.can("create_export_job", "get_export_job")
    created = await vendor.stubs.export_jobs.CreateExportJob(_create(vendor))
    call = vendor.stubs.export_jobs.WatchExportJob(pb.WatchExportJobRequest(name=created.name))
    jobs: list[pb.ExportJob] = []
    async for response in call:
        jobs += [response.export_job] if response.HasField("export_job") else []
        vendor.simulator.clock.advance(3600)

    assert {job.name for job in jobs} == {created.name}
    assert [job.state for job in jobs] == [created.state, pb.ExportJob.SUCCEEDED]


async def test_a_wait_returns_when_the_job_is_final(vendor: Vendor) -> None:
    vendor.can("create_export_job", "get_export_job")
    created = await vendor.stubs.export_jobs.CreateExportJob(_create(vendor))
    waiting = asyncio.ensure_future(vendor.stubs.export_jobs.WaitExportJob(pb.WaitExportJobRequest(name=created.name)))
    vendor.simulator.clock.advance(3600)

    assert (await waiting).state == pb.ExportJob.SUCCEEDED


async def test_a_download_is_whole_from_any_offset(vendor: Vendor) -> None:
    vendor.can("download_export_job")

    async def download(offset: int) -> tuple[pb.DownloadHeader, bytes]:
        request = pb.DownloadExportJobRequest(
            name=vendor.job(vendor["download_job_id"]),
            artifact_id=vendor.simulator.suite.get("download_artifact_id", ""),
            read_offset=offset,
        )
        responses = [one async for one in vendor.stubs.export_jobs.DownloadExportJob(request)]
        return responses[0].header, b"".join(one.data for one in responses[1:])

    header, whole = await download(0)
    _, tail = await download(10)

    assert header.content_type
    assert len(whole) > 20
    assert not header.HasField("size_bytes") or header.size_bytes == len(whole)
    assert tail == whole[10:]


async def test_a_job_without_a_file_is_not_downloadable(vendor: Vendor) -> None:
    vendor.can("download_export_job")
    request = pb.DownloadExportJobRequest(name=vendor.job(vendor["undownloadable_job_id"]))
    answer = await refused(vendor.stubs.export_jobs.DownloadExportJob(request).read())

    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXPORT_JOB_NOT_DOWNLOADABLE")


async def test_log_entries_page_to_the_whole(vendor: Vendor) -> None:
    vendor.can("list_export_job_log_entries")
    parent = vendor.job(vendor["log_job_id"])
    whole = await vendor.stubs.export_jobs.ListExportJobLogEntries(pb.ListExportJobLogEntriesRequest(parent=parent))
    first = await vendor.stubs.export_jobs.ListExportJobLogEntries(
        pb.ListExportJobLogEntriesRequest(parent=parent, page_size=1)
    )
    rest = await vendor.stubs.export_jobs.ListExportJobLogEntries(
        pb.ListExportJobLogEntriesRequest(parent=parent, page_token=first.next_page_token)
    )

    assert len(whole.log_entries) > 1
    assert [*first.log_entries, *rest.log_entries] == list(whole.log_entries)


async def test_revisions_are_listed_and_each_can_be_read(vendor: Vendor) -> None:
    vendor.can("list_export_job_revisions", "get_export_job_revision")
    parent = vendor.job(vendor["revision_job_id"])
    listed = await vendor.stubs.export_jobs.ListExportJobRevisions(pb.ListExportJobRevisionsRequest(parent=parent))
    names = [revision.name for revision in listed.export_job_revisions]
    read = [
        await vendor.stubs.export_jobs.GetExportJobRevision(pb.GetExportJobRevisionRequest(name=name)) for name in names
    ]

    assert len(names) == len(set(names)) > 1
    assert [revision.name for revision in read] == names
    assert f"{parent}/revisions/{vendor['revision_id']}" in names
