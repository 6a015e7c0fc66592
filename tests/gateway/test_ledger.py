"""What a ledger promises of a mutation: once, whatever its caller does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from adapters import calls, errors
from adapters.errors import ApiError
from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob
from gateway.ledger import Key, fingerprint
from gateway.ledger.memory import MemoryLedger

KEY = Key("caller", "CreateExportJob", "connections/c", "5b0cf0ea-7d3e-4a53-9a9e-0f2f9f6f7c11")
REQUEST = fingerprint(CreateExportJobRequest(parent="connections/c", request_id=KEY.request_id))
JOB = ExportJob(name="connections/c/exportJobs/1", started_by_gateway=True)
Act = Callable[[str], Coroutine[Any, Any, ExportJob]]


def acting(*outcomes: ExportJob | BaseException, sent: bool = True) -> tuple[Act, list[str]]:
    """Return an act with one outcome a run, and the markers that it was run with."""
    markers: list[str] = []

    async def act(marker: str) -> ExportJob:
        calls.current().written = sent
        calls.current().vendor_calls += 1
        markers.append(marker)
        outcome = outcomes[len(markers) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return act, markers


async def test_the_same_call_is_made_once_and_answered_twice() -> None:
    ledger = MemoryLedger()
    act, markers = acting(JOB)
    first = await ledger.once(KEY, REQUEST, act)
    second = await ledger.once(KEY, REQUEST, act)

    assert first == second == JOB
    assert len(markers) == 1
    assert ledger.started(JOB.name)


async def test_another_caller_method_or_parent_is_another_call() -> None:
    ledger = MemoryLedger()
    act, markers = acting(JOB, JOB, JOB, JOB)
    for key in (KEY, Key("b", *_rest()), Key("caller", "X", KEY.parent, KEY.request_id), Key(*KEY_PARENT)):
        await ledger.once(key, REQUEST, act)

    assert len(set(markers)) == 4


def _rest() -> tuple[str, str, str]:
    return KEY.method, KEY.parent, KEY.request_id


KEY_PARENT = (KEY.caller, KEY.method, "connections/d", KEY.request_id)


async def test_without_a_request_id_every_call_is_made() -> None:
    ledger = MemoryLedger()
    act, markers = acting(JOB, JOB)
    key = Key(KEY.caller, KEY.method, KEY.parent, "")
    for _ in range(2):
        await ledger.once(key, REQUEST, act)

    assert len(markers) == 2


async def test_the_same_id_with_other_content_is_refused() -> None:
    ledger = MemoryLedger()
    act, markers = acting(JOB)
    await ledger.once(KEY, REQUEST, act)
    other = fingerprint(CreateExportJobRequest(parent="connections/c", export_job=ExportJob(display_name="other")))
    with pytest.raises(ApiError) as refused:
        await ledger.once(KEY, other, act)

    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert [violation.field for violation in refused.value.violations] == ["request_id"]
    assert len(markers) == 1


async def test_the_same_id_while_the_call_is_under_way_is_told_so() -> None:
    ledger = MemoryLedger()
    release = asyncio.Event()

    async def act(_: str) -> ExportJob:
        await release.wait()
        return JOB

    first = asyncio.ensure_future(ledger.once(KEY, REQUEST, act))
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await ledger.once(KEY, REQUEST, act)
    release.set()

    assert refused.value.reason == "REQUEST_IN_PROGRESS"
    assert await first == JOB


FREE = [errors.Unavailable, errors.RateLimited, errors.TimedOut, errors.CredentialsRejected, errors.PermissionMissing]
KEPT = [errors.Rejected, errors.Conflict, errors.NotFound, errors.OutcomeUnknown, errors.ProtocolViolation]


@pytest.mark.parametrize("kind", KEPT)
async def test_what_the_vendor_said_to_a_write_is_said_again(kind: type[ApiError]) -> None:
    ledger = MemoryLedger()
    act, markers = acting(kind("no"), JOB)
    reasons = []
    for _ in range(2):
        with pytest.raises(ApiError) as refused:
            await ledger.once(KEY, REQUEST, act)
        reasons.append(refused.value.reason)

    assert reasons == [kind.reason] * 2
    assert len(markers) == 1


@pytest.mark.parametrize(("kind", "sent"), [(kind, True) for kind in FREE] + [(kind, False) for kind in KEPT])
async def test_a_call_that_left_nothing_at_the_vendor_may_be_made_again(kind: type[ApiError], sent: bool) -> None:
    ledger = MemoryLedger()
    act, markers = acting(kind("no"), JOB, sent=sent)
    with pytest.raises(kind):
        await ledger.once(KEY, REQUEST, act)

    assert await ledger.once(KEY, REQUEST, act) == JOB
    assert len(markers) == 2


async def test_a_write_that_was_sent_ends_by_itself_and_its_result_waits() -> None:
    ledger = MemoryLedger()
    release, sent = asyncio.Event(), asyncio.Event()

    async def act(_: str) -> ExportJob:
        calls.current().written = True
        sent.set()
        await release.wait()
        return JOB

    caller = asyncio.ensure_future(ledger.once(KEY, REQUEST, act))
    await sent.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await ledger.close()

    assert await ledger.once(KEY, REQUEST, act) == JOB


async def test_a_call_that_has_sent_nothing_yet_ends_with_its_caller() -> None:
    ledger = MemoryLedger()
    began = asyncio.Event()
    ended: list[bool] = []

    async def act(_: str) -> ExportJob:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return JOB

    caller = asyncio.ensure_future(ledger.once(KEY, REQUEST, act))
    await began.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await ledger.close()
    again, markers = acting(JOB)

    assert ended == [True]
    assert await ledger.once(KEY, REQUEST, again) == JOB
    assert len(markers) == 1


async def test_what_the_write_cost_is_counted_on_the_call() -> None:
    act, _ = acting(JOB)
    with calls.serving(calls.Call()) as call:
        await MemoryLedger().once(KEY, REQUEST, act)

    assert call.vendor_calls == 1


async def test_the_oldest_rows_are_forgotten_first() -> None:
    ledger = MemoryLedger(max_rows=2)
    act, markers = acting(*[JOB] * 5)
    keys = [Key("caller", "CreateExportJob", "connections/c", str(index)) for index in range(3)]
    for key in [*keys, keys[2], keys[0]]:
        await ledger.once(key, REQUEST, act)

    assert len(markers) == 4


async def test_a_call_that_is_under_way_is_never_forgotten() -> None:
    ledger = MemoryLedger(max_rows=1)
    release = asyncio.Event()

    async def slow(_: str) -> ExportJob:
        calls.current().written = True
        await release.wait()
        return JOB

    first = asyncio.ensure_future(ledger.once(KEY, REQUEST, slow))
    await asyncio.sleep(0)
    act, _ = acting(JOB, JOB)
    for request_id in ("1", "2"):
        await ledger.once(Key(KEY.caller, KEY.method, KEY.parent, request_id), REQUEST, act)
    with pytest.raises(ApiError) as refused:
        await ledger.once(KEY, REQUEST, act)
    release.set()

    assert refused.value.reason == "REQUEST_IN_PROGRESS"
    assert await first == JOB


async def test_a_call_that_ends_late_frees_no_id_but_its_own() -> None:
    ledger = MemoryLedger()
    failing, _ = acting(errors.Unavailable("down"))
    act, markers = acting(JOB, JOB)
    early = asyncio.ensure_future(ledger.once(KEY, REQUEST, failing))
    await asyncio.sleep(0)
    ledger._rows.pop(KEY)
    await ledger.once(KEY, REQUEST, act)
    with pytest.raises(errors.Unavailable):
        await early

    await ledger.once(KEY, REQUEST, act)
    assert len(markers) == 1
