"""What goes on in the background goes on, whatever becomes of one part of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.ledger import upkeep
from gateway.ledger.known import Known
from gateway.ledger.ledger import Ledger
from gateway.ledger.store import Store
from gateway.ledger.upkeep import Upkeep
from tests.gateway.stores import KINDS, address
from tests.gateway.test_ledger import Clock, acting, asked


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Ledger]:
    async with address(request.param, tmp_path) as url:
        made = Ledger(Store(url, now=clock))
        await made.store.open()
        yield made
        await made.close()


def kept_up(ledger: Ledger, look: Callable[[], Awaitable[None]], rounds: int) -> tuple[Upkeep, asyncio.Event]:
    """Return an upkeep, and the event that its parts had so many rounds together."""
    reconciler: Any = SimpleNamespace(look=look)
    waits, enough = 0, asyncio.Event()

    async def sleep(_: float) -> None:
        nonlocal waits
        waits += 1
        if waits >= rounds:
            enough.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    return Upkeep(ledger, reconciler, sleep=sleep), enough


async def test_a_mistake_ends_no_part_of_the_upkeep(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    looks = 0
    again = asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            again.set()
        raise KeyError("odd")

    kept, _ = kept_up(ledger, look, 100)
    kept.start()
    async with asyncio.timeout(30):
        await again.wait()
    await kept.stop()

    assert looks >= 2
    assert "KeyError" in caplog.text


async def test_a_look_that_takes_its_time_holds_up_nothing_else(ledger: Ledger, clock: Clock) -> None:
    async def look() -> None:
        await asyncio.Event().wait()

    kept, enough = kept_up(ledger, look, 6)
    kept.start()
    async with asyncio.timeout(30):
        await enough.wait()
    learned, forgot = kept._known_until, await ledger.store.lease(upkeep.FORGETTING, "another", clock.now_s + 1)
    await kept.stop()

    assert learned == clock.now_s
    assert not forgot


async def test_what_was_started_is_learned_in_pages_the_newest_first(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", 2)
    monkeypatch.setattr(upkeep, "MAX_STARTED", 4)
    names = [f"connections/c/exportJobs/{number}" for number in range(7)]
    for name in names[:6]:
        act, _ = acting(ExportJob(name=name))
        await ledger.once(asked(name), act)
        clock.now_s += name != names[3]  # it and the next are settled at the same time, on two pages
    other = Ledger(ledger.store)
    other.known = Known(max_started=4)
    kept, _ = kept_up(other, _nothing, 1)
    await kept.learn()
    first = known(other, names)
    clock.now_s += 300
    act, _ = acting(ExportJob(name=names[6]))
    await ledger.once(asked(names[6]), act)
    await kept.learn()

    assert first == names[2:6]
    assert known(other, names) == names[3:7]


async def _nothing() -> None:
    """Look for nothing."""


def known(ledger: Ledger, names: list[str]) -> list[str]:
    """Return which of *names* are known as started here."""
    jobs = [ExportJob(name=name) for name in names]
    for job in jobs:
        ledger.known.put_on(job)
    return [job.name for job in jobs if job.started_by_gateway]
