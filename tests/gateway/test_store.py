"""The store: what it does where it fails, how its schema comes to be, what it forgets, and what it never holds."""

import asyncio
import multiprocessing
import re
import sqlite3
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Executable, event, text
from sqlalchemy.engine import URL

from adapters import calls, errors
from adapters.errors import StoreUnavailable
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.ledger import Outcome, kept, migrating, settling
from gateway.ledger.engine import in_file
from gateway.ledger.ledger import Ledger
from gateway.ledger.reconciler import Reconciler
from gateway.ledger.schema import HEAD, METADATA
from gateway.ledger.statements import UNKNOWN
from gateway.ledger.store import Row, Store
from gateway.ledger.upkeep import DAY_S, FORGETTING, Upkeep
from tests.gateway.stores import KINDS, address
from tests.gateway.test_ledger import ID, JOB, T0, Clock, acting, asked, rows, write

OTHER_ID = "6a44a6e2-8e4b-4a52-8d57-93b4e1b6d8a3"


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    async with address(request.param, tmp_path) as made:
        yield made


class Failing(Store):
    """Fails from a step on, until the test mends it."""

    broken = False
    step = ""

    async def _run(self, statement: Executable, values: Mapping[str, Any]) -> int:
        self._fail(values)
        return await super()._run(statement, values)

    async def _run_rows(self, statement: Executable, values: Mapping[str, Any]) -> Any:
        self._fail(values)
        return await super()._run_rows(statement, values)

    def _fail(self, values: Mapping[str, Any]) -> None:
        if self.broken and (not self.step or self.step in values):
            raise StoreUnavailable("gone")


async def test_a_call_that_can_not_be_recorded_is_not_made(url: URL) -> None:
    ledger = Ledger(store := Failing(url))
    store.broken = True
    act, markers = acting(JOB)
    with pytest.raises(StoreUnavailable):
        await ledger.once(asked(), act)
    store.broken = False
    answer = await ledger.once(asked(), act)
    await ledger.close()

    assert answer.result == JOB
    assert len(markers) == 1


async def test_a_write_that_can_not_be_announced_is_not_sent(url: URL) -> None:
    ledger = Ledger(store := Failing(url))
    act, markers = acting(JOB)
    store.broken, store.step = True, "b_until"
    with pytest.raises(StoreUnavailable):
        await ledger.once(asked(), act)
    assert markers == []
    store.broken = False
    answer = await ledger.once(asked(), act)
    await ledger.close()

    assert answer.result == JOB


@pytest.mark.parametrize("outcome", [JOB, errors.OutcomeUnknown("lost"), errors.Rejected("no")], ids=repr)
async def test_an_outcome_that_can_not_be_recorded_is_told_and_recorded_later(url: URL, outcome: Any) -> None:
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        await waiting.wait()

    ledger = Ledger(store := Failing(url), sleep=sleep)
    inner, markers = acting(outcome)

    async def act(marker: str) -> ExportJob:
        await write(calls.current())
        store.broken = True
        return await inner(marker)

    told = await asyncio.gather(ledger.once(asked(), act), return_exceptions=True)
    store.broken = False
    with pytest.raises(errors.Aborted):
        await ledger.once(asked(), act)
    waiting.set()
    await asyncio.wait(ledger._recording)
    again = await asyncio.gather(ledger.once(asked(), act), return_exceptions=True)
    await ledger.close()

    assert _said(told[0]) == _said(again[0])
    assert len(markers) == 1


def _said(answer: Outcome[ExportJob] | BaseException) -> object:
    return getattr(answer, "reason", None) or (isinstance(answer, Outcome) and answer.result)


async def test_what_is_never_recorded_ends_as_unknown_by_its_lease(url: URL) -> None:
    clock = Clock()
    asleep = asyncio.Event()

    async def sleep(_: float) -> None:
        await asleep.wait()

    ledger = Ledger(store := Failing(url, now=clock), sleep=sleep)

    async def act(_: str) -> ExportJob:
        await write(calls.current())
        store.broken = True
        return JOB

    await ledger.once(asked(), act)
    store.broken = False
    clock.now_s += 31
    again, markers = acting()
    answer = await ledger.once(asked(), again)
    await ledger.close()

    assert answer.result.state == ExportJob.OUTCOME_UNKNOWN
    assert markers == []


async def test_a_store_that_is_silent_is_given_up_in_time(url: URL) -> None:
    store = Store(url, timeout_s=0.2)
    never = asyncio.Event()

    async def work() -> None:
        await never.wait()

    with pytest.raises(StoreUnavailable) as silent:
        await store._do(work)
    never.set()
    await store.close()

    assert "0.2 s" in silent.value.message


async def test_a_statement_that_its_caller_leaves_is_done_and_harms_nothing(url: URL) -> None:
    store = Store(url)
    await store.open()
    row = Ledger(store)._row(asked())
    task = asyncio.ensure_future(store.reserve(row))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait(store._under_way)
    found = await store.find(row.id)
    await store.close()

    assert found == row


async def test_a_full_disk_refuses_writes_and_answers_reads(tmp_path: Path) -> None:
    ledger = Ledger(store := Store(in_file(tmp_path / "ledger.sqlite")))
    act, markers = acting(JOB)
    await ledger.once(asked(), act)
    assert store._engine is not None
    async with store._engine.connect() as connection:
        pages = await connection.scalar(text("PRAGMA page_count"))
        await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    big = asked(OTHER_ID, wanted=ExportJob(display_name="x" * 100_000))
    with pytest.raises(StoreUnavailable):
        await ledger.once(big, act)
    replayed = await ledger.once(asked(), act)
    async with store._engine.connect() as connection:
        await connection.execute(text("PRAGMA max_page_count = 1000000"))
    await ledger.close()

    assert replayed.result == JOB
    assert len(markers) == 1


async def test_a_locked_file_is_waited_for_no_longer_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    first = Store(in_file(path))
    await first.open()
    await first.close()
    store = Store(in_file(path), timeout_s=2)
    await store.open()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await store.reserve(Ledger(store)._row(asked()))
        other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_a_file_that_can_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.touch()
    store = Store(in_file(folder / "ledger.sqlite"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.open()
    folder.unlink()
    await store.open()
    await store.close()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = Store(URL.create("postgresql+asyncpg", host="127.0.0.1", port=1, database="x", username="x"))
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


async def test_a_connection_that_the_server_ended_is_replaced(tmp_path: Path) -> None:
    async with address("postgresql", tmp_path) as url:
        store = Store(url)
        await store.open()
        assert store._engine is not None
        async with store._engine.connect() as connection:
            number = await connection.scalar(text("SELECT pg_backend_pid()"))
        other = Store(url)
        await other.open()
        assert other._engine is not None
        async with other._engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_terminate_backend({number})"))
        row = Ledger(store)._row(asked())
        assert await store.reserve(row) is None
        assert await store.find(row.id) == row
        await store.close()
        await other.close()


# --- The schema ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=KINDS[1:])
async def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    async with address(request.param, tmp_path) as made:
        yield made


async def test_the_migrations_lead_to_the_schema(lasting: URL) -> None:
    store = Store(lasting)
    await store.open()
    assert store._engine is not None
    async with store._engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), METADATA)
        )
        revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    await store.close()

    assert differences == []
    assert revision == HEAD
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_replicas_that_start_at_once_migrate_once(lasting: URL) -> None:
    stores = [Store(lasting, timeout_s=30) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    found = [await store.find("0" * 16) for store in stores]
    for store in stores:
        await store.close()

    assert found == [None] * 4


def _open(url: str, barrier: Any) -> None:
    barrier.wait()
    store = Store(URL.create("sqlite+aiosqlite", database=url), timeout_s=30)
    asyncio.run(_opened(store))


async def _opened(store: Store) -> None:
    await store.open()
    await store.close()


def test_processes_that_start_at_once_migrate_a_file_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    processes = [spawn.Process(target=_open, args=(str(tmp_path / "x.sqlite"), barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]


async def test_a_store_of_a_newer_release_is_used_as_it_is(lasting: URL, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(lasting)
    await store.open()
    assert store._engine is not None
    async with store._engine.connect() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    again = Store(lasting)
    assert await again.find("0" * 16) is None
    await again.close()

    assert "newer release" in caplog.text


# --- What is forgotten, and learned ----------------------------------------------------------------------------------


class Kept:
    """A ledger and its upkeep at a time that the test moves."""

    def __init__(self, url: URL, clock: Clock) -> None:
        self.ledger = Ledger(Store(url, now=clock))
        self.upkeep = Upkeep(self.ledger, Reconciler(self.ledger, _nobody), ids_days=7, jobs_days=400)


def _nobody(_: str) -> Any:
    raise errors.Missing("no such connection")


async def test_request_ids_are_forgotten_after_a_week_and_jobs_after_400_days(url: URL) -> None:
    clock = Clock()
    made = Kept(url, clock)
    act, markers = acting(JOB, ExportJob(name="connections/c/exportJobs/2"))
    await made.ledger.once(asked(), act)
    clock.now_s += 6.9 * DAY_S
    await made.upkeep.forget()
    early = await made.ledger.once(asked(), act)
    clock.now_s += 0.2 * DAY_S
    await made.upkeep.forget()
    late = await made.ledger.once(asked(), act)
    known = await made.ledger.store.started("c", (1e15, ""), 10)
    clock.now_s += 393.5 * DAY_S
    await made.upkeep.forget()
    left = await made.ledger.store.started("c", (1e15, ""), 10)
    await made.ledger.close()

    assert (early.result, late.result.name) == (JOB, "connections/c/exportJobs/2")
    assert len(markers) == 2
    assert [row.resource for row in known] == ["connections/c/exportJobs/2", JOB.name]
    assert [row.resource for row in left] == ["connections/c/exportJobs/2"]


async def test_a_job_that_is_not_settled_is_never_forgotten(url: URL) -> None:
    clock = Clock()
    made = Kept(url, clock)
    act, _ = acting(errors.OutcomeUnknown("lost"))
    await made.ledger.once(asked(), act)
    clock.now_s += 1000 * DAY_S
    await made.upkeep.forget()
    (row,) = await rows(made.ledger)
    await made.ledger.close()

    assert row.phase == UNKNOWN


async def test_what_is_lost_and_no_job_is_forgotten_with_its_request_id(url: URL) -> None:
    clock = Clock()
    made = Kept(url, clock)
    act, _ = acting(errors.OutcomeUnknown("lost"))
    wanted: Any = Destination(display_name="x")
    with pytest.raises(errors.OutcomeUnknown):
        await made.ledger.once(asked(wanted=wanted, kind=Destination), act)
    left = []
    for days in (6.9, 0.2):
        clock.now_s += days * DAY_S
        await made.upkeep.forget()
        left.append([row.phase for row in await rows(made.ledger)])
    await made.ledger.close()

    assert left == [[UNKNOWN], []]


async def test_a_list_shows_a_job_without_a_vendors_id_as_long_as_the_store_has_it(url: URL) -> None:
    clock = Clock()
    made = Kept(url, clock)
    act, _ = acting(errors.OutcomeUnknown("lost"))
    await made.ledger.once(asked(), act)
    (row,) = await rows(made.ledger)
    await settling.give_up(made.ledger.store, made.ledger.known, row)
    await made.ledger.store.lease(FORGETTING, "another replica", T0 + 1000 * DAY_S)
    listed = []
    for days in (399, 2):
        clock.now_s += days * DAY_S
        await made.upkeep.forget()
        listed.append(len(made.ledger.known.jobs("c")))
    await made.ledger.close()

    assert listed == [1, 0]


async def test_refusals_and_what_was_never_sent_are_forgotten_too(url: URL) -> None:
    clock = Clock()
    made = Kept(url, clock)
    act, _ = acting(errors.Rejected("no"))
    with pytest.raises(errors.Rejected):
        await made.ledger.once(asked(wanted=None), act)
    row = made.ledger._row(asked(OTHER_ID))
    await made.ledger.store.reserve(row)
    clock.now_s += 8 * DAY_S
    await made.upkeep.forget()
    left = [await rows(made.ledger), await made.ledger.store.find(row.id)]
    await made.ledger.close()

    assert left == [[], None]


async def test_forgetting_reads_what_is_too_old_alone(tmp_path: Path) -> None:
    """Jobs stay for 400 days, and are not to be gone through every ten minutes for what goes after 7."""
    store = Store(in_file(tmp_path / "ledger.sqlite"))
    await store.open()
    assert store._engine is not None
    done: list[tuple[str, Any]] = []
    event.listen(store._engine.sync_engine, "before_cursor_execute", lambda *given: done.append(given[2:4]))
    await store.forget(ids_before=T0, jobs_before=T0, limit=1)
    forgetting, plans = [*done], []
    async with store._engine.connect() as connection:
        for statement, values in forgetting:
            plan = str((await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)).all())
            plans.append(re.findall(r"SCAN|INDEX calls_(\w+)", plan))
    await store.close()

    # Of the third, what is not settled at all.
    assert plans == [["lease_until"], ["settled_no_job"], ["settled"], ["settled_ids"], ["settled"]]


async def test_one_replica_at_a_time_forgets(url: URL) -> None:
    clock = Clock()
    store = Store(url, now=clock)
    taken = [await store.lease("x", owner, T0 + 10) for owner in ("a", "b", "a")]
    clock.now_s += 11
    taken.append(await store.lease("x", "b", T0 + 30))
    await store.close()

    assert taken == [True, False, True, True]


async def test_replicas_learn_what_others_started_and_lost(lasting: URL) -> None:
    clock = Clock()
    here, there = Kept(lasting, clock), Kept(lasting, clock)
    await there.upkeep.learn()
    act, _ = acting(JOB, errors.OutcomeUnknown("lost"))
    await here.ledger.once(asked(), act)
    unknown = (await here.ledger.once(asked(OTHER_ID), act)).result
    clock.now_s += 30
    await there.upkeep.learn()
    job = ExportJob(name=JOB.name)
    there.ledger.known.put_on(job)
    listed = [one.name for one in there.ledger.known.jobs("c")]
    for one in (here, there):
        await one.ledger.close()

    assert job.started_by_gateway
    assert listed == [unknown.name]


async def test_memory_that_nothing_was_put_into_is_not_opened_for_upkeep() -> None:
    made = Kept(Store().url, Clock())
    await made.upkeep.round()

    assert made.ledger.store.unused


# --- What is kept ----------------------------------------------------------------------------------------------------

CANARY = "canary-5f1b6e"


def test_nothing_is_kept_of_a_destination_that_could_be_a_secret() -> None:
    wanted = Destination(name=CANARY, display_name="x", etag=CANARY)
    wanted.segment.settings.update({"apiKey": CANARY, "nested": {"url": CANARY}})
    wanted.segment.source_id = "s1"
    wanted.vendor_extras.update({"x": CANARY})
    bare = kept.asked(wanted)

    assert CANARY not in str(bare)
    assert (bare.display_name, bare.segment.source_id) == ("x", "s1")
    assert CANARY in str(wanted)


async def test_what_was_asked_for_can_not_be_guessed_from_what_is_kept(url: URL) -> None:
    """A file of members may be of one, whom a digest of the request alone would tell to whoever tries all they know."""
    ledger = Ledger(Store(url))
    act, _ = acting(JOB, ExportJob(name="connections/c/exportJobs/2"))
    await ledger.once(asked(), act)
    await ledger.once(asked(OTHER_ID), act)
    (one,), (other,) = [await ledger.store.places(asked(id_).key.scope or b"") for id_ in (ID, OTHER_ID)]
    await ledger.close()

    assert len({one.fingerprint, other.fingerprint, asked().fingerprint}) == 3
    assert ID not in str(one)


async def test_nothing_that_a_vendor_says_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(Store(in_file(path)))
    refusal = errors.Rejected(
        "acme answered 400",
        fault=errors.Fault(http_status=400, message=CANARY),
        violations=[errors.Violation("x", CANARY)],
    )
    act, _ = acting(refusal)
    with pytest.raises(errors.Rejected):
        await ledger.once(asked(), act)
    with pytest.raises(errors.VendorError) as again:
        await ledger.once(asked(), act)
    await ledger.close()

    assert again.value.violations == (errors.Violation("x", "refused by the vendor"),)
    assert not _holding(tmp_path, CANARY)


def test_rows_are_what_the_table_has() -> None:
    assert Row._fields == tuple(METADATA.tables["calls"].columns.keys())


def _holding(folder: Path, words: str) -> list[str]:
    return [file.name for file in folder.iterdir() if words.encode() in file.read_bytes()]
