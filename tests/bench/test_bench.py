"""The bench itself: a tiny run gives every figure, and figures say what was measured. No time is asserted anywhere."""

import msgspec
import pytest

from tests.bench.__main__ import run
from tests.bench.cases import Size
from tests.bench.figures import Report, Row, at_least, at_most, report, rounds, skipped, table
from tests.bench.pairs import Rounds, Taken

TINY = Size(rounds=2, calls=4, members=2000, many_members=20_000, starts=1)
KEYS = {"figure", "value", "unit", "target", "ok", "spread", "note"}


async def test_a_tiny_run_gives_every_figure() -> None:
    found = await run(TINY)
    measured = {row.figure: row for row in found.rows}
    assert len(measured) == len(found.rows)
    for title in (
        "GetDestination: CPU per call ÷ bare pipe",
        "ListDestinations of 50: CPU per call ÷ bare pipe",
        "GetDestination: p50 at 1 in flight, gateway - bare pipe",
        "64 identical reads in flight: vendor calls",
        "download: bytes/s ÷ bare pipe",
        "upload: rows/s per core ÷ bare pipe",
        "upload: peak memory, 20,000 rows - 10,000 rows",
        "start to ready",
        "resident memory, idle",
    ):
        assert measured[title].target
        assert (measured[title].value is None) == bool(measured[title].note)
        assert title in table(found)


def test_a_report_is_read_back_from_its_json() -> None:
    found = report([rounds("a", [1.0, 2.0, 3.0], "s", at_most(2)), skipped("b", "s", at_least(1), "nobody does it")])
    written = msgspec.json.encode(found)
    assert set(msgspec.json.decode(written)["rows"][0]) == KEYS
    assert msgspec.json.decode(written, type=Report) == found
    assert found.machine
    assert found.date


def test_one_slow_round_moves_no_median() -> None:
    slow = Rounds(
        ours=[Taken(2.0, 1.0), Taken(20.0, 1.0), Taken(4.0, 1.0)],
        theirs=[Taken(1.0, 1.0), Taken(1.0, 1.0), Taken(2.0, 1.0)],
    )
    row = rounds("a", slow.ratios(lambda taken: taken.cpu_s), "", at_most(2))
    assert (row.value, row.ok, row.spread) == (2.0, True, (2.0, 11.0))


@pytest.mark.parametrize(
    ("row", "ok"),
    [
        (rounds("a", [1.0], "", at_most(1)), True),
        (rounds("a", [1.001], "", at_most(1)), False),
        (rounds("a", [0.75], "", at_least(0.75, 0.9)), True),
        (rounds("a", [0.7499], "", at_least(0.75, 0.9)), False),
        (rounds("a", [1.0], ""), None),
        (skipped("a", "", at_most(1), "no adapter"), None),
    ],
)
def test_a_target_is_met_missed_or_not_there(row: Row, ok: object) -> None:
    assert row.ok is ok
