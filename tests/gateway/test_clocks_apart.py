"""Replicas whose clocks differ: by how much they may, and what comes of more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from adapters import calls, errors
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.ledger.ledger import BEATS, LEASE_S, Ledger
from gateway.ledger.statements import ACCEPTED
from gateway.ledger.store import Store
from tests.gateway.stores import KINDS, address
from tests.gateway.test_ledger import JOB, T0, Clock, acting, asked, rows, write

APART_S = LEASE_S / BEATS
MOMENT_S = 0.01


@pytest.fixture(params=KINDS[1:])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    async with address(request.param, tmp_path) as made:
        yield made


@pytest.mark.parametrize(("ahead_s", "dead"), [(-LEASE_S, 0), (APART_S - MOMENT_S, 0), (APART_S + MOMENT_S, 1)])
async def test_a_third_of_a_lease_apart_still_allows_for_a_sign_of_life_that_is_missed(
    url: URL, ahead_s: float, dead: int
) -> None:
    clock = Clock()
    here, there = Store(url, now=clock), Store(url, now=lambda: clock.now_s + ahead_s)
    row = Ledger(here)._row(asked())
    await here.reserve(row)
    await here.announce(row.id, row.owner or "", T0 + LEASE_S)
    clock.now_s += 2 * LEASE_S / BEATS  # the first sign was missed, the second one is due
    buried = await there.bury()
    for store in (here, there):
        await store.close()

    assert buried == dead


async def test_who_is_taken_for_dead_before_it_sends_sends_nothing(url: URL) -> None:
    clock = Clock()
    here = Ledger(Store(url, now=clock))
    there = Ledger(Store(url, now=lambda: clock.now_s + LEASE_S + 1))
    other, markers = acting(JOB)
    sent = []

    async def act(marker: str) -> ExportJob:
        assert (await there.once(asked(), other)).result == JOB
        await write(calls.current())
        sent.append(marker)
        return JOB

    with pytest.raises(errors.Aborted):
        await here.once(asked(), act)
    for ledger in (here, there):
        await ledger.close()

    assert (len(markers), sent) == (1, [])


async def test_who_is_taken_for_dead_while_it_sends_is_still_heard(url: URL) -> None:
    clock = Clock()
    here = Ledger(Store(url, now=clock))
    there = Ledger(Store(url, now=lambda: clock.now_s + LEASE_S + 1))
    other, markers = acting()

    async def act(_: str) -> ExportJob:
        await write(calls.current())
        lost = (await there.once(asked(), other)).result
        assert lost.state == ExportJob.OUTCOME_UNKNOWN
        return JOB

    await here.once(asked(), act)
    (row,) = await rows(there)
    for ledger in (here, there):
        await ledger.close()

    assert (row.phase, row.resource, markers) == (ACCEPTED, JOB.name, [])
