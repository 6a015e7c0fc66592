"""What is counted for the record, and that a whole run which comes to anything else fails."""

from argparse import Namespace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from tests.record import TESTS, Outcome, Recorder, load

Ended = Literal["passed", "failed", "skipped"]
VENDOR = next(iter(load()))


class Config:
    """As much of pytest's as is asked."""

    def __init__(self, *args: Path, **options: Any) -> None:
        self.args = [str(arg) for arg in args]
        self.option = Namespace(**options)

    def getoption(self, name: str) -> Any:
        return getattr(self.option, name, None)


def recorder(*args: Path, **options: Any) -> Recorder:
    return Recorder(cast(pytest.Config, Config(*args, **options)))


def report(number: int, when: Literal["setup", "call", "teardown"], outcome: Ended, **properties: Any) -> Any:
    place = ("file.py", 1, f"Skipped: {VENDOR} has no such thing") if outcome == "skipped" else None
    given = list({"vendor": VENDOR, "test": str(number), **properties}.items())
    return pytest.TestReport(f"test-{number}", ("file.py", 1, ""), {}, outcome, place, when, user_properties=given)


def test_a_test_counts_once_and_by_the_worst_of_its_phases() -> None:
    noting = recorder()
    for number, outcomes in enumerate(
        [("passed", "passed"), ("passed", "failed"), ("failed", "failed"), ("failed", "passed")]
    ):
        for when, outcome in zip(("call", "teardown"), outcomes, strict=True):
            noting.pytest_runtest_logreport(report(number, cast(Any, when), cast(Ended, outcome)))
    noting.pytest_runtest_logreport(report(9, "setup", "skipped"))

    assert noting.found == {VENDOR: Outcome(passed=1, failed=3, skipped={"has no such thing": 1})}


def test_only_cells_that_passed_count() -> None:
    noting = recorder()
    for number, outcome in enumerate(("passed", "failed")):
        noting.pytest_runtest_logreport(report(number, "call", cast(Ended, outcome), weather=[VENDOR, 28]))

    assert noting.found[VENDOR].cells == 28


def test_a_test_of_the_weather_that_fails_is_named_once() -> None:
    noting = recorder()
    for when in ("call", "teardown"):
        noting.pytest_runtest_logreport(report(1, cast(Any, when), "failed", storm=[VENDOR, "test_storms[503]"]))
    noting.pytest_runtest_logreport(report(2, "setup", "failed", storm=[VENDOR, "test_fair_weather"]))
    noting.pytest_runtest_logreport(report(3, "call", "passed", storm=[VENDOR, "test_storms[500]"]))

    assert noting.found[VENDOR].stormed == ["test_fair_weather", "test_storms[503]"]


def test_a_failed_test_of_the_weather_differs_from_the_record() -> None:
    noting, session = recorder(TESTS / "weather"), Namespace(exitstatus=0)
    noting.found = load()
    noting.found[VENDOR].stormed = ["test_storms[never]"]
    noting.pytest_sessionfinish(cast(pytest.Session, session))

    assert session.exitstatus


@pytest.mark.parametrize(
    ("status", "writes"),
    [
        (pytest.ExitCode.OK, True),
        (pytest.ExitCode.TESTS_FAILED, True),
        (pytest.ExitCode.INTERRUPTED, False),
        (pytest.ExitCode.INTERNAL_ERROR, False),
        (pytest.ExitCode.USAGE_ERROR, False),
        (pytest.ExitCode.NO_TESTS_COLLECTED, False),
    ],
)
def test_what_was_broken_off_is_not_recorded(
    status: pytest.ExitCode, writes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "record.json"
    monkeypatch.setattr("tests.record.FILE", file)
    noting, session = recorder(TESTS, record=True), Namespace(exitstatus=status)
    noting.pytest_sessionfinish(cast(pytest.Session, session))

    assert file.exists() is writes
    assert session.exitstatus is status


@pytest.mark.parametrize(
    ("args", "options", "fails"),
    [
        ([TESTS], {}, True),
        ([TESTS / "conformance"], {}, True),
        ([TESTS / "weather"], {"vendor": None}, True),
        ([TESTS / "weather"], {"vendor": VENDOR}, False),
        ([TESTS / "conformance"], {"keyword": "pages"}, False),
        ([TESTS / "conformance" / "test_destinations.py"], {}, False),
        ([TESTS / "gateway"], {}, False),
    ],
)
def test_a_whole_run_that_comes_to_something_else_fails(args: list[Path], options: dict[str, Any], fails: bool) -> None:
    noting, session = recorder(*args, **options), Namespace(exitstatus=0)
    noting.pytest_sessionfinish(cast(pytest.Session, session))

    assert bool(session.exitstatus) is fails
    assert bool(noting.differs) is fails


def test_a_whole_run_that_comes_to_what_is_recorded_passes() -> None:
    noting, session = recorder(TESTS), Namespace(exitstatus=0)
    noting.found = load()
    noting.pytest_sessionfinish(cast(pytest.Session, session))

    assert not session.exitstatus
