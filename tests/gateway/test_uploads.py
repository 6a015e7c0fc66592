"""Members into files: whole files only, flat memory, and an answer that says where to go on."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import IO, Any
from uuid import uuid4

import grpc
import pytest

from adapters import calls, errors
from adapters.errors import Fault, InvalidRequest, Violation
from audiencegateway.v1 import members_pb2 as pb
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.gateway.scripted import Stubs, refused, scripted, serving

DESTINATION = "connections/scripted/destinations/1"
ROOM = 4
"""How many members a file of the scripted vendor holds."""


class Vendor:
    """Takes files whose rows are user account ids, a byte each, and keeps what it got."""

    head = b"#"
    max_bytes = 1 + ROOM

    def __init__(self, *answers: Exception | None) -> None:
        self.files: list[bytes] = []
        self.defaults = pb.AudienceMemberDefaults()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self._answers = iter(answers)

    def adapter(self) -> Any:
        async def upload_audience_members(_: object, destination_id: str, defaults: Any) -> Vendor:
            self.defaults = defaults
            return self

        return scripted(upload_audience_members=upload_audience_members)

    def rows(self, members: Any, first_index: int) -> bytes:
        found = [
            Violation(f"audience_members[{first_index + at}].user_account_id", "is required")
            for at, member in enumerate(members)
            if not member.user_account_id
        ]
        if found:
            raise InvalidRequest("some members are wrong", violations=found)
        return "".join(member.user_account_id for member in members).encode()

    async def send(self, file: IO[bytes], size_bytes: int, *, marker: str) -> ExportJob:
        calls.current().written = True
        self.reached.set()
        await self.gate.wait()
        data = file.read()
        assert len(data) == size_bytes
        answer = next(self._answers, None)
        if answer is not None:
            raise answer
        self.files.append(data)
        return ExportJob(name=f"connections/scripted/exportJobs/{len(self.files)}", state=ExportJob.PENDING)


def header(**fields: Any) -> pb.UploadAudienceMembersRequest:
    return pb.UploadAudienceMembersRequest(header=pb.UploadHeader(**{"destination": DESTINATION, **fields}))


def batch(ids: str) -> pb.UploadAudienceMembersRequest:
    members = [pb.AudienceMember(user_account_id=one.strip()) for one in ids]
    return pb.UploadAudienceMembersRequest(batch=pb.UploadBatch(audience_members=members))


def finish(count: int) -> pb.UploadAudienceMembersRequest:
    return pb.UploadAudienceMembersRequest(finish=pb.UploadFinish(member_count=count))


def upload(stubs: Stubs, *requests: pb.UploadAudienceMembersRequest) -> Any:
    return stubs.members.UploadAudienceMembers(iter(requests))


def places(response: pb.UploadAudienceMembersResponse) -> list[tuple[int, int]]:
    return [(file.first_member_index, file.member_count) for file in response.files]


async def test_an_upload_becomes_whole_files_and_says_who_is_in_which() -> None:
    vendor = Vendor()
    async with serving(vendor.adapter()) as stubs:
        response = await upload(stubs, header(), batch("ab"), batch("cd"), batch("ef"), batch("g"), finish(7))

    assert vendor.files == [b"#abcd", b"#efg"]
    assert places(response) == [(0, 4), (4, 3)]
    assert response.next_member_index == 7
    assert not response.HasField("error")
    assert all(file.export_job.started_by_gateway and file.export_job.etag for file in response.files)


async def test_the_defaults_reach_the_adapter() -> None:
    vendor = Vendor()
    defaults = pb.AudienceMemberDefaults(operation=pb.AudienceMember.ADD, audience_id="7")
    async with serving(vendor.adapter()) as stubs:
        await upload(stubs, header(defaults=defaults), batch("a"), finish(1))

    assert vendor.defaults == defaults


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([], "UPLOAD_PROTOCOL"),
        ([batch("a"), finish(1)], "UPLOAD_PROTOCOL"),
        ([header(), batch("a"), header(), finish(1)], "UPLOAD_PROTOCOL"),
        ([header(), finish(0), batch("a")], "UPLOAD_PROTOCOL"),
        ([header(), batch("a"), pb.UploadAudienceMembersRequest(), finish(1)], "UPLOAD_PROTOCOL"),
        ([header(), batch("ab")], "UPLOAD_INCOMPLETE"),
        ([header(), batch("ab"), finish(3)], "UPLOAD_INCOMPLETE"),
        ([header(), batch("ab"), finish(1)], "UPLOAD_INCOMPLETE"),
        ([header()], "UPLOAD_INCOMPLETE"),
        ([header(), batch(""), finish(0)], "INVALID_FIELD"),
        ([header(request_id="no uuid"), finish(0)], "INVALID_FIELD"),
        ([header(destination="rubbish"), finish(0)], "INVALID_RESOURCE_NAME"),
        ([header(destination="connections/other/destinations/1"), finish(0)], "CONNECTION_NOT_FOUND"),
        ([header(), batch("a "), finish(2)], "INVALID_FIELD"),
    ],
)
async def test_what_is_no_upload_is_refused_and_nothing_is_sent(requests: Any, reason: str) -> None:
    vendor = Vendor()
    async with serving(vendor.adapter()) as stubs:
        answer = await refused(upload(stubs, *requests))

    assert answer.reason == reason
    assert vendor.files == []


@pytest.mark.parametrize(("said", "expected"), [([finish(0)], "0"), ([], "")])
async def test_an_incomplete_upload_says_how_many_were_expected(said: Any, expected: str) -> None:
    async with serving(Vendor().adapter()) as stubs:
        answer = await refused(upload(stubs, header(), batch("ab"), *said))

    assert answer.metadata.get("expected", "") == expected
    assert answer.metadata["received"] == "2"


async def test_a_client_that_dies_makes_no_file() -> None:
    vendor = Vendor()
    received = asyncio.Event()

    async def dying() -> AsyncIterator[pb.UploadAudienceMembersRequest]:
        yield header()
        yield batch("ab")
        received.set()
        await asyncio.Event().wait()

    async with serving(vendor.adapter()) as stubs:
        call = stubs.members.UploadAudienceMembers(dying())
        await received.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        after = await upload(stubs, header(), batch("c"), finish(1))

    assert vendor.files == [b"#c"]
    assert places(after) == [(0, 1)]


async def test_a_wrong_member_is_named_by_its_place_in_the_whole_and_what_is_in_stands() -> None:
    vendor = Vendor()
    async with serving(vendor.adapter()) as stubs:
        answer = await refused(upload(stubs, header(), batch("abcd"), batch("efg"), batch("h "), finish(9)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert answer.violations == [("audience_members[8].user_account_id", "INVALID_FIELD")]
    assert vendor.files in ([], [b"#abcd"])


async def test_a_wrong_member_is_told_once_it_is_certain_where_to_go_on() -> None:
    vendor = Vendor()
    vendor.gate.clear()
    request_id = str(uuid4())
    async with serving(vendor.adapter()) as stubs:
        call = asyncio.ensure_future(
            refused(upload(stubs, header(request_id=request_id), batch("abcd"), batch("efg"), batch(" "), finish(8)))
        )
        await vendor.reached.wait()
        for _ in range(2000):
            await asyncio.sleep(0)
        early = call.done()
        vendor.gate.set()
        answer = await call
        at = int(answer.metadata["nextMemberIndex"])
        rest = await upload(stubs, header(request_id=request_id, first_member_index=at), batch("efgh"), finish(4))

    assert not early
    assert at == 4
    assert vendor.files == [b"#abcd", b"#efgh"]
    assert (places(rest), rest.next_member_index) == ([(4, 4)], 8)


async def test_while_a_file_is_being_sent_nobody_is_told_to_go_on() -> None:
    vendor = Vendor()
    vendor.gate.clear()
    request_id = str(uuid4())

    async def dying() -> AsyncIterator[pb.UploadAudienceMembersRequest]:
        yield header(request_id=request_id)
        yield batch("abcd")
        yield batch("efgh")
        await asyncio.Event().wait()

    async with serving(vendor.adapter()) as stubs:
        call = stubs.members.UploadAudienceMembers(dying())
        await vendor.reached.wait()
        call.cancel()
        try:
            early = await refused(upload(stubs, header(request_id=request_id), finish(0)))
        finally:
            vendor.gate.set()
        while True:
            with suppress(grpc.aio.AioRpcError):
                late = await upload(stubs, header(request_id=request_id), finish(0))
                break

    assert (early.code, early.reason) == (grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS")
    assert early.retry_after_s
    assert (places(late), late.next_member_index) == ([(0, 4)], 4)


async def test_an_upload_that_is_cut_otherwise_doubles_no_member() -> None:
    vendor = Vendor()
    request_id = str(uuid4())

    def on(index: int, *batches: str) -> Any:
        members = sum(map(len, batches))
        resumed = header(request_id=request_id, first_member_index=index)
        return upload(stubs, resumed, *map(batch, batches), finish(members))

    async with serving(vendor.adapter()) as stubs:
        await on(8, "ijkl")
        otherwise = await refused(on(4, "ef", "ghij", "kl"))
        within = await refused(on(10, "kl"))
        alike = await on(6, "gh", "ijkl")

    assert (otherwise.reason, otherwise.metadata["nextMemberIndex"]) == ("REQUEST_ID_REUSED", "6")
    assert within.reason == "REQUEST_ID_REUSED"
    assert places(alike) == [(6, 2), (8, 4)]
    assert vendor.files == [b"#ijkl", b"#ef", b"#gh"]


async def test_what_the_vendor_refuses_in_the_middle_says_where_to_resume() -> None:
    vendor = Vendor(None, errors.Unavailable("the vendor is down", fault=Fault(http_status=503)))
    vendor_error_free = Vendor()
    async with serving(vendor.adapter()) as stubs:
        response = await upload(stubs, header(), batch("abcd"), batch("efgh"), batch("ij"), finish(10))
    async with serving(vendor_error_free.adapter()) as stubs:
        resumed = await upload(
            stubs, header(first_member_index=response.next_member_index), batch("efgh"), batch("ij"), finish(6)
        )

    assert vendor.files[:1] == [b"#abcd"]
    assert places(response) == [(0, 4)]
    assert response.next_member_index == 4
    assert response.error.message == "the vendor is down"
    assert places(resumed) == [(4, 4), (8, 2)]


async def test_a_first_file_that_is_refused_is_an_error_of_the_call() -> None:
    vendor = Vendor(errors.Rejected("no", fault=Fault(http_status=400)))
    async with serving(vendor.adapter()) as stubs:
        answer = await refused(upload(stubs, header(), batch("a"), finish(1)))

    assert answer.reason == "REJECTED_BY_VENDOR"


async def test_a_vendor_that_is_slow_holds_the_caller_back() -> None:
    vendor = Vendor()
    vendor.gate.clear()
    large = pb.AudienceMember(user_account_id="x" * 64 * 1024)
    taken = 0

    async def eager() -> AsyncIterator[pb.UploadAudienceMembersRequest]:
        nonlocal taken
        yield header()
        for _ in range(500):
            taken += 1
            yield pb.UploadAudienceMembersRequest(batch=pb.UploadBatch(audience_members=[large]))
        yield finish(500)

    vendor.max_bytes = 1 + 64 * 1024
    async with serving(vendor.adapter()) as stubs:
        call = asyncio.ensure_future(stubs.members.UploadAudienceMembers(eager()))
        seen = -1
        while seen != taken:
            seen = taken
            for _ in range(2000):
                await asyncio.sleep(0)
        held = taken
        vendor.gate.set()
        response = await call

    assert held < 400
    assert len(vendor.files) == 500
    assert response.next_member_index == 500


async def test_the_next_file_fills_while_one_is_sent() -> None:
    vendor = Vendor()
    vendor.gate.clear()
    filled = asyncio.Event()

    async def two_files() -> AsyncIterator[pb.UploadAudienceMembersRequest]:
        yield header()
        yield batch("abcd")
        yield batch("efgh")
        filled.set()
        yield finish(8)

    async with serving(vendor.adapter()) as stubs:
        call = asyncio.ensure_future(stubs.members.UploadAudienceMembers(two_files()))
        await filled.wait()
        assert not vendor.files
        vendor.gate.set()
        await call

    assert vendor.files == [b"#abcd", b"#efgh"]


async def test_an_upload_that_comes_again_doubles_no_file() -> None:
    vendor = Vendor()
    request_id = str(uuid4())
    whole = [header(request_id=request_id), batch("abcd"), batch("ef"), finish(6)]
    async with serving(vendor.adapter()) as stubs:
        first = await upload(stubs, *whole)
        second = await upload(stubs, *whole)
        asked = await upload(stubs, header(request_id=request_id), finish(0))
        other = await refused(upload(stubs, header(request_id=request_id), batch("XYZW"), batch("ef"), finish(6)))

    assert vendor.files == [b"#abcd", b"#ef"]
    assert first == second == asked
    assert other.reason == "REQUEST_ID_REUSED"


async def test_validate_only_checks_every_member_and_sends_nothing() -> None:
    vendor = Vendor()
    async with serving(vendor.adapter()) as stubs:
        fine = await upload(stubs, header(validate_only=True), batch("abcdef"), finish(6))
        wrong = await refused(upload(stubs, header(validate_only=True), batch("abcdef"), batch(" "), finish(7)))

    assert not fine.files
    assert fine.next_member_index == 6
    assert wrong.metadata["nextMemberIndex"] == "6"
    assert wrong.violations == [("audience_members[6].user_account_id", "INVALID_FIELD")]
    assert vendor.files == []


async def test_a_batch_at_once_is_one_file_once() -> None:
    vendor = Vendor()
    members = [pb.AudienceMember(user_account_id=one) for one in "abc"]
    request = pb.IngestAudienceMembersRequest(
        destination=DESTINATION, audience_members=members, request_id=str(uuid4())
    )
    async with serving(vendor.adapter()) as stubs:
        first = await stubs.members.IngestAudienceMembers(request)
        second = await stubs.members.IngestAudienceMembers(request)
        request.validate_only = True
        checked = await stubs.members.IngestAudienceMembers(request)

    assert vendor.files == [b"#abc"]
    assert first == second
    assert first.export_job.name == "connections/scripted/exportJobs/1"
    assert not checked.HasField("export_job")


async def test_a_batch_of_too_many_members_is_refused() -> None:
    members = [pb.AudienceMember(user_account_id="a")] * 10_001
    async with serving(Vendor().adapter()) as stubs:
        request = pb.IngestAudienceMembersRequest(destination=DESTINATION, audience_members=members)
        answer = await refused(stubs.members.IngestAudienceMembers(request))

    assert answer.reason == "LIMIT_EXCEEDED"


async def test_a_file_above_the_memory_limit_is_sent_as_it_was_gathered() -> None:
    vendor = Vendor()
    vendor.max_bytes = 64 * 1024 * 1024
    digest = hashlib.sha256(vendor.head)

    def many() -> Iterator[pb.UploadAudienceMembersRequest]:
        yield header()
        for index in range(250):
            one = batch(chr(97 + index % 26) * 5000)
            digest.update(one.batch.audience_members[0].user_account_id.encode() * 5000)
            yield one
        yield finish(250 * 5000)

    async with serving(vendor.adapter()) as stubs:
        await stubs.members.UploadAudienceMembers(many())

    assert [hashlib.sha256(file).digest() for file in vendor.files] == [digest.digest()]
