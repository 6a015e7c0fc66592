"""What became of the suites for each vendor, kept in `record.json`, and the level of support that it comes to.

`make matrix` runs the suites and writes the record (`--record`). A run of the whole conformance suite, or of the whole
weather, that comes to anything else than the record fails: what is published is what passed.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from adapters import registry
from tests.conformance.test_suite import NEEDED
from tests.weather.cells import Kind, cells

TESTS = Path(__file__).parent
FILE = TESTS / "record.json"
FULL, PARTIAL, UNTRIED = "full", "partial", "not tried"
WEATHER = "weather"
"""The property of a test that says for which vendor how many cells passed."""
STORM = "storm"
"""The property of a test of the weather that says for which vendor it is, and what it is called without that."""
GAP = re.compile(r"has no (\w+)$")
ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
NARROWING = ("keyword", "markexpr", "deselect", "lf", "vendor")
"""Options of pytest that leave tests out."""


class Outcome(msgspec.Struct, kw_only=True):
    """What became of the suites for one vendor."""

    passed: int = 0
    """Of the conformance tests."""
    failed: int = 0
    skipped: dict[str, int] = {}
    """How many for which reason."""
    cells: int = 0
    """Of the weather, that passed."""
    stormed: list[str] = []
    """Tests of the weather that failed."""


Record = dict[str, Outcome]


def load() -> Record:
    """Return the record as it is kept."""
    return msgspec.json.decode(FILE.read_bytes(), type=Record) if FILE.exists() else {}


def stormy(vendor: str) -> int:
    """Return how many cells of the weather have something to pass."""
    return sum(cell.kind is not Kind.NO_PAGES for cell in cells([vendor]))


def gaps(vendor: str, outcome: Outcome) -> list[str]:
    """Return what the vendor's simulator leaves out though a verb of its adapter needs it: no exemptions."""
    needed = {key for verb in registry.adapters()[vendor].verbs() for key in NEEDED.get(verb, ())}
    said = (GAP.search(reason) for reason in outcome.skipped)
    return sorted(match[1] for match in said if match and match[1] in needed)


def level(vendor: str, record: Mapping[str, Outcome]) -> str:
    """Return the level of support.

    Full: every conformance test passed but for exemptions, which are what the vendor can't have, and so did every cell
    of the weather.
    """
    outcome = record.get(vendor)
    if outcome is None or not outcome.passed:
        return UNTRIED
    failed = outcome.failed or outcome.stormed or outcome.cells != stormy(vendor)
    return PARTIAL if failed or gaps(vendor, outcome) else FULL


class Recorder:
    """A plugin that counts what became of each vendor, and writes it or holds it to the record."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.found: Record = {}
        self.ended: dict[str, str] = {}
        """The worst of each conformance test's phases, by its id."""
        self.differs: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test."""
        properties = dict(report.user_properties)
        if STORM in properties and report.failed:
            vendor, name = cast(list[str], properties[STORM])
            outcome = self._of(vendor)
            outcome.stormed = sorted({*outcome.stormed, name})
        if WEATHER in properties and report.when == "call" and report.passed:
            passed: Any = properties[WEATHER]
            self._of(passed[0]).cells += passed[1]
        elif "vendor" in properties:
            self._conformance(self._of(str(properties["vendor"])), report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record, or compare with it what was run as a whole; what was broken off tells nothing."""
        if session.exitstatus not in ENDED:
            return
        if self.config.getoption("record"):
            kept = load()
            for vendor in registry.BUILT_IN:
                kept[vendor] = self._merged(kept.get(vendor, Outcome()), self.found.get(vendor, Outcome()))
            text = json.dumps(msgspec.to_builtins(kept), indent=2, sort_keys=True, ensure_ascii=False)
            FILE.write_text(text + "\n")
            return
        self.differs = [
            f"{vendor}: {part} of the record is another, run `make matrix`"
            for vendor, outcome in load().items()
            for part in self._whole()
            if _part(outcome, part) != _part(self.found.get(vendor, Outcome()), part)
        ]
        if self.differs:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what differs."""
        for line in self.differs:
            terminalreporter.write_line(line, red=True)

    def _of(self, vendor: str) -> Outcome:
        return self.found.setdefault(vendor, Outcome())

    def _conformance(self, outcome: Outcome, report: pytest.TestReport) -> None:
        if report.failed and self.ended.get(report.nodeid) != "failed":
            outcome.passed -= self.ended.get(report.nodeid) == "passed"
            outcome.failed += 1
            self.ended[report.nodeid] = "failed"
        elif report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            _, _, reason = reason.partition(" ")  # without the vendor
            outcome.skipped = dict(Counter(outcome.skipped) + Counter([reason]))
            self.ended[report.nodeid] = "skipped"
        elif report.passed and report.when == "call":
            outcome.passed += 1
            self.ended[report.nodeid] = "passed"

    def _merged(self, kept: Outcome, found: Outcome) -> Outcome:
        """Return what was run anew, and the rest as it was."""
        for part in self._whole():
            for name in PARTS[part]:
                setattr(kept, name, getattr(found, name))
        return kept

    def _whole(self) -> list[str]:
        """Return which of the suites were run as a whole."""
        options = self.config.option
        if any(getattr(options, name, None) for name in NARROWING) or self.config.getoption("maxfail"):
            return []
        roots = {Path(argument).absolute() for argument in self.config.args}
        return [part for part in PARTS if roots & {TESTS, TESTS / part}]


PARTS = {"conformance": ("passed", "failed", "skipped"), WEATHER: ("cells", "stormed")}
"""What of an outcome is told by which folder."""


def _part(outcome: Outcome, part: str) -> list[Any]:
    return [getattr(outcome, name) for name in PARTS[part]]
