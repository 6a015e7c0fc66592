"""What became of each test for each vendor, as JSON: `--results FILE`.

    {"vendors": {"meiro": {"test_destinations.py::test_pages_concatenate_to_the_whole[1]":
        {"outcome": "passed", "verbs": ["list_destinations"], "reason": ""}}}}

A test's name is that of its file, itself, and its parameters but for the vendor. `outcome` is `passed`, `skipped` (an
exemption: `reason` says which) or `failed`; `verbs` are those that the test is about, as far as it asks for them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

RANK = ("passed", "skipped", "failed")
"""What counts of a test's phases is the worst."""


class Results:
    """A plugin that collects reports, those of other processes too, and writes them at the end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.vendors: dict[str, dict[str, dict[str, Any]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test: its setup, the call, or its teardown."""
        properties = dict(report.user_properties)
        if "vendor" not in properties:
            return
        tests = self.vendors.setdefault(str(properties["vendor"]), {})
        noted = tests.setdefault(str(properties["test"]), {"outcome": "passed", "verbs": [], "reason": ""})
        noted["verbs"] = properties.get("verbs", noted["verbs"])
        noted["outcome"] = max(noted["outcome"], report.outcome, key=RANK.index)
        if isinstance(report.longrepr, tuple):
            noted["reason"] = report.longrepr[2].removeprefix("Skipped: ")

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps({"vendors": self.vendors}, indent=1, sort_keys=True) + "\n")


def label(item: pytest.Function) -> None:
    """Put on a test whose vendor it is for, and its name without that."""
    vendor = str(item.callspec.params["vendor"])
    function, _, parameters = item.name.partition("[")
    others = re.sub(f"(^|-){re.escape(vendor)}(?=-|$)", "", parameters.removesuffix("]"), count=1).removeprefix("-")
    test = f"{item.path.name}::{function}" + (f"[{others}]" if others else "")
    item.user_properties += [("vendor", vendor), ("test", test)]
