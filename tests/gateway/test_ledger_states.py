"""The ledger as a machine: whatever happens in whatever order, nothing is done twice, changed once settled, or lost."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import select

from adapters import calls, errors
from adapters.errors import ApiError, StoreUnavailable
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway.ledger import Asked, Key
from gateway.ledger.engine import MEMORY, in_file
from gateway.ledger.ledger import BEATS, LEASE_S, Ledger
from gateway.ledger.reconciler import Reconciler
from gateway.ledger.schema import CALLS
from gateway.ledger.statements import ACCEPTED, REJECTED, RESERVED, UNKNOWN
from gateway.ledger.store import Row, Store


class Unit(NamedTuple):
    """What is to be done once: a start, or a file at its place in an upload."""

    request_id: str
    place: int = 0


T0 = 1_800_000_000.0
UNSENT = {"refused": errors.Rejected("no"), "not sent": errors.Unavailable("nobody there")}
FATES = ["answered", "lost after", "lost before", "refused", "not sent", "dies before", "dies after", "dies unsent"]
STEPS = ["reserve", "take_over", "announce", "accept", "lose", "reject", "free", "bury", "looked"]
"""What the store may fail at."""


class Flaky(Store):
    """Fails at one step, before or after it did what was asked of it."""

    failing = ""
    done = False


def _failing(name: str) -> Callable[..., Any]:
    step: Any = getattr(Store, name)

    async def tried(self: Flaky, *values: Any, **named: Any) -> Any:
        if self.failing != name:
            return await step(self, *values, **named)
        if self.done:
            await step(self, *values, **named)
        raise StoreUnavailable("gone")

    return tried


for _name in STEPS:
    setattr(Flaky, _name, _failing(_name))


class Vendor:
    """Keeps everything that reaches it, and shows it almost two minutes later."""

    listing_lag_s = 120.0
    shows_after_s = 110.0

    def __init__(self, *, marks: bool) -> None:
        self.now_s = T0
        self._marks = marks
        self.jobs: list[tuple[Unit, str, float]] = []
        """What was asked for, the marker, and when."""

    def start(self, unit: Unit, marker: str) -> ExportJob:
        self.jobs.append((unit, marker, self.now_s))
        return ExportJob(name=_name_of(len(self.jobs)))

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        return [
            ExportJob(name=_name_of(number))
            for number, (_, known, at_s) in enumerate(self.jobs, 1)
            if at_s + self.shows_after_s <= self.now_s
            and (known == marker if self._marks else sent_at_s <= at_s <= sent_at_s + 5)
        ]


def _name_of(number: int) -> str:
    return f"connections/c/exportJobs/{number}"


numbers = st.integers(0, 2)
replicas = st.integers(0, 1)


class Ledgers(RuleBasedStateMachine):
    """Two replicas over one store in memory, and starts."""

    units = (Unit("a"), Unit("b"), Unit("c"))
    in_file = False
    marks = True

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.vendor = Vendor(marks=self.marks)
        self.folder = TemporaryDirectory()
        self.stores = self._stores()
        self.ledgers = self.runner.run(self._two())
        self.settled: dict[str, Row] = {}
        self.made: set[str] = set()
        """Rows that something may have been sent for."""

    def _stores(self) -> list[Flaky]:
        url = in_file(Path(self.folder.name) / "ledger.sqlite") if self.in_file else MEMORY
        made = [Flaky(url, now=lambda: self.vendor.now_s) for _ in range(1 + self.in_file)]
        return made if self.in_file else 2 * made

    async def _two(self) -> list[Ledger]:
        return [Ledger(store, sleep=_no_beat) for store in self.stores]

    def teardown(self) -> None:
        """Look until nothing is open, then see that all is told of what the vendor has."""
        self.runner.run(self._end())
        self.runner.close()
        self.folder.cleanup()

    @rule(
        replica=replicas,
        number=numbers,
        fate=st.sampled_from(FATES),
        content=st.booleans(),
        failing=st.sampled_from(["", *STEPS]),
        done=st.booleans(),
    )
    def call(self, *, replica: int, number: int, fate: str, content: bool, failing: str, done: bool) -> None:
        unit = self.units[number]
        before = len(self._jobs(unit))
        other = content and bool(self._jobs(unit))
        store = self.stores[replica]
        store.failing, store.done = failing, done
        outcome = self.runner.run(self._call(self.ledgers[replica], unit, fate, other=other))
        if other:
            assert isinstance(outcome, ApiError)
            assert len(self._jobs(unit)) == before

    @rule(number=numbers)
    def both_at_once(self, number: int) -> None:
        self.runner.run(self._both(self.units[number]))

    @rule(seconds=st.sampled_from([1.0, 31.0, 61.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.vendor.now_s += seconds

    @rule(
        replica=replicas, times=st.integers(1, 4), failing=st.sampled_from(["", "accept", "reject", "bury", "looked"])
    )
    def reconcile(self, replica: int, times: int, failing: str) -> None:
        for at in range(times):
            self.stores[replica].failing = "" if at else failing
            self.runner.run(self._look(replica))
            self.vendor.now_s += 31.0
        self.stores[replica].failing = ""

    @rule(replica=replicas)
    def crash(self, replica: int) -> None:
        self.runner.run(self._crash(replica))

    @invariant()
    def what_is_asked_for_once_is_made_once_at_most(self) -> None:
        for unit in self.units:
            assert len(self._jobs(unit)) <= 1

    @invariant()
    def no_row_is_lost_that_something_was_sent_for_and_what_is_settled_stays_as_it_is(self) -> None:
        rows = {row.id: row for row in self.runner.run(self._rows())}
        assert self.made <= rows.keys()
        for row_id, row in self.settled.items():
            assert rows.get(row_id) == row
        self.settled |= {row.id: row for row in rows.values() if row.settled_at is not None}
        _no_job_is_of_two_rows(rows.values())

    def _jobs(self, unit: Unit) -> list[str]:
        return [marker for known, marker, _ in self.vendor.jobs if known == unit]

    async def _look(self, replica: int) -> None:
        adapter: Any = self.vendor
        with suppress(StoreUnavailable):
            await Reconciler(self.ledgers[replica], lambda _: adapter).look()

    async def _rows(self) -> list[Row]:
        return await self.stores[0]._rows(select(CALLS), {})

    async def _call(self, ledger: Any, unit: Unit, fate: str, *, other: bool = False) -> Any:
        record = ledger._record
        if fate.startswith("dies"):
            ledger._record = _nothing  # the dead record nothing
        try:
            outcome = await ledger.once(self._asked(unit, other=other), partial(self._act, unit, fate))
            return outcome.result
        except ApiError as error:
            return error
        except asyncio.CancelledError:
            return None
        finally:
            ledger._record = record
            ledger.store.failing = ""
            if ledger._recording:
                await asyncio.wait(ledger._recording)
            ledger._live.clear()

    async def _act(self, unit: Unit, fate: str, marker: str) -> Any:
        """Do what an adapter does, to the point that its fate says."""
        call = calls.current()
        if fate == "dies unsent":
            raise asyncio.CancelledError
        if call.before_write is not None:
            await call.before_write()
        call.written = True
        if fate in UNSENT:
            raise UNSENT[fate]
        self.made |= {row.id for row in await self._rows() if row.marker == marker}
        if fate.endswith("after") or fate == "answered":
            job = self.vendor.start(unit, marker)
            if fate == "answered":
                call.accepted = True
                return self._result(unit, job)
        raise asyncio.CancelledError if fate.startswith("dies") else errors.OutcomeUnknown("lost")

    async def _both(self, unit: Unit) -> None:
        await asyncio.gather(*(self._call(ledger, unit, "answered") for ledger in self.ledgers))

    async def _crash(self, replica: int) -> None:
        await _stop(self.ledgers[replica])
        self.ledgers[replica] = Ledger(self.stores[replica], sleep=_no_beat)

    async def _end(self) -> None:
        for _ in range(8):
            # A file may be on its way for ten minutes.
            self.vendor.now_s += 121.0
            await self._look(0)
        rows = await self._rows()
        _no_job_is_of_two_rows(rows)
        assert {row.phase for row in rows} <= {ACCEPTED, REJECTED, RESERVED, *([] if self.marks else [UNKNOWN])}
        await self._told()
        for ledger in self.ledgers:
            await _stop(ledger)
        for store in self.stores:
            await store.close()

    def _made_for(self, unit: Unit) -> str:
        return _name_of([known for known, _, __ in self.vendor.jobs].index(unit) + 1)

    # What the calls are.

    def _asked(self, unit: Unit, *, other: bool = False) -> Asked[Any]:
        return Asked(
            key=Key("caller", "CreateExportJob", "connections/c", unit.request_id),
            connection="c",
            fingerprint=(b"x" if other else b"f") * 32,
            kind=ExportJob,
            wanted=ExportJob(destination=f"connections/c/destinations/{unit.request_id}"),
        )

    def _result(self, unit: Unit, job: ExportJob) -> Any:
        return job

    def _job(self, outcome: Any) -> ExportJob:
        assert isinstance(outcome, ExportJob)
        return outcome

    async def _told(self) -> None:
        """See that who asks again is told of what the vendor has."""
        for unit in self.units:
            outcome = await self._call(self.ledgers[0], unit, "refused")
            if self._jobs(unit):
                assert self._job(outcome).name == self._made_for(unit)


class LedgersInAFile(Ledgers):
    """Each replica with a store of its own over one file."""

    in_file = True


class Unmarked(Ledgers):
    """A vendor that tells calls apart by their time alone: some stay unknown, and none has another one's job."""

    marks = False

    async def _told(self) -> None:
        known = {_name_of(number) for number in range(1, 1 + len(self.vendor.jobs))}
        assert {row.resource for row in await self._rows() if row.resource} <= known


class Uploads(Ledgers):
    """Files, of which two have a request id in common."""

    units = (Unit("a"), Unit("a", 4), Unit("b"))

    def _asked(self, unit: Unit, *, other: bool = False) -> Asked[Any]:
        return Asked(
            key=Key("caller", "UploadAudienceMembers", "connections/c/destinations/1", unit.request_id),
            connection="c",
            fingerprint=(b"x" if other else b"f") * 32,
            kind=UploadedFile,
            place=unit.place,
            wanted=UploadedFile(first_member_index=unit.place, member_count=4),
        )

    def _result(self, unit: Unit, job: ExportJob) -> UploadedFile:
        return UploadedFile(export_job=job, first_member_index=unit.place, member_count=4)

    def _job(self, outcome: Any) -> ExportJob:
        assert isinstance(outcome, UploadedFile)
        return outcome.export_job

    async def _told(self) -> None:
        await super()._told()
        self.vendor.now_s += 61.0
        for request_id in {unit.request_id for unit in self.units}:
            in_it = [unit for unit in self.units if unit.request_id == request_id and self._jobs(unit)]
            told = await self.ledgers[1].results(self._asked(Unit(request_id)).key, UploadedFile)
            found = [(file.first_member_index, file.export_job.name) for file in told]
            assert found == [(unit.place, self._made_for(unit)) for unit in in_it]


def _no_job_is_of_two_rows(rows: Iterable[Row]) -> None:
    adopted = [row.resource for row in rows if row.resource]
    assert len(adopted) == len(set(adopted))


async def _no_beat(seconds: float) -> None:
    """Wait for ever between signs of life, and for nothing else."""
    await (asyncio.Event().wait() if seconds == LEASE_S / BEATS else asyncio.sleep(0))


def _nothing(*_: object) -> None:
    """Record nothing."""


async def _stop(ledger: Ledger) -> None:
    if ledger._beating is not None:
        ledger._beating.cancel()
        await asyncio.wait({ledger._beating})


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestLedgersInAFile = LedgersInAFile.TestCase
TestLedgersInAFile.settings = settings(max_examples=5, stateful_step_count=15, deadline=None)
TestUnmarked = Unmarked.TestCase
TestUnmarked.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestUploads = Uploads.TestCase
TestUploads.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
