"""The ledger as a machine: whatever happens in whatever order, nothing is done twice, changed once settled, or lost."""

import asyncio
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters import calls, errors
from adapters.errors import ApiError
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.ledger import Asked, Key
from gateway.ledger.ledger import Ledger
from gateway.ledger.reconciler import Reconciler
from gateway.ledger.statements import ACCEPTED, REJECTED
from gateway.ledger.store import Row, Store

IDS = ["a", "b", "c"]
T0 = 1_800_000_000.0
UNSENT = {"refused": errors.Rejected("no"), "not sent": errors.Unavailable("nobody there")}
FATES = ["answered", "lost after", "lost before", "refused", "not sent", "dies before", "dies after", "dies unsent"]


class Vendor:
    """Keeps every start that reaches it, and shows it almost two minutes later."""

    listing_lag_s = 120.0
    shows_after_s = 110.0

    def __init__(self) -> None:
        self.now_s = T0
        self.jobs: list[tuple[str, str, float]] = []
        """The request id, the marker, and when."""

    def start(self, request_id: str, marker: str) -> ExportJob:
        self.jobs.append((request_id, marker, self.now_s))
        return ExportJob(name=f"connections/c/exportJobs/{len(self.jobs)}")

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        return [
            ExportJob(name=f"connections/c/exportJobs/{number}")
            for number, (_, known, at_s) in enumerate(self.jobs, 1)
            if known == marker and at_s + self.shows_after_s <= self.now_s
        ]


class Ledgers(RuleBasedStateMachine):
    """Two replicas over one store."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.vendor = Vendor()
        self.store = Store(now=lambda: self.vendor.now_s)
        self.ledgers = self.runner.run(self._two())
        self.settled: dict[str, Row] = {}
        self.made: set[str] = set()
        """Rows that something may have been sent for."""

    async def _two(self) -> list[Ledger]:
        return [Ledger(self.store, sleep=_never) for _ in range(2)]

    def teardown(self) -> None:
        """Look until nothing is open, then see that all is told of what the vendor has."""
        self.runner.run(self._end())
        self.runner.close()

    @rule(
        replica=st.integers(0, 1), request_id=st.sampled_from(IDS), fate=st.sampled_from(FATES), content=st.booleans()
    )
    def call(self, replica: int, request_id: str, fate: str, content: bool) -> None:
        before = len(self._jobs(request_id))
        other = content and bool(self._jobs(request_id))
        outcome = self.runner.run(self._call(self.ledgers[replica], request_id, fate, other=other))
        if other:
            assert isinstance(outcome, ApiError)
            assert len(self._jobs(request_id)) == before

    @rule(request_id=st.sampled_from(IDS))
    def both_at_once(self, request_id: str) -> None:
        self.runner.run(self._both(request_id))

    @rule(seconds=st.sampled_from([1.0, 31.0, 61.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.vendor.now_s += seconds

    @rule(replica=st.integers(0, 1), times=st.integers(1, 4))
    def reconcile(self, replica: int, times: int) -> None:
        for _ in range(times):
            self.runner.run(self._reconciler(replica).look())
            self.vendor.now_s += 31.0

    @rule(replica=st.integers(0, 1))
    def crash(self, replica: int) -> None:
        self.runner.run(self._crash(replica))

    @invariant()
    def a_request_id_starts_one_job_at_most(self) -> None:
        for request_id in IDS:
            assert len(self._jobs(request_id)) <= 1

    @invariant()
    def what_is_settled_stays_as_it_is(self) -> None:
        rows = {row.id: row for row in self.runner.run(self._rows())}
        for row_id, row in self.settled.items():
            assert rows.get(row_id) == row
        self.settled |= {row.id: row for row in rows.values() if row.settled_at is not None}

    @invariant()
    def no_row_is_lost_that_something_was_sent_for(self) -> None:
        assert self.made <= {row.id for row in self.runner.run(self._rows())}

    def _jobs(self, request_id: str) -> list[str]:
        return [marker for known, marker, _ in self.vendor.jobs if known == request_id]

    def _reconciler(self, replica: int) -> Reconciler:
        adapter: Any = self.vendor
        return Reconciler(self.ledgers[replica], lambda _: adapter)

    async def _rows(self) -> list[Row]:
        found: list[Row] = []
        for request_id in IDS:
            found += await self.store.places(_asked(request_id).key.scope or b"")
        return found

    async def _call(self, ledger: Any, request_id: str, fate: str, *, other: bool = False) -> object:
        record = ledger._record
        if fate.startswith("dies"):
            ledger._record = _nothing  # the dead record nothing
        try:
            outcome = await ledger.once(_asked(request_id, other=other), partial(self._act, request_id, fate))
            return outcome.result
        except ApiError as error:
            return error
        except asyncio.CancelledError:
            return None
        finally:
            ledger._record = record
            ledger._live.clear()
            if ledger._recording:
                await asyncio.wait(ledger._recording)

    async def _act(self, request_id: str, fate: str, marker: str) -> ExportJob:
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
            job = self.vendor.start(request_id, marker)
            if fate == "answered":
                call.accepted = True
                return job
        raise asyncio.CancelledError if fate.startswith("dies") else errors.OutcomeUnknown("lost")

    async def _both(self, request_id: str) -> None:
        await asyncio.gather(*(self._call(ledger, request_id, "answered") for ledger in self.ledgers))

    async def _crash(self, replica: int) -> None:
        await _stop(self.ledgers[replica])
        self.ledgers[replica] = Ledger(self.store, sleep=_never)

    async def _end(self) -> None:
        for _ in range(8):
            self.vendor.now_s += 61.0
            await self._reconciler(0).look()
        rows = await self._rows()
        for request_id in IDS:
            outcome = await self._call(self.ledgers[0], request_id, "refused")
            if self._jobs(request_id):
                assert isinstance(outcome, ExportJob)
                assert outcome.name == f"connections/c/exportJobs/{self._number(request_id)}"
        assert {row.phase for row in rows} <= {ACCEPTED, REJECTED, "RESERVED"}
        for ledger in self.ledgers:
            await _stop(ledger)
        await self.store.close()

    def _number(self, request_id: str) -> int:
        return [known for known, _, __ in self.vendor.jobs].index(request_id) + 1


def _asked(request_id: str, *, other: bool = False) -> Asked[ExportJob]:
    return Asked(
        key=Key("caller", "CreateExportJob", "connections/c", request_id),
        connection="c",
        fingerprint=(b"x" if other else b"f") * 32,
        kind=ExportJob,
        wanted=ExportJob(destination=f"connections/c/destinations/{request_id}"),
    )


async def _never(_: float) -> None:
    await asyncio.Event().wait()


def _nothing(*_: object) -> None:
    """Record nothing."""


async def _stop(ledger: Ledger) -> None:
    if ledger._beating is not None:
        ledger._beating.cancel()
        await asyncio.wait({ledger._beating})


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
