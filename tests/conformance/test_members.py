"""What every vendor that takes members makes of them: whole files, errors by index, and no identifier in any answer."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from audiencegateway.v1 import export_jobs_pb2
from audiencegateway.v1 import members_pb2 as pb

from .client import refused
from .conftest import Vendor

SUCCEEDED = export_jobs_pb2.ExportJob.SUCCEEDED
CANARY = "canary-of-a-member"


def _members(vendor: Vendor) -> list[pb.AudienceMember]:
    return [ParseDict(member, pb.AudienceMember()) for member in vendor["members"]]


def _wrong(vendor: Vendor) -> pb.AudienceMember:
    """Return a member that says who it is in too many ways."""
    member = pb.AudienceMember(operation=pb.AudienceMember.ADD, user_account_id=CANARY, email_hash=CANARY)
    member.audience_id, member.never_expires = vendor["members"][0]["audienceId"], True
    return member


def _ingest(vendor: Vendor, *members: pb.AudienceMember, **changes: Any) -> pb.IngestAudienceMembersRequest:
    name = vendor.destination("member_destination_id")
    return pb.IngestAudienceMembersRequest(destination=name, audience_members=members, **changes)


async def _stream(
    vendor: Vendor, *batches: list[pb.AudienceMember], count: int | None, **header: Any
) -> AsyncIterator[pb.UploadAudienceMembersRequest]:
    name = vendor.destination("member_destination_id")
    yield pb.UploadAudienceMembersRequest(header=pb.UploadHeader(destination=name, **header))
    for batch in batches:
        yield pb.UploadAudienceMembersRequest(batch=pb.UploadBatch(audience_members=batch))
    if count is not None:
        yield pb.UploadAudienceMembersRequest(finish=pb.UploadFinish(member_count=count))


async def _upload(vendor: Vendor, *batches: list[pb.AudienceMember], count: int, **header: Any) -> Any:
    requests = _stream(vendor, *batches, count=count, **header)
    return await vendor.stubs.members.UploadAudienceMembers(requests)


async def _ended(vendor: Vendor, name: str) -> export_jobs_pb2.ExportJob:
    vendor.simulator.clock.advance(3600)
    request = export_jobs_pb2.GetExportJobRequest(name=name)
    return await vendor.stubs.export_jobs.GetExportJob(request)  # type: ignore[no-any-return]  # stubs are Any


async def test_members_of_one_call_land_as_one_job(vendor: Vendor) -> None:
    vendor.can("upload_audience_members", "get_export_job")
    members = _members(vendor)
    job = (await vendor.stubs.members.IngestAudienceMembers(_ingest(vendor, *members))).export_job
    ended = await _ended(vendor, job.name)

    assert job.destination == vendor.destination("member_destination_id")
    assert job.started_by_gateway
    assert (ended.state, ended.metrics.records_succeeded_count) == (SUCCEEDED, len(members))


async def test_members_of_a_stream_land_whatever_its_batches(vendor: Vendor) -> None:
    vendor.can("upload_audience_members", "get_export_job")
    members = _members(vendor)
    answer = await _upload(vendor, *([member] for member in members), members, count=2 * len(members))
    (file,) = answer.files
    ended = await _ended(vendor, file.export_job.name)

    assert (file.first_member_index, file.member_count) == (0, 2 * len(members))
    assert answer.next_member_index == 2 * len(members)
    assert not answer.HasField("error")
    assert (ended.state, ended.metrics.records_succeeded_count) == (SUCCEEDED, 2 * len(members))


async def test_a_call_and_a_stream_are_sent_once_for_their_request_id(vendor: Vendor) -> None:
    vendor.can("upload_audience_members")
    members = _members(vendor)
    request = _ingest(vendor, *members, request_id=str(uuid4()))
    jobs = [(await vendor.stubs.members.IngestAudienceMembers(request)).export_job.name for _ in range(2)]
    again = str(uuid4())
    answers = [await _upload(vendor, members, count=len(members), request_id=again) for _ in range(2)]
    files = [answer.files[0].export_job.name for answer in answers]

    assert len(set(jobs)) == len(set(files)) == 1
    assert len(vendor.requests("POST")) == 2


async def test_a_wrong_member_is_told_by_its_index_and_nothing_is_sent(vendor: Vendor) -> None:
    vendor.can("upload_audience_members")
    members = [*_members(vendor), _wrong(vendor)]
    answer = await refused(vendor.stubs.members.IngestAudienceMembers(_ingest(vendor, *members)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert {field.partition("]")[0] for field, _ in answer.violations} == {f"audience_members[{len(members) - 1}"}
    assert not vendor.requests("POST")


async def test_a_wrong_member_of_a_stream_is_told_by_its_index_in_the_whole(vendor: Vendor) -> None:
    vendor.can("upload_audience_members")
    members = _members(vendor)
    requests = _stream(vendor, members, [*members, _wrong(vendor)], count=2 * len(members) + 1)
    answer = await refused(vendor.stubs.members.UploadAudienceMembers(requests))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert {field.partition("]")[0] for field, _ in answer.violations} == {f"audience_members[{2 * len(members)}"}
    assert not vendor.requests("POST")


@pytest.mark.parametrize("way", ["call", "stream"])
async def test_no_identifier_is_in_an_error_or_a_log(
    vendor: Vendor, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    vendor.can("upload_audience_members")
    caplog.set_level("DEBUG")
    if way == "call":
        answer = await refused(vendor.stubs.members.IngestAudienceMembers(_ingest(vendor, _wrong(vendor))))
    else:
        requests = _stream(vendor, [_wrong(vendor)], count=1)
        answer = await refused(vendor.stubs.members.UploadAudienceMembers(requests))

    assert answer.violations
    assert CANARY not in f"{answer}{caplog.text}"


async def test_a_stream_that_is_not_finished_sends_nothing(vendor: Vendor) -> None:
    vendor.can("upload_audience_members")
    for count in (None, len(vendor["members"]) + 1):
        requests = _stream(vendor, _members(vendor), count=count)
        answer = await refused(vendor.stubs.members.UploadAudienceMembers(requests))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UPLOAD_INCOMPLETE")

    assert not vendor.requests("POST")


async def test_validate_only_checks_and_sends_nothing(vendor: Vendor) -> None:
    vendor.can("upload_audience_members")
    members = _members(vendor)
    answer = await vendor.stubs.members.IngestAudienceMembers(_ingest(vendor, *members, validate_only=True))
    streamed = await _upload(vendor, members, count=len(members), validate_only=True)
    wrong = _ingest(vendor, *members, _wrong(vendor), validate_only=True)

    assert not answer.HasField("export_job")
    assert (streamed.next_member_index, len(streamed.files)) == (len(members), 0)
    assert (await refused(vendor.stubs.members.IngestAudienceMembers(wrong))).reason == "INVALID_FIELD"
    assert not vendor.requests("POST")


async def test_members_for_a_destination_that_is_not_there_are_refused_by_its_name(vendor: Vendor) -> None:
    vendor.can("upload_audience_members")
    name = vendor.destination("unknown_destination_id")
    request = pb.IngestAudienceMembersRequest(destination=name, audience_members=_members(vendor))
    answer = await refused(vendor.stubs.members.IngestAudienceMembers(request))

    assert (answer.code, answer.reason, answer.resource) == (grpc.StatusCode.NOT_FOUND, "DESTINATION_NOT_FOUND", name)
