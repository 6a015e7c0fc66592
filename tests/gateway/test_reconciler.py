"""What becomes of a call whose answer was lost: found, given up, or left to a person."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters import calls, errors
from adapters.base import Adapter
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway.ledger import Asked, Key, settling
from gateway.ledger.ledger import Ledger
from gateway.ledger.reconciler import Reconciler
from gateway.ledger.statements import ACCEPTED, REJECTED, UNKNOWN
from gateway.ledger.store import Row, Store
from tests.gateway.stores import KINDS, address
from tests.gateway.test_ledger import ID, REQUEST, T0, Clock, acting, asked, write

FOUND = "connections/c/exportJobs/77"
OTHER = "connections/c/exportJobs/78"


class Vendor:
    """Has what the test says, and notes what it is asked for."""

    listing_lag_s = 120.0

    def __init__(self) -> None:
        self.has: list[Any] = []
        self.error: Exception | None = None
        self.looks: list[tuple[Any, ...]] = []

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        return self._look(wanted, marker, sent_at_s)

    async def find_destinations(self, wanted: Destination, *, sent_at_s: float) -> list[Destination]:
        return self._look(wanted, sent_at_s)

    async def find_subscriptions(
        self, destination_id: str, wanted: Subscription, *, sent_at_s: float
    ) -> list[Subscription]:
        return self._look(destination_id, wanted, sent_at_s)

    def _look(self, *asked: Any) -> list[Any]:
        self.looks.append(asked)
        if self.error is not None:
            raise self.error
        return list(self.has)


class World:
    """A ledger, a vendor, and the reconciler between them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.vendor = Vendor()
        self.clock = clock
        self.ledger = Ledger(store)
        self.reconciler = self.another(self.ledger)

    def another(self, ledger: Ledger) -> Reconciler:
        adapter: Any = self.vendor
        return Reconciler(ledger, lambda _: adapter)

    async def lose(self, call: Asked[Any] | None = None) -> Row:
        """Lose the answer of a call; return its row."""

        async def act(marker: str) -> Any:
            await write(calls.current())
            raise errors.OutcomeUnknown("lost")

        call = call or asked()
        with suppress(errors.OutcomeUnknown):
            await self.ledger.once(call, act)
        return await self.row(call)

    async def row(self, call: Asked[Any] | None = None) -> Row:
        scope = (call or asked()).key.scope
        assert scope is not None
        (row,) = await self.ledger.store.places(scope)
        return row

    async def look(self, times: int = 1, every_s: float = 30.0) -> None:
        for _ in range(times):
            await self.reconciler.look()
            self.clock.now_s += every_s


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    clock = Clock()
    async with address(request.param, tmp_path) as url:
        made = World(Store(url, now=clock), clock)
        yield made
        await made.ledger.close()


def file(first: int = 0) -> Asked[UploadedFile]:
    return Asked(
        key=Key("caller", "UploadAudienceMembers", "connections/c/destinations/1", ID),
        connection="c",
        fingerprint=REQUEST,
        kind=UploadedFile,
        place=first,
        wanted=UploadedFile(
            export_job=ExportJob(destination="connections/c/destinations/1"), first_member_index=first, member_count=3
        ),
    )


def destination() -> Asked[Destination]:
    return Asked(
        key=Key("caller", "CreateDestination", "connections/c", ID),
        connection="c",
        fingerprint=REQUEST,
        kind=Destination,
        wanted=Destination(display_name="x"),
    )


def subscription() -> Asked[Subscription]:
    return Asked(
        key=Key("caller", "CreateSubscription", "connections/c/destinations/9", ID),
        connection="c",
        fingerprint=REQUEST,
        kind=Subscription,
        wanted=Subscription(display_name="x"),
    )


async def test_one_match_is_what_the_call_came_to(world: World) -> None:
    row = await world.lose()
    world.vendor.has = [ExportJob(name=FOUND, state=ExportJob.RUNNING)]
    await world.look()
    act, markers = acting()
    answer = await world.ledger.once(asked(), act)

    assert world.vendor.looks == [(asked().wanted, row.marker, T0)]
    assert (answer.result.name, answer.earlier) == (FOUND, True)
    assert answer.result.alias == f"connections/c/exportJobs/g~{row.id}"
    assert answer.result.started_by_gateway
    assert markers == []
    assert (await world.row()).phase == ACCEPTED
    assert world.ledger.known.jobs("c") == []
    job = ExportJob(name=FOUND)
    world.ledger.known.put_on(job)
    assert (job.alias, job.started_by_gateway) == (answer.result.alias, True)


async def test_a_job_that_shows_late_is_still_found(world: World) -> None:
    await world.lose()
    await world.look(4)
    world.vendor.has = [ExportJob(name=FOUND)]
    await world.look()

    assert (await world.row()).resource == FOUND


async def test_what_no_look_finds_until_the_lists_have_caught_up_never_arrived(world: World) -> None:
    row = await world.lose()
    phases = []
    for _ in range(6):
        phases.append((await world.row()).phase)
        await world.look()
    act, markers = acting()
    answer = await world.ledger.once(asked(), act)

    assert phases == [UNKNOWN] * 5 + [REJECTED]
    assert len(world.vendor.looks) == 5
    assert answer.result.state == ExportJob.FAILED
    assert answer.result.name == f"connections/c/exportJobs/g~{row.id}"
    assert "safe" in answer.result.error.message
    assert markers == []
    assert [job.state for job in world.ledger.known.jobs("c")] == [ExportJob.FAILED]


async def test_three_looks_are_the_least_however_late_they_are(world: World) -> None:
    await world.lose()
    await world.look(2, every_s=1000)

    assert (await world.row()).phase == UNKNOWN


async def test_several_matches_are_left_to_a_person(world: World) -> None:
    row = await world.lose()
    world.vendor.has = [ExportJob(name=FOUND), ExportJob(name=OTHER)]
    await world.look(20, every_s=600)

    assert (await world.row()).phase == UNKNOWN
    assert len(world.vendor.looks) < 20
    assert await settling.adopt(world.ledger.store, world.ledger.known, row, ExportJob(name=OTHER))
    assert not await settling.give_up(world.ledger.store, world.ledger.known, row)
    assert (await world.row()).resource == OTHER


async def test_what_another_call_came_to_is_no_match(world: World) -> None:
    act, _ = acting(ExportJob(name=FOUND))
    await world.ledger.once(asked("6a44a6e2-8e4b-4a52-8d57-93b4e1b6d8a3"), act)
    await world.lose()
    world.vendor.has = [ExportJob(name=OTHER), ExportJob(name=FOUND)]
    await world.look()

    assert (await world.row()).resource == OTHER


async def test_nothing_is_adopted_while_a_call_for_the_same_is_being_sent(world: World) -> None:
    await world.lose()
    world.vendor.has = [ExportJob(name=FOUND)]

    async def act(_: str) -> ExportJob:
        await write(calls.current())
        await world.look()
        return ExportJob(name=FOUND)

    await world.ledger.once(asked("6a44a6e2-8e4b-4a52-8d57-93b4e1b6d8a3"), act)

    assert (await world.row()).phase == UNKNOWN
    assert len(world.vendor.looks) == 1


@pytest.mark.parametrize(
    "error", [errors.NotSupported("no"), errors.Unavailable("down"), errors.CredentialsRejected("no")], ids=repr
)
async def test_a_vendor_that_can_not_tell_leaves_the_outcome_unknown(world: World, error: errors.ApiError) -> None:
    await world.lose()
    world.vendor.error = error
    await world.look(20, every_s=60)

    assert (await world.row()).phase == UNKNOWN
    assert (len(world.vendor.looks) == 1) is isinstance(error, errors.NotSupported)


async def test_a_connection_that_is_not_configured_any_more_keeps_its_lost_calls(world: World) -> None:
    await world.lose()

    def gone(_: str) -> Adapter[Any]:
        raise errors.Missing("not configured")

    await Reconciler(world.ledger, gone).look()

    assert (await world.row()).phase == UNKNOWN


async def test_two_replicas_do_not_look_for_the_same_call_at_once(world: World) -> None:
    row = await world.lose()
    assert await world.ledger.store.claim(row.id, "another", world.clock.now_s + 90)
    await world.look()
    assert world.vendor.looks == []

    world.clock.now_s += 100
    await world.look()
    assert len(world.vendor.looks) == 1


async def test_what_a_process_left_that_died_is_looked_for(world: World) -> None:
    store = world.ledger.store
    row = world.ledger._row(asked())
    await store.reserve(row)
    await store.announce(row.id, row.owner or "", T0 + 30)
    world.vendor.has = [ExportJob(name=FOUND)]
    await world.look(2, every_s=31)

    assert (await world.row()).resource == FOUND


async def test_a_lost_file_that_arrived_is_in(world: World) -> None:
    row = await world.lose(file())
    (unknown,) = await world.ledger.results(file().key, UploadedFile)
    world.vendor.has = [ExportJob(name=FOUND)]
    await world.look()
    (found,) = await world.ledger.results(file().key, UploadedFile)

    assert world.vendor.looks[0][:2] == (ExportJob(destination="connections/c/destinations/1"), row.marker)
    assert (unknown.export_job.state, unknown.member_count) == (ExportJob.OUTCOME_UNKNOWN, 3)
    assert (found.export_job.name, found.member_count) == (FOUND, 3)


async def test_a_lost_file_that_never_arrived_is_sent_again(world: World) -> None:
    row = await world.lose(file())
    await world.look(6)
    assert await world.ledger.results(file().key, UploadedFile) == []

    async def act(_: str) -> UploadedFile:
        await write(calls.current())
        return UploadedFile(export_job=ExportJob(name=OTHER))

    answer = await world.ledger.once(file(), act)
    first = await settling.job(world.ledger.store, world.ledger.known, f"connections/c/exportJobs/g~{row.id}")

    assert answer.result.export_job.name == OTHER
    assert (first.phase, first.resource) == (REJECTED, None)


@pytest.mark.parametrize("make", [destination, subscription])
async def test_a_lost_destination_or_subscription_is_found_by_what_it_is(world: World, make: Any) -> None:
    call = make()
    await world.lose(call)
    world.vendor.has = [call.kind(name=f"{call.key.parent}/x", display_name="x")]
    await world.look()
    act, markers = acting()
    answer = await world.ledger.once(call, act)

    assert answer.result.name == f"{call.key.parent}/x"
    assert answer.result.etag
    assert markers == []


async def test_a_lost_destination_that_never_arrived_may_be_made_again(world: World) -> None:
    await world.lose(destination())
    await world.look(6)

    async def act(_: str) -> Destination:
        await write(calls.current())
        return Destination(name="connections/c/destinations/1")

    assert (await world.ledger.once(destination(), act)).result.name == "connections/c/destinations/1"


async def test_an_answer_that_comes_late_changes_nothing_that_is_settled(world: World) -> None:
    row = await world.lose()
    world.vendor.has = [ExportJob(name=FOUND)]
    await world.look()
    before = await world.row()
    late = await world.ledger.store.accept(row.id, b"late", OTHER)
    refusal = await world.ledger.store.reject(row.id, b"no")

    assert (late, refusal) == (False, False)
    assert await world.row() == before


@pytest.mark.parametrize(("call", "write_s"), [(asked, 60.0), (file, 600.0)])
async def test_what_its_owner_may_still_be_sending_is_not_given_up(world: World, call: Any, write_s: float) -> None:
    async def act(_: str) -> Any:
        await write(calls.current())
        world.clock.now_s += 31  # nothing can be recorded for so long, by this process alone
        looked = 0
        while world.clock.now_s < T0 + write_s + world.vendor.listing_lag_s:
            await world.look(every_s=10)
            looked += 1
        row: Row | None = await world.row(call())
        assert row is not None
        phases.append(row.phase)
        assert looked > 5
        await world.look(every_s=10)
        row = await world.ledger.store.find(row.id)
        phases.append(row.phase if row else "")
        raise errors.OutcomeUnknown("lost")

    phases: list[str] = []
    await world.ledger.once(call(), act)

    assert phases == [UNKNOWN, REJECTED]


async def test_a_mistake_about_one_call_keeps_no_other_from_being_found(world: World) -> None:
    odd, good = await world.lose(), await world.lose(file())
    find = world.vendor.find_export_jobs

    async def choosy(wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        if marker == odd.marker:
            raise KeyError("id")
        return await find(wanted, marker=marker, sent_at_s=sent_at_s)

    world.vendor.find_export_jobs = choosy  # type: ignore[method-assign]  # one row of the vendor's is odd
    world.vendor.has = [ExportJob(name=FOUND)]
    await world.look(2)
    rows = [await world.ledger.store.find(row.id) for row in (odd, good)]

    assert [row.phase for row in rows if row] == [UNKNOWN, ACCEPTED]


async def test_a_vendor_that_is_silent_holds_up_its_own_calls_alone(world: World) -> None:
    silent, answering, released = Vendor(), Vendor(), asyncio.Event()
    adapters: dict[str, Any] = {"silent": silent, "c": answering}
    answering.has = [ExportJob(name=FOUND)]

    async def wait(wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        silent.looks.append((marker,))
        await released.wait()
        raise errors.TimedOut("silent")

    silent.find_export_jobs = wait  # type: ignore[method-assign]  # it answers nothing
    for number in range(3):
        await world.lose(asked(str(number), connection="silent"))
    await world.lose()
    looking = asyncio.ensure_future(Reconciler(world.ledger, adapters.__getitem__).look())
    while (await world.row()).phase != ACCEPTED:
        assert not looking.done()
    released.set()
    await looking

    assert len(silent.looks) == 1
    assert await world.ledger.store.due(50) == []
