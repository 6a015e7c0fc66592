"""What the ledger does where calls, their callers and the store get in each other's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from adapters import calls, errors
from adapters.errors import ApiError, StoreUnavailable
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway.ledger import Asked, Key
from gateway.ledger.ledger import Ledger
from gateway.ledger.reconciler import Reconciler
from gateway.ledger.statements import REJECTED
from gateway.ledger.store import Row, Store
from tests.gateway.test_ledger import JOB, REQUEST, Clock, acting, asked, write
from tests.gateway.test_reconciler import Vendor


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(clock: Clock) -> AsyncIterator[Ledger]:
    made = Ledger(Store(now=clock))
    yield made
    await made.close()


def cancelling() -> Asked[ExportJob]:
    key = Key("caller", "CancelExportJob", JOB.name, "7c0e2c59-5ab8-4c2f-a1e2-0d9a1a3f6f10")
    return asked(key=key, wanted=None)


async def the_row(ledger: Ledger) -> Row:
    scope = asked().key.scope
    assert scope is not None
    (row,) = await ledger.store.places(scope)
    return row


async def test_a_cancel_takes_no_job_from_the_start_that_was_lost(ledger: Ledger, clock: Clock) -> None:
    lose, _ = acting(errors.OutcomeUnknown("lost"))
    await ledger.once(asked(), lose)
    cancel, _ = acting(ExportJob(name=JOB.name, state=ExportJob.CANCELLED))
    await ledger.once(cancelling(), cancel)
    vendor: Any = Vendor()
    vendor.has = [JOB]
    await Reconciler(ledger, lambda _: vendor).look()

    assert (await the_row(ledger)).resource == JOB.name


async def test_a_cancel_while_the_start_is_answered_leaves_it_its_job(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    cancel, _ = acting(ExportJob(name=JOB.name, state=ExportJob.CANCELLED))
    await ledger.once(cancelling(), cancel)
    start, _ = acting(JOB)
    await ledger.once(asked(), start)

    assert (await the_row(ledger)).resource == JOB.name
    assert "another call" not in caplog.text


async def test_a_caller_that_leaves_while_its_call_is_undone_keeps_no_row_alive(ledger: Ledger) -> None:
    began, free = asyncio.Event(), ledger.store.free

    async def slow(row_id: str, owner: str) -> None:
        if not began.is_set():
            began.set()
            await asyncio.Event().wait()
        await free(row_id, owner)

    ledger.store.free = slow  # type: ignore[method-assign]  # a store that is slow just then
    act, markers = acting(errors.Unavailable("nobody"), JOB, sent=False)
    caller = asyncio.ensure_future(ledger.once(asked(), act))
    await began.wait()
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    await asyncio.wait(ledger._under_way)
    await asyncio.gather(*ledger._recording)

    assert ledger._live == set()
    assert (await ledger.once(asked(), act)).result == JOB
    assert len(markers) == 2


async def test_a_refused_call_leaves_nothing_that_goes_on_trying(ledger: Ledger) -> None:
    async def down(*_: object) -> None:
        raise StoreUnavailable("down")

    ledger.store._do = down  # type: ignore[assignment,method-assign]  # as if it were gone
    act, markers = acting()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await ledger.once(asked(), act)
    del ledger.store._do

    assert ledger._recording == set()
    assert markers == []


async def test_a_caller_that_leaves_while_its_call_is_entered_leaves_nothing_that_goes_on_trying(
    ledger: Ledger,
) -> None:
    began = asyncio.Event()

    async def slow(*_: object) -> None:
        began.set()
        await asyncio.Event().wait()

    async def down(*_: object) -> None:
        raise StoreUnavailable("down")

    ledger.store.reserve, ledger.store.free = slow, down  # type: ignore[method-assign,assignment]  # as if it were gone
    act, _ = acting()
    caller = asyncio.ensure_future(ledger.once(asked(), act))
    await began.wait()
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    await asyncio.wait(ledger._under_way)
    for _ in range(10):
        await asyncio.sleep(0)

    assert ledger._recording == set()


@pytest.mark.parametrize("kind", [ExportJob, Destination])
async def test_a_redirect_of_a_write_is_no_refusal(ledger: Ledger, kind: type[Any]) -> None:
    redirect = errors.ProtocolViolation("303", fault=errors.Fault(http_status=303))
    outcomes = []
    for _ in range(2):
        act, markers = acting(redirect)
        try:
            outcomes.append((await ledger.once(asked(kind=kind, wanted=kind()), act)).result.state)
        except errors.OutcomeUnknown:
            outcomes.append(ExportJob.OUTCOME_UNKNOWN)

    assert outcomes == [ExportJob.OUTCOME_UNKNOWN] * 2
    assert markers == []


@pytest.mark.parametrize("kind", [ExportJob, Destination, UploadedFile])
async def test_a_refusal_that_comes_after_the_lease_is_a_refusal_again(
    ledger: Ledger, clock: Clock, kind: type[Any]
) -> None:
    async def act(_: str) -> Any:
        await write(calls.current())
        clock.now_s += 31
        await ledger.store.bury()  # as another replica does
        raise errors.Rejected("no", fault=errors.Fault(http_status=422))

    call: Asked[Any] = Asked(key=asked().key, connection="c", fingerprint=REQUEST, kind=kind, wanted=kind())
    reasons = []
    for _ in range(2):
        with pytest.raises(ApiError) as refused:
            await ledger.once(call, act)
        reasons.append(refused.value.reason)

    assert reasons == ["REJECTED_BY_VENDOR"] * 2
    assert (await the_row(ledger)).phase == REJECTED
