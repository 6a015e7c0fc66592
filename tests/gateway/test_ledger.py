"""What the ledger promises of a mutation: once, whatever its caller, its vendor and its process do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from adapters import calls, errors
from adapters.errors import ApiError
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob
from gateway.ledger import Asked, Key, fingerprint
from gateway.ledger.ledger import Ledger
from gateway.ledger.statements import ACCEPTED, SENDING, UNKNOWN
from gateway.ledger.store import Row, Store
from tests.gateway.stores import KINDS, address

ID = "5b0cf0ea-7d3e-4a53-9a9e-0f2f9f6f7c11"
REQUEST = fingerprint(CreateExportJobRequest(parent="connections/c", request_id=ID))
WANTED = ExportJob(destination="connections/c/destinations/1")
JOB = ExportJob(name="connections/c/exportJobs/1", started_by_gateway=True)
Act = Callable[[str], Coroutine[Any, Any, ExportJob]]
T0 = 1_800_000_000.0


def asked(request_id: str = ID, *, wanted: ExportJob | None = WANTED, **fields: Any) -> Asked[ExportJob]:
    key = Key("caller", "CreateExportJob", "connections/c", request_id)
    values = {"key": key, "connection": "c", "fingerprint": REQUEST, "kind": ExportJob, "wanted": wanted}
    return Asked(**{**values, **fields})


def acting(*outcomes: ExportJob | BaseException, sent: bool = True) -> tuple[Act, list[str]]:
    """Return an act with one outcome a run, and the markers that it was run with."""
    markers: list[str] = []

    async def act(marker: str) -> ExportJob:
        call = calls.current()
        if sent:
            await write(call)
        call.vendor_calls += 1
        markers.append(marker)
        outcome = outcomes[len(markers) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        call.accepted = sent
        return outcome

    return act, markers


async def write(call: calls.Call) -> None:
    """Do what `adapters.http` does before it sends."""
    if call.before_write is not None and not call.written:
        await call.before_write()
    call.written = True


class Clock:
    """The time, moved by the test."""

    now_s = T0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    async with address(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(url: URL, clock: Clock) -> AsyncIterator[Ledger]:
    made = Ledger(Store(url, now=clock))
    yield made
    await made.close()


async def rows(ledger: Ledger) -> list[Row]:
    scope = asked().key.scope
    assert scope is not None
    return await ledger.store.places(scope)


async def test_the_same_call_is_made_once_and_answered_twice(ledger: Ledger) -> None:
    act, markers = acting(JOB)
    first = await ledger.once(asked(), act)
    second = await ledger.once(asked(), act)

    assert (first.result, first.earlier) == (JOB, False)
    assert (second.result, second.earlier) == (JOB, True)
    assert len(markers) == 1
    job = ExportJob(name=JOB.name)
    ledger.known.put_on(job)
    assert job.started_by_gateway


async def test_another_caller_method_parent_or_place_is_another_call(ledger: Ledger) -> None:
    act, markers = acting(*[ExportJob(name=f"connections/c/exportJobs/{index}") for index in range(5)])
    await ledger.once(asked(), act)
    for change in ({"caller": "b"}, {"method": "X"}, {"parent": "connections/d"}):
        key = {"caller": "caller", "method": "CreateExportJob", "parent": "connections/c", "request_id": ID, **change}
        await ledger.once(asked(key=Key(**key)), act)
    await ledger.once(asked(place=7), act)

    assert len(set(markers)) == 5


async def test_without_a_request_id_every_call_is_made(ledger: Ledger) -> None:
    act, markers = acting(JOB, ExportJob(name="connections/c/exportJobs/2"))
    for _ in range(2):
        await ledger.once(asked(""), act)

    assert len(markers) == 2


async def test_the_same_id_with_other_content_is_refused(ledger: Ledger) -> None:
    act, markers = acting(JOB)
    await ledger.once(asked(), act)
    other = fingerprint(CreateExportJobRequest(parent="connections/c", export_job=ExportJob(display_name="other")))
    with pytest.raises(ApiError) as refused:
        await ledger.once(asked(fingerprint=other), act)

    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert [violation.field for violation in refused.value.violations] == ["request_id"]
    assert len(markers) == 1


async def test_the_same_id_while_the_call_is_under_way_is_told_so(ledger: Ledger) -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def act(_: str) -> ExportJob:
        began.set()
        await release.wait()
        return JOB

    first = asyncio.ensure_future(ledger.once(asked(), act))
    await began.wait()
    with pytest.raises(ApiError) as refused:
        await ledger.once(asked(), act)
    release.set()

    assert refused.value.reason == "REQUEST_IN_PROGRESS"
    assert (await first).result == JOB


FREE = [
    *(errors.Unavailable, errors.RateLimited, errors.TimedOut, errors.Overloaded),
    *(errors.CredentialsRejected, errors.PermissionMissing),
]
KEPT = [errors.Rejected, errors.Conflict, errors.NotFound]


@pytest.mark.parametrize("kind", KEPT)
async def test_what_the_vendor_refused_is_refused_again(ledger: Ledger, kind: type[errors.VendorError]) -> None:
    error = kind("no", fault=errors.Fault(http_status=422, code="c7", message="Jane Doe is unknown"))
    error.vendor, error.connection = "acme", "c"
    act, markers = acting(error)
    refusals = []
    for _ in range(2):
        with pytest.raises(errors.VendorError) as refused:
            await ledger.once(asked(), act)
        refusals.append(refused.value)

    assert [refusal.reason for refusal in refusals] == [kind.reason] * 2
    assert (refusals[1].vendor, refusals[1].fault.code, refusals[1].fault.message) == ("acme", "c7", "")
    assert len(markers) == 1


@pytest.mark.parametrize(("kind", "sent"), [(kind, True) for kind in FREE] + [(kind, False) for kind in KEPT])
async def test_a_call_that_left_nothing_at_the_vendor_may_be_made_again(
    ledger: Ledger, kind: type[ApiError], sent: bool
) -> None:
    act, markers = acting(kind("no"), JOB, sent=sent)
    with pytest.raises(kind):
        await ledger.once(asked(), act)

    assert (await ledger.once(asked(), act)).result == JOB
    assert len(markers) == 2


LOST = [errors.OutcomeUnknown("lost"), ApiError("a mistake")]


@pytest.mark.parametrize("error", LOST, ids=lambda error: error.reason)
async def test_a_start_whose_answer_is_lost_is_a_job_to_follow(ledger: Ledger, error: ApiError) -> None:
    act, markers = acting(error)
    first = await ledger.once(asked(), act)
    second = await ledger.once(asked(), act)

    assert first.result == second.result
    assert first.result.state == ExportJob.OUTCOME_UNKNOWN
    assert first.result.name.startswith("connections/c/exportJobs/g~")
    assert first.result.destination == WANTED.destination
    assert first.result.started_by_gateway
    assert not second.earlier
    assert len(markers) == 1
    assert [job.name for job in ledger.known.jobs("c")] == [first.result.name]


@pytest.mark.parametrize("error", [errors.Unavailable("down"), errors.ProtocolViolation("not JSON")], ids=repr)
async def test_an_answer_that_can_not_be_read_is_lost_where_the_vendor_accepted(
    ledger: Ledger, error: ApiError
) -> None:
    async def act(_: str) -> ExportJob:
        await write(calls.current())
        calls.current().accepted = True
        raise error

    answer = await ledger.once(asked(), act)

    assert answer.result.state == ExportJob.OUTCOME_UNKNOWN


async def test_a_lost_destination_is_an_error_that_says_so_again(ledger: Ledger) -> None:
    async def act(_: str) -> Destination:
        await write(calls.current())
        raise errors.OutcomeUnknown("lost")

    call = Asked(
        key=Key("caller", "CreateDestination", "connections/c", ID),
        connection="c",
        fingerprint=REQUEST,
        kind=Destination,
        wanted=Destination(display_name="x"),
    )
    for _ in range(2):
        with pytest.raises(errors.OutcomeUnknown):
            await ledger.once(call, act)


async def test_a_lost_call_that_may_be_made_twice_frees_its_id(ledger: Ledger) -> None:
    act, markers = acting(errors.OutcomeUnknown("lost"), JOB)
    with pytest.raises(errors.OutcomeUnknown):
        await ledger.once(asked(wanted=None), act)

    assert (await ledger.once(asked(wanted=None), act)).result == JOB
    assert len(markers) == 2


async def test_a_write_is_announced_in_the_store_before_it_leaves(ledger: Ledger) -> None:
    seen: list[str] = []

    async def act(_: str) -> ExportJob:
        seen.extend(row.phase for row in await rows(ledger))
        await write(calls.current())
        seen.extend(row.phase for row in await rows(ledger))
        return JOB

    await ledger.once(asked(), act)
    seen.extend(row.phase for row in await rows(ledger))

    assert seen == ["RESERVED", SENDING, ACCEPTED]


async def test_a_write_that_was_sent_ends_by_itself_and_its_result_waits(ledger: Ledger) -> None:
    release, sent = asyncio.Event(), asyncio.Event()

    async def act(_: str) -> ExportJob:
        await write(calls.current())
        sent.set()
        await release.wait()
        return JOB

    caller = asyncio.ensure_future(ledger.once(asked(), act))
    await sent.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await asyncio.wait(ledger._under_way)

    assert (await ledger.once(asked(), act)).result == JOB


async def test_a_call_that_has_sent_nothing_yet_ends_with_its_caller(ledger: Ledger) -> None:
    began = asyncio.Event()
    ended: list[bool] = []

    async def act(_: str) -> ExportJob:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return JOB

    caller = asyncio.ensure_future(ledger.once(asked(), act))
    await began.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait(ledger._under_way)
    await asyncio.wait(ledger._recording)
    again, markers = acting(JOB)

    assert ended == [True]
    assert (await ledger.once(asked(), again)).result == JOB
    assert len(markers) == 1


async def test_what_the_write_cost_is_counted_on_the_call(ledger: Ledger) -> None:
    act, _ = acting(JOB)
    with calls.serving(calls.Call()) as call:
        await ledger.once(asked(), act)

    assert call.vendor_calls == 1


async def test_two_calls_that_came_to_the_same_job_are_both_answered(ledger: Ledger) -> None:
    act, markers = acting(JOB, JOB)
    answers = [await ledger.once(asked(request_id), act) for request_id in ("1", "2", "2")]

    assert [answer.result for answer in answers] == [JOB] * 3
    assert len(markers) == 2


# --- Processes that die, and others that go on ---------------------------------------------------------------------


async def dead(url: URL, clock: Clock, *, sent: bool) -> None:
    """Let a process die in the middle of the call, and its lease end."""
    process = Ledger(Store(url, now=clock))
    began = asyncio.Event()

    async def act(_: str) -> ExportJob:
        if sent:
            await write(calls.current())
        began.set()
        await asyncio.Event().wait()
        return JOB

    with calls.serving(calls.Call()) as call:
        task = asyncio.ensure_future(process._make(asked(), act, call))
    process._record = lambda *_: None  # type: ignore[method-assign]  # the dead record nothing
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if process._beating:
        process._beating.cancel()
    await process.store.close()


@pytest.fixture(params=KINDS[1:])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    """A store that outlives a process."""
    async with address(request.param, tmp_path) as made:
        yield made


async def test_a_result_outlives_the_process(kept: URL) -> None:
    act, markers = acting(JOB)
    for _ in range(2):
        process = Ledger(Store(kept))
        answer = await process.once(asked(), act)
        await process.close()

    assert answer.result == JOB
    assert len(markers) == 1


async def test_a_call_whose_process_died_before_it_sent_is_made_anew(kept: URL, clock: Clock) -> None:
    await dead(kept, clock, sent=False)
    ledger = Ledger(Store(kept, now=clock))
    act, markers = acting(JOB)
    with pytest.raises(ApiError) as early:
        await ledger.once(asked(), act)
    clock.now_s += 31
    answer = await ledger.once(asked(), act)
    await ledger.close()

    assert early.value.reason == "REQUEST_IN_PROGRESS"
    assert answer.result == JOB
    assert len(markers) == 1


async def test_a_call_whose_process_died_while_it_sent_is_not_made_again(kept: URL, clock: Clock) -> None:
    await dead(kept, clock, sent=True)
    ledger = Ledger(Store(kept, now=clock))
    clock.now_s += 31
    act, markers = acting(JOB)
    answer = await ledger.once(asked(), act)
    (row,) = await rows(ledger)
    await ledger.close()

    assert answer.result.state == ExportJob.OUTCOME_UNKNOWN
    assert row.phase == UNKNOWN
    assert markers == []


async def test_two_replicas_that_take_the_same_id_at_once_make_one_call(kept: URL) -> None:
    ledgers = [Ledger(Store(kept)) for _ in range(2)]
    for one in ledgers:
        await one.store.open()
    act, markers = acting(JOB, JOB)
    answers = await asyncio.gather(
        *(one.once(asked(), act) for one in ledgers for _ in range(5)), return_exceptions=True
    )
    for one in ledgers:
        await one.close()

    assert len(markers) == 1
    reasons = {answer.reason for answer in answers if isinstance(answer, ApiError)}
    assert reasons <= {"REQUEST_IN_PROGRESS"}
    assert not [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, ApiError)]


async def test_whoever_was_taken_for_dead_sends_nothing(kept: URL, clock: Clock) -> None:
    slow, quick = Ledger(Store(kept, now=clock)), Ledger(Store(kept, now=clock))
    began, release = asyncio.Event(), asyncio.Event()
    sent: list[str] = []

    async def late(_: str) -> ExportJob:
        began.set()
        await release.wait()
        await write(calls.current())
        sent.append("late")
        return JOB

    first = asyncio.ensure_future(slow.once(asked(), late))
    await began.wait()
    clock.now_s += 31
    act, _ = acting(JOB)
    answer = await quick.once(asked(), act)
    release.set()
    with pytest.raises(ApiError) as refused:
        await first
    for one in (slow, quick):
        await one.close()

    assert answer.result == JOB
    assert refused.value.reason == "REQUEST_IN_PROGRESS"
    assert sent == []


async def test_a_long_call_gives_signs_of_life(kept: URL, clock: Clock) -> None:
    ticks: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(_: float) -> None:
        await ticks.get()

    ledger = Ledger(Store(kept, now=clock), sleep=sleep)
    began, release = asyncio.Event(), asyncio.Event()

    async def act(_: str) -> ExportJob:
        await write(calls.current())
        began.set()
        await release.wait()
        return JOB

    first = asyncio.ensure_future(ledger.once(asked(), act))
    await began.wait()
    (before,) = await rows(ledger)
    clock.now_s += 20
    ticks.put_nowait(None)
    after = before
    while after.lease_until == before.lease_until:
        (after,) = await rows(ledger)
    release.set()
    await first
    await ledger.close()

    assert after.lease_until == T0 + 20 + 30
