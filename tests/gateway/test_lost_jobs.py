"""Jobs whose start was answered by nobody, as callers see them; and lists of what was started here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import pytest

from adapters import calls, errors
from adapters.base import Listing, ListQuery, Page
from adapters.transport import Transport
from audiencegateway.v1 import export_jobs_pb2 as pb
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import job_lists
from gateway.connections import Connection, Connections
from gateway.ledger.upkeep import Upkeep
from gateway.server import build
from gateway.settings import LedgerSettings, ServerSettings, Settings
from tests.gateway.scripted import NoSettings, Stubs, refused, scripted, stubs
from tests.gateway.stores import KINDS, configured

PARENT = "connections/scripted"
DESTINATION = f"{PARENT}/destinations/1"


class Vendor:
    """Starts jobs, and loses its answer where the test says so."""

    def __init__(self) -> None:
        self.jobs: dict[str, ExportJob] = {}
        self.losing = False
        self.hidden: set[str] = set()
        self.down = False
        self.starts = 0

    def adapter(self) -> Any:
        vendor = self

        async def create_export_job(_: object, wanted: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
            await calls.current().before_write()  # type: ignore[misc]  # the ledger has put one there
            calls.current().written = True
            job = ExportJob(name=f"{PARENT}/exportJobs/{marker}", state=ExportJob.RUNNING)
            job.destination = wanted.destination
            vendor.jobs[marker] = job
            vendor.starts += 1
            if vendor.losing:
                raise errors.OutcomeUnknown("lost")
            return job

        async def get_export_job(_: object, export_job_id: str, *, full: bool = False) -> ExportJob:
            if vendor.down:
                raise _down()
            if export_job_id not in vendor.jobs:
                raise errors.NotFound("no such job", reason="EXPORT_JOB_NOT_FOUND")
            found = ExportJob()
            found.CopyFrom(vendor.jobs[export_job_id])
            return found

        async def find_export_jobs(_: object, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
            return [job for key, job in vendor.jobs.items() if key == marker and key not in vendor.hidden]

        async def list_export_jobs(_: object, query: Any, cursor: str, size: int) -> Page[ExportJob]:
            start = int(cursor or "0")
            jobs = list(vendor.jobs.values())[::-1]
            following = str(start + size) if start + size < len(jobs) else ""
            return Page([_copy(job) for job in jobs[start : start + size]], following)

        async def cancel_export_job(_: object, export_job_id: str) -> ExportJob:
            raise AssertionError("no g~ name reaches a vendor")

        return scripted(
            create_export_job=create_export_job,
            get_export_job=get_export_job,
            find_export_jobs=find_export_jobs,
            list_export_jobs=list_export_jobs,
            cancel_export_job=cancel_export_job,
            export_jobs=Listing(required_filter="audiences.audience_id"),
        )


def _down() -> errors.Unavailable:
    error = errors.Unavailable("down")
    error.vendor = error.connection = "scripted"
    return error


def _copy(job: ExportJob) -> ExportJob:
    found = ExportJob()
    found.CopyFrom(job)
    return found


class Served(NamedTuple):
    """A gateway over the vendor, and what keeps its ledger."""

    vendor: Vendor
    stubs: Stubs
    upkeep: Upkeep

    async def create(self, request_id: str = "") -> Any:
        request = pb.CreateExportJobRequest(
            parent=PARENT,
            export_job=ExportJob(
                destination=DESTINATION, audiences=[pb.ExportAudience(audience_id="7")], display_name="x"
            ),
            request_id=request_id,
        )
        return await self.stubs.export_jobs.CreateExportJob(request)

    async def lose(self) -> Any:
        self.vendor.losing = True
        try:
            return await self.create()
        finally:
            self.vendor.losing = False

    async def get(self, name: str) -> Any:
        return await self.stubs.export_jobs.GetExportJob(pb.GetExportJobRequest(name=name))

    async def listed(self, parent: str = PARENT, **fields: Any) -> Any:
        return await self.stubs.export_jobs.ListExportJobs(pb.ListExportJobsRequest(parent=parent, **fields))

    async def resolve(self, name: str, **fields: Any) -> Any:
        return await self.stubs.export_jobs.ResolveExportJob(pb.ResolveExportJobRequest(name=name, **fields))


@pytest.fixture(params=KINDS)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LedgerSettings]:
    async with configured(request.param, tmp_path) as settings:
        yield settings


@pytest.fixture
async def served(ledger: LedgerSettings) -> AsyncIterator[Served]:
    vendor = Vendor()
    kind = vendor.adapter()
    transport = Transport(kind.vendor, kind.vendor)
    made = kind(kind.vendor, NoSettings(), transport)
    connection = Connection(id=kind.vendor, vendor=kind.vendor, display_name="", adapter=made, state_time_s=1.0)
    server = ServerSettings(shutdown_grace_s=0.0)
    settings = Settings(listen="127.0.0.1:0", server=server, ledger=ledger, connections=())
    gateway = build(settings, Connections([connection]))
    address = await gateway.start()
    # Tests say when it looks.
    await gateway._opened.upkeep.stop()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Served(vendor, stubs(channel), gateway._opened.upkeep)
    finally:
        await gateway.stop()
        await transport.close()


async def test_a_lost_start_is_a_job_that_can_be_read_until_it_is_the_vendors(served: Served) -> None:
    lost = await served.lose()
    before = await served.get(lost.name)
    await served.upkeep.round()
    after = await served.get(lost.name)
    canonical = await served.get(after.name)
    (marker,) = served.vendor.jobs

    assert lost == before
    assert (lost.state, lost.display_name, lost.destination) == (ExportJob.OUTCOME_UNKNOWN, "x", DESTINATION)
    assert lost.etag
    assert lost.HasField("create_time")
    assert (after.name, after.alias, after.state) == (f"{PARENT}/exportJobs/{marker}", lost.name, ExportJob.RUNNING)
    assert after == canonical
    assert after.started_by_gateway


async def test_a_repeated_start_is_answered_with_what_it_became(served: Served) -> None:
    request_id = str(uuid4())
    served.vendor.losing = True
    lost = await served.create(request_id)
    again = await served.create(request_id)
    await served.upkeep.round()
    after = await served.create(request_id)

    assert lost == again
    assert after.alias == lost.name
    assert after.state == ExportJob.RUNNING
    assert served.vendor.starts == 1


async def test_watch_and_wait_see_what_a_lost_job_becomes(served: Served) -> None:
    lost = await served.lose()
    request = pb.WaitExportJobRequest(name=lost.name, seen_etag=lost.etag)
    waiting = served.stubs.export_jobs.WaitExportJob(request)
    seen = []
    async for news in served.stubs.export_jobs.WatchExportJob(pb.WatchExportJobRequest(name=lost.name)):
        if not news.HasField("export_job"):
            continue
        seen.append(news.export_job.state)
        if len(seen) == 1:
            await served.upkeep.round()
        if len(seen) == 2:
            served.vendor.jobs[next(iter(served.vendor.jobs))].state = ExportJob.SUCCEEDED

    assert seen == [ExportJob.OUTCOME_UNKNOWN, ExportJob.RUNNING, ExportJob.SUCCEEDED]
    assert (await waiting).state in {ExportJob.RUNNING, ExportJob.SUCCEEDED}


REFUSED = {
    "CancelExportJob": (pb.CancelExportJobRequest, "name", "EXPORT_JOB_NOT_CANCELLABLE"),
    "ListExportJobRevisions": (pb.ListExportJobRevisionsRequest, "parent", "NOT_SUPPORTED_BY_VENDOR"),
}


@pytest.mark.parametrize("method", REFUSED)
async def test_what_needs_the_vendors_job_refuses_a_lost_one(served: Served, method: str) -> None:
    lost = await served.lose()
    request, field, reason = REFUSED[method]
    answer = await refused(getattr(served.stubs.export_jobs, method)(request(**{field: lost.name})))

    assert answer.reason == reason


@pytest.mark.parametrize("name", ["g~0123456789abcdef", "g~", "g~x"])
async def test_a_lost_job_that_nobody_knows_is_not_found(served: Served, name: str) -> None:
    answer = await refused(served.get(f"{PARENT}/exportJobs/{name}"))

    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "EXPORT_JOB_NOT_FOUND")


async def test_a_person_says_which_job_it_became(served: Served) -> None:
    served.vendor.jobs["8"] = ExportJob(name=f"{PARENT}/exportJobs/8", state=ExportJob.RUNNING)
    lost = await served.lose()
    resolved = await served.resolve(lost.name, export_job=f"{PARENT}/exportJobs/8", request_id=str(uuid4()))

    assert (resolved.name, resolved.alias) == (f"{PARENT}/exportJobs/8", lost.name)
    assert (await served.get(lost.name)).name == resolved.name
    again = await refused(served.resolve(lost.name, never_submitted=True))
    assert (again.code, again.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXPORT_JOB_NOT_UNRESOLVED")


async def test_a_person_says_that_it_never_arrived(served: Served) -> None:
    lost = await served.lose()
    resolved = await served.resolve(lost.name, never_submitted=True)

    assert (resolved.name, resolved.state) == (lost.name, ExportJob.FAILED)
    assert resolved.error.message


async def test_a_vendors_job_is_what_one_call_came_to(served: Served) -> None:
    taken = await served.create()
    lost = await served.lose()
    answer = await refused(served.resolve(lost.name, export_job=taken.name))

    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VENDOR_JOB_ALREADY_ADOPTED")
    assert (await served.get(lost.name)).state == ExportJob.OUTCOME_UNKNOWN


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"{PARENT}/exportJobs/404", "EXPORT_JOB_NOT_FOUND"),
        ("connections/other/exportJobs/1", "INVALID_FIELD"),
        (f"{PARENT}/exportJobs/g~0123456789abcdef", "INVALID_FIELD"),
    ],
)
async def test_what_is_no_job_of_the_vendors_resolves_nothing(served: Served, said: str, reason: str) -> None:
    lost = await served.lose()
    answer = await refused(served.resolve(lost.name, export_job=said))

    assert answer.reason == reason
    assert (await served.get(lost.name)).state == ExportJob.OUTCOME_UNKNOWN


async def test_a_job_of_the_vendors_needs_no_resolution(served: Served) -> None:
    job = await served.create()
    answer = await refused(served.resolve(job.name, never_submitted=True))

    assert answer.reason == "EXPORT_JOB_NOT_UNRESOLVED"


BY_AUDIENCE = "audiences.audience_id:7"


async def test_a_list_shows_lost_jobs_until_they_are_the_vendors(served: Served) -> None:
    lost = await served.lose()
    (marker,) = served.vendor.jobs
    served.vendor.jobs[marker].audiences.add(audience_id="7")
    before = await served.listed(filter=BY_AUDIENCE)
    await served.upkeep.round()
    after = await served.listed(filter=BY_AUDIENCE)

    assert [job.name for job in before.export_jobs] == [lost.name, f"{PARENT}/exportJobs/{marker}"]
    assert [(job.name, job.alias) for job in after.export_jobs] == [(f"{PARENT}/exportJobs/{marker}", lost.name)]


async def test_pages_with_lost_jobs_concatenate_to_the_whole(served: Served) -> None:
    for _ in range(3):
        await served.lose()
    for _ in range(4):
        await served.create()
    for job in served.vendor.jobs.values():
        job.audiences.add(audience_id="7")
    whole = await served.listed(filter=BY_AUDIENCE)
    names, token = [], ""
    for _ in range(20):
        page = await served.listed(filter=BY_AUDIENCE, page_size=2, page_token=token)
        names += [job.name for job in page.export_jobs]
        token = page.next_page_token
        if not token:
            break

    assert len(names) == 10
    assert names == [job.name for job in whole.export_jobs]


async def walked(served: Served, order: str, size: int, between: Any = None) -> list[list[str]]:
    """Return the pages of a list that `job_lists` makes for `lists`, each as names."""
    adapter: Any = served.upkeep._reconciler._adapter_of("scripted")
    fetch = job_lists.way(served.upkeep._ledger, ()).fetch(adapter)
    query, cursor, pages = ListQuery(order_by="create_time", descending=order == "newest first"), "", list[Any]()
    while cursor or not pages:
        page = await fetch(query, cursor, size)
        pages.append([job.name for job in page.items])
        cursor = page.next_cursor
        if between is not None and cursor == "g":
            await between()
    return pages


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
async def test_lost_jobs_come_by_pages_too(served: Served, order: str) -> None:
    lost = [(await served.lose()).name for _ in range(5)]
    served.vendor.jobs.clear()
    await served.create()
    pages = await walked(served, order, 2)
    told = [name for page in pages for name in page if "g~" in name]

    assert [len(page) for page in pages] == ([2, 2, 1, 1] if order == "newest first" else [1, 2, 2, 1])
    assert len(told) == 5
    assert set(told) == set(lost)


async def test_a_list_ends_whose_last_lost_job_is_found_meanwhile(served: Served) -> None:
    for _ in range(3):
        await served.create()
    await served.lose()
    pages = await walked(served, "oldest first", 2, served.upkeep.round)

    assert [len(page) for page in pages] == [2, 2, 0]


@pytest.mark.parametrize("parent", [PARENT, "connections/-"])
async def test_what_was_started_here_is_listed_without_the_vendors_filter(served: Served, parent: str) -> None:
    served.vendor.jobs["other"] = ExportJob(name=f"{PARENT}/exportJobs/other")
    started = [await served.create() for _ in range(5)]
    lost = await served.lose()
    without = await served.listed(parent) if parent != PARENT else None
    names, token = [], ""
    for _ in range(20):
        page = await served.listed(parent, filter="started_by_gateway = true", page_size=2, page_token=token)
        names += [job.name for job in page.export_jobs]
        token = page.next_page_token
        if not token:
            break

    assert names == [lost.name, *(job.name for job in reversed(started))]
    assert without is None or without.skipped[0].reason == "FILTER_REQUIRED"


async def test_a_vendor_that_is_down_is_said_to_be_unreachable(served: Served) -> None:
    await served.create()
    served.vendor.down = True
    answer = await refused(served.listed("connections/-", filter="started_by_gateway = true"))

    assert answer.reason == "VENDOR_UNAVAILABLE"


async def test_a_started_job_that_the_vendor_has_no_more_is_left_out(served: Served) -> None:
    gone, kept = [await served.create() for _ in range(2)]
    del served.vendor.jobs[gone.name.rpartition("/")[2]]
    page = await served.listed(filter="started_by_gateway = true")

    assert [job.name for job in page.export_jobs] == [kept.name]


async def test_reads_of_the_vendors_jobs_go_on_without_the_store(served: Served) -> None:
    job = await served.create()
    lost = await served.lose()
    await served.upkeep.round()
    aliased = await served.get(lost.name)
    store: Any = served.upkeep._store

    async def gone(*_: object) -> Any:
        raise errors.StoreUnavailable("gone")

    store._do = gone
    assert (await served.get(job.name)).started_by_gateway
    assert (await served.get(aliased.name)).alias == lost.name
    assert await served.listed(filter=BY_AUDIENCE)
    for call in (served.create(), served.get(lost.name), served.listed(filter="started_by_gateway = true")):
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert answer.retry_after_s
    assert served.vendor.starts == 2
    del store._do


@pytest.mark.parametrize("found", [True, False])
async def test_a_resolution_whose_answer_is_lost_can_be_repeated(served: Served, found: bool) -> None:
    served.vendor.jobs["8"] = ExportJob(name=f"{PARENT}/exportJobs/8", state=ExportJob.RUNNING)
    lost = await served.lose()
    said: dict[str, Any] = {"export_job": f"{PARENT}/exportJobs/8"} if found else {"never_submitted": True}
    resolved = await served.resolve(lost.name, **said)
    again = await served.resolve(lost.name, **said)
    other = await refused(
        served.resolve(lost.name, **({"never_submitted": True} if found else {"export_job": f"{PARENT}/exportJobs/8"}))
    )

    assert again == resolved
    assert other.reason == "EXPORT_JOB_NOT_UNRESOLVED"


async def test_a_repeated_start_is_answered_while_the_vendor_is_down(served: Served) -> None:
    request_id = str(uuid4())
    started = await served.create(request_id)
    served.vendor.down = True
    again = await served.create(request_id)

    assert again.name == started.name
