"""The bench itself: a tiny run gives every figure, and figures say what was measured. No time is asserted anywhere."""

import msgspec
import pytest

from tests.bench import readme
from tests.bench.__main__ import run
from tests.bench.cases import CASES
from tests.bench.cases.watching import most_within
from tests.bench.figures import Report, Row, at_least, at_most, report, rounds, single, skipped, table, targets
from tests.bench.pairs import Rounds, Taken
from tests.bench.profiles import profile
from tests.bench.servers import TINY
from tests.bench.soak import rise, soak

KEYS = {"figure", "value", "unit", "target", "ok", "spread", "note"}


FIGURES = {
    "start": ["start to ready", "resident memory, idle"],
    "get": ["GetDestination: CPU per call ÷ bare pipe"],
    "list": ["ListDestinations of 50: CPU per call ÷ bare pipe"],
    "latency": ["GetDestination: p50 at 1 in flight, gateway - bare pipe"],
    "identical": ["64 identical reads in flight: vendor calls"],
    "fan-out": ["ListDestinations over 4 connections of 20 to 50 ms: p50 ÷ the slowest alone"],
    "create": [
        "CreateExportJob, ledger in memory: CPU per call ÷ bare pipe",
        "CreateExportJob, ledger in sqlite: CPU per call ÷ memory",
        "CreateExportJob, ledger in postgresql: CPU per call ÷ memory",
    ],
    "download": ["download: bytes/s ÷ bare pipe"],
    "upload": ["upload: rows/s per core ÷ bare pipe"],
    "upload-memory": ["upload: peak memory, 20,000 rows - 10,000 rows"],
    "watch": ["20 watchers of one job: vendor calls per interval", "20 watchers of one job: memory ÷ bare streams"],
    "bulkhead": ["one vendor of 4 silent, 200 calls/s to the others: p99 ÷ all answer"],
    "saturation": ["GetDestination, saturated: calls/s ÷ bare pipe", "GetDestination: the load generator's own limit"],
    "workers": ["2 workers ÷ 1: calls/s", "2 workers: cores of the load generator"],
    "peers": ["GetDestination: p50, through the gateway ÷ direct, aiohttp"],
    "memory": ["resident memory, after load"],
}


def test_every_case_is_tried_here() -> None:
    assert list(FIGURES) == list(CASES)


@pytest.mark.parametrize("case", CASES)
async def test_a_tiny_run_gives_the_figures_of_a_case(case: str) -> None:
    ((name, rows),) = [found async for found in run(TINY, [case])]
    measured = {row.figure: row for row in rows}
    assert (name, len(measured)) == (case, len(rows))
    for title in FIGURES[case]:
        assert measured[title].value is not None or measured[title].note
        assert title in table(report(rows))


async def test_a_short_soak_tells_what_rises_and_what_callers_got() -> None:
    measured = {row.figure: row for row in (await soak(0.02)).rows}
    assert measured["soak of 0.02 minutes: memory, rise after warm-up"].target
    assert measured["soak of 0.02 minutes: tasks left when it is over"].ok
    assert measured["soak of 0.02 minutes: create: OK"].value == 12


def test_looks_that_are_an_interval_apart_are_one_an_interval() -> None:
    assert most_within(0.9, [0.0, 1.0, 2.1, 3.7]) == 1
    assert most_within(0.9, [0.0, 1.0, 1.1, 3.7]) == 2


def test_a_rise_is_that_of_the_line_whatever_lies_off_it() -> None:
    assert rise([0, 1, 2, 3], [10, 12, 14, 16]) == pytest.approx(6)
    assert rise([0, 1, 2, 3, 4], [10, 10, 90, 10, 10]) == pytest.approx(0)


async def test_a_profile_names_what_took_the_time() -> None:
    assert "adapters/meiro/translate.py" in await profile("get", share=0.01)


def test_a_report_is_read_back_from_its_json() -> None:
    found = report([rounds("a", [1.0, 2.0, 3.0], "s", at_most(2)), skipped("b", "s", at_least(1), "nobody does it")])
    written = msgspec.json.encode(found)
    assert set(msgspec.json.decode(written)["rows"][0]) == KEYS
    assert msgspec.json.decode(written, type=Report) == found
    assert found.machine
    assert found.date


def test_targets_are_told_with_those_that_fall_short_last() -> None:
    rows = [rounds("a", [3.0], "s", at_most(2)), rounds("b", [1.0], "s", at_most(2)), single("c", 1.0, "s")]
    assert targets(report(rows)).splitlines() == [
        "ok      b: 1 s (≤ 2) ",
        "MISSED  a: 3 s (≤ 2) ",
        "1 of 2 targets are met",
    ]


def test_what_the_readme_tells_has_a_target_or_was_chosen() -> None:
    rows = [
        rounds("a", [1.0, 2.0, 3.0], "s", at_most(2)),
        single("b", 1.0, "s"),
        single(readme.WITHOUT_TARGET[0], 1234.0, "µs"),
        skipped("c", "s", at_least(1), "nobody does it"),
    ]
    assert readme.section(report(rows)).splitlines()[4:] == [
        "| a | 2 s | ≤ 2 | ok | 1.5 … 2.5 |",
        f"| {readme.WITHOUT_TARGET[0]} | 1,234 µs |  |  |  |",
        "| c | - | ≥ 1 |  | nobody does it |",
    ]


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
        (rounds("a", [0.75], "", at_least(0.75)), True),
        (rounds("a", [0.7499], "", at_least(0.75)), False),
        (rounds("a", [1.0], ""), None),
        (skipped("a", "", at_most(1), "no adapter"), None),
    ],
)
def test_a_target_is_met_missed_or_not_there(row: Row, ok: object) -> None:
    assert row.ok is ok
