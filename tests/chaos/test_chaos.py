"""A few kills of the real gateway with every run of the tests; `make chaos` does it hundreds of times."""

import os
import random
import sys
from pathlib import Path

import pytest

from adapters import registry
from tests.chaos.chapter import Totals
from tests.chaos.run import run

KILLS = 15
FEW = 4


async def killed(folder: Path, store: str, kills: int) -> Totals:
    seed = random.SystemRandom().randrange(2**32)
    totals = await run(
        folder, kills=kills, lanes=1, seed=seed, store=store, url=os.environ.get("TEST_POSTGRES_URL", "")
    )
    sys.stdout.write("\n".join([f"seed {seed}: {totals}", *totals.findings, ""]))  # shown where the test fails
    return totals


async def test_a_killed_gateway_makes_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    totals = await killed(tmp_path, "sqlite", KILLS)
    assert (totals.duplicates, totals.lost, totals.unresolved) == (0, 0, 0)
    assert totals.kills >= KILLS
    # It is killed in the middle of calls, too, not only between them.
    assert totals.phases.keys() - {"none"}
    assert totals.vendor_jobs > len(registry.adapters())


@pytest.mark.skipif("TEST_POSTGRES_URL" not in os.environ, reason="TEST_POSTGRES_URL is not set")
async def test_a_killed_gateway_over_a_server_does_neither(tmp_path: Path) -> None:
    totals = await killed(tmp_path, "postgresql", FEW)
    assert (totals.duplicates, totals.lost, totals.unresolved) == (0, 0, 0)
    assert totals.kills >= FEW


async def test_a_gateway_that_keeps_nothing_makes_things_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it would be noticed."""
    # It has no phases to be killed in, and nothing that would settle.
    monkeypatch.setattr("tests.chaos.chapter.PATIENCE_S", 10.0)
    totals = await killed(tmp_path, "memory", FEW)
    assert totals.duplicates > 0
    assert not totals.ok
