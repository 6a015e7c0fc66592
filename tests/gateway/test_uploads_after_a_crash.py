"""An upload whose gateway dies in the middle: the next one says what is in, and what is in is not sent again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import grpc
import pytest

from adapters import calls, errors
from adapters.transport import Transport
from audiencegateway.v1 import export_jobs_pb2
from audiencegateway.v1 import members_pb2 as pb
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.connections import Connection, Connections
from gateway.ledger import FILE_FACTOR, MAX_WRITE_S, opening
from gateway.ledger.engine import MEMORY
from gateway.ledger.store import Store
from gateway.server import Server, build
from gateway.settings import ServerSettings, Settings
from tests.gateway import test_uploads
from tests.gateway.scripted import NoSettings, Stubs, refused, scripted, stubs
from tests.gateway.stores import KINDS, address
from tests.gateway.test_ledger import Clock, write
from tests.gateway.test_uploads import batch, finish, header, places, upload

PARENT = "connections/scripted"
FILES = ["abcd", "efgh", "ij"]
WHOLE = [b"#abcd", b"#efgh", b"#ij"]
ID = str(uuid4())


class Vendor(test_uploads.Vendor):
    """Takes files one after the other, and never answers to the second one where the test says so."""

    def __init__(self, dies: str) -> None:
        super().__init__()
        self._dies = dies
        self.reached = asyncio.Event()
        """Set when the gateway has come to where it dies."""
        self.jobs: dict[str, bytes] = {}
        """Files by the marker that they came with."""
        self.shows = False

    def adapter(self) -> Any:
        vendor = self

        async def upload_audience_members(*_: object) -> Vendor:
            return vendor

        async def get_export_job(_: object, export_job_id: str, *, full: bool = False) -> ExportJob:
            if export_job_id not in vendor.jobs:
                raise errors.NotFound("no such job", reason="EXPORT_JOB_NOT_FOUND")
            return _job(export_job_id)

        async def find_export_jobs(_: object, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
            return [_job(marker)] if vendor.shows and marker in vendor.jobs else []

        return scripted(
            upload_audience_members=upload_audience_members,
            get_export_job=get_export_job,
            find_export_jobs=find_export_jobs,
        )

    async def send(self, file: IO[bytes], size_bytes: int, *, marker: str) -> ExportJob:
        dies, self._dies = (self._dies, "") if self.jobs else ("", self._dies)
        await self._stop_at("unannounced", dies)
        await write(calls.current())
        await self._stop_at("before it arrived", dies)
        self.jobs[marker] = file.read()
        await self._stop_at("after it arrived", dies)
        calls.current().accepted = True
        return _job(marker)

    async def _stop_at(self, moment: str, dies: str) -> None:
        if moment == dies:
            self.reached.set()
            await asyncio.Event().wait()

    @property
    def has(self) -> list[bytes]:
        """What it has, in the order of its members."""
        return sorted(self.jobs.values())


def _job(marker: str) -> ExportJob:
    return ExportJob(name=f"{PARENT}/exportJobs/{marker}", state=ExportJob.RUNNING)


class Lives:
    """Gateways, one after the other, over one store; each but the last one dies."""

    def __init__(self, vendor: Vendor, clock: Clock) -> None:
        self.vendor = vendor
        self.clock = clock
        self._gateway: Server | None = None
        self._transport = Transport("scripted", "scripted")
        self._channel: grpc.aio.Channel | None = None

    async def begin(self) -> Stubs:
        kind = self.vendor.adapter()
        made = kind(kind.vendor, NoSettings(), self._transport)
        connection = Connection(id=kind.vendor, vendor=kind.vendor, display_name="", adapter=made, state_time_s=1.0)
        settings = Settings(listen="127.0.0.1:0", server=ServerSettings(shutdown_grace_s=0.0), connections=())
        self._gateway = build(settings, Connections([connection]))
        self._channel = grpc.aio.insecure_channel(await self._gateway.start())
        return stubs(self._channel)

    async def die(self) -> None:
        """End all that the gateway does without a word to the store, as a SIGKILL would."""
        assert self._gateway is not None
        assert self._channel is not None
        opened = self._gateway._opened
        ledger: Any = opened.ledger
        ledger._record = _nothing
        await opened.upkeep.stop()
        doomed = {*ledger._under_way, *filter(None, [ledger._beating])}
        for task in doomed:
            task.cancel()
        if doomed:
            await asyncio.wait(doomed)
        await self._gateway._server.stop(0)
        await self._channel.close()
        if ledger.store.url != MEMORY:
            await ledger.store.close()

    async def look(self, times: int = 1) -> None:
        assert self._gateway is not None
        for _ in range(times):
            await self._gateway._opened.upkeep.round()
            self.clock.now_s += 31

    async def end(self) -> None:
        assert self._gateway is not None
        assert self._channel is not None
        await self._channel.close()
        await self._gateway.stop()
        await self._transport.close()


def _nothing(*_: object) -> None:
    """Record nothing."""


@pytest.fixture(params=KINDS)
async def over(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], Lives]]:
    """Yield what makes gateways that share a store, the memory itself or what each of them opens."""
    clock = Clock()
    made: list[Lives] = []

    def lives(dies: str) -> Lives:
        made.append(Lives(Vendor(dies), clock))
        return made[0]

    async with address(request.param, tmp_path) as url:
        shared = Store(url, now=clock) if url == MEMORY else None
        monkeypatch.setattr(opening, "open_store", lambda _: shared or Store(url, now=clock))
        yield lives
        await made[0].end()


async def died_in_the_second_file(lives: Lives) -> Stubs:
    """Have a gateway die while it sends the second of three files; return another one."""
    requests: asyncio.Queue[pb.UploadAudienceMembersRequest] = asyncio.Queue()
    for one in (header(request_id=ID), *map(batch, FILES)):
        requests.put_nowait(one)

    async def forever() -> AsyncIterator[pb.UploadAudienceMembersRequest]:
        while True:
            yield await requests.get()

    first = await lives.begin()
    call = first.members.UploadAudienceMembers(forever())
    await lives.vendor.reached.wait()
    await lives.die()
    assert await call.code() is not grpc.StatusCode.OK
    return await lives.begin()


async def is_in(stubs: Stubs) -> pb.UploadAudienceMembersResponse:
    answer: pb.UploadAudienceMembersResponse = await upload(stubs, header(request_id=ID), finish(0))
    return answer


async def go_on(stubs: Stubs, index: int) -> Any:
    """Send what is left of the members from *index* on."""
    left = "".join(FILES)[index:]
    parts = [left[at : at + 4] for at in range(0, len(left), 4)]
    return await upload(stubs, header(request_id=ID, first_member_index=index), *map(batch, parts), finish(len(left)))


async def whole(stubs: Stubs) -> Any:
    return await upload(stubs, header(request_id=ID), *map(batch, FILES), finish(10))


async def test_a_file_that_arrived_without_an_answer_is_a_lost_job_and_is_not_sent_again(
    over: Callable[[str], Lives],
) -> None:
    lives = over("after it arrived")
    stubs = await died_in_the_second_file(lives)
    lives.clock.now_s += 31
    await lives.look()
    told = await is_in(stubs)
    lost = told.files[1].export_job
    request = export_jobs_pb2.GetExportJobRequest(name=lost.name)
    read = await stubs.export_jobs.GetExportJob(request)
    rest = await go_on(stubs, told.next_member_index)
    repeated = await whole(stubs)

    assert (places(told), told.next_member_index) == ([(0, 4), (4, 4)], 8)
    assert lost.name.startswith(f"{PARENT}/exportJobs/g~")
    assert read == lost
    assert lost.state == ExportJob.OUTCOME_UNKNOWN
    assert (places(rest), rest.next_member_index) == ([(8, 2)], 10)
    assert [file.export_job.name for file in repeated.files] == [
        *(file.export_job.name for file in told.files),
        rest.files[0].export_job.name,
    ]
    assert lives.vendor.has == WHOLE

    lives.vendor.shows = True
    await lives.look()
    found = (await is_in(stubs)).files[1].export_job
    assert found.alias == lost.name
    assert lives.vendor.jobs[found.name.rpartition("/")[2]] == WHOLE[1]
    assert (await stubs.export_jobs.GetExportJob(request)).name == found.name


async def test_a_file_that_never_arrived_is_sent_again_once_that_is_certain(over: Callable[[str], Lives]) -> None:
    lives = over("before it arrived")
    stubs = await died_in_the_second_file(lives)
    lives.clock.now_s += 31
    await lives.look()
    early = await is_in(stubs)
    rest = await go_on(stubs, early.next_member_index)
    lives.vendor.shows = True
    lives.clock.now_s += MAX_WRITE_S * FILE_FACTOR
    await lives.look(6)
    late = await is_in(stubs)
    again = await go_on(stubs, late.next_member_index)

    assert (early.next_member_index, places(rest)) == (8, [(8, 2)])
    assert (places(late), late.next_member_index) == ([(0, 4)], 4)
    assert (places(again), again.next_member_index) == ([(4, 4), (8, 2)], 10)
    assert places(await is_in(stubs)) == [(0, 4), (4, 4), (8, 2)]
    assert lives.vendor.has == WHOLE


async def test_a_file_that_was_not_begun_is_sent_by_whoever_goes_on(over: Callable[[str], Lives]) -> None:
    lives = over("unannounced")
    stubs = await died_in_the_second_file(lives)
    lives.clock.now_s += 31
    told = await is_in(stubs)
    rest = await go_on(stubs, told.next_member_index)

    assert (places(told), told.next_member_index) == ([(0, 4)], 4)
    assert (places(rest), rest.next_member_index) == ([(4, 4), (8, 2)], 10)
    assert lives.vendor.has == WHOLE


@pytest.mark.parametrize("dies", ["before it arrived", "after it arrived"])
async def test_a_file_of_the_dead_counts_as_lost_before_anybody_looks_for_it(
    over: Callable[[str], Lives], dies: str
) -> None:
    lives = over(dies)
    stubs = await died_in_the_second_file(lives)
    lives.clock.now_s += 31
    told = await is_in(stubs)

    assert (places(told), told.next_member_index) == ([(0, 4), (4, 4)], 8)
    assert told.files[1].export_job.state == ExportJob.OUTCOME_UNKNOWN


@pytest.mark.parametrize("dies", ["unannounced", "before it arrived", "after it arrived"])
async def test_while_the_dead_may_still_live_the_caller_is_told_to_wait(
    over: Callable[[str], Lives], dies: str
) -> None:
    lives = over(dies)
    stubs = await died_in_the_second_file(lives)
    sent = list(lives.vendor.has)
    for answer in (await refused(is_in(stubs)), await refused(go_on(stubs, 4))):
        assert (answer.code, answer.reason) == (grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS")
        assert answer.retry_after_s

    assert lives.vendor.has == sent
