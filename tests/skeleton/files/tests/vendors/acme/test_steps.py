"""What is to be done for Acme, in the order of adapters/README.md: the first to fail is next."""

import re
from pathlib import Path

from adapters import registry
from adapters.acme import adapter, translate, wire
from adapters.acme.adapter import AcmeAdapter
from adapters.acme.sandbox import AcmeSandbox

ROOT = Path(__file__).parents[3]
HERE = ROOT / "adapters/acme"
TESTS = Path(__file__).parent
OPERATIONS = [value for value in vars(wire).values() if isinstance(value, wire.Operation)]
INVENTED = "acme.example"
"""The address of no documentation."""


def test_step_2_the_readme_says_what_the_documentation_says() -> None:
    left = len(re.findall("to write", (HERE / "README.md").read_text(), re.IGNORECASE))

    assert left == 0, (
        "Step 2: write adapters/acme/README.md from Acme's documentation, "
        "with its addresses and the day they were read; above all, where it is silent. "
        f"{left} places say: to write"
    )


def test_step_3_the_simulator_is_written_before_the_adapter() -> None:
    assert AcmeSandbox().routes(), (
        "Step 3: write adapters/acme/sandbox.py from the same pages: routes and seed. "
        "It imports nothing of the adapter. Its tests are tests/sandbox/test_acme_simulator.py"
    )


def test_step_4_every_operation_is_on_the_wire() -> None:
    assert OPERATIONS, "Step 4: write adapters/acme/wire.py: an Operation for each call, a struct for each answer"
    assert INVENTED not in (HERE / "wire.py").read_text(), "Step 4: name the documentation in wire.py"


def test_step_5_the_vendors_words_are_translated() -> None:
    assert translate.JOB_STATES, (
        "Step 5: write adapters/acme/translate.py: JOB_STATES with its source above, fault, "
        "a function a message in both directions, and WRITES"
    )
    assert INVENTED not in (HERE / "translate.py").read_text(), "Step 5: name the source above JOB_STATES"


def test_step_6_the_adapter_has_the_verbs_that_the_vendor_has() -> None:
    assert "check_connection" in AcmeAdapter.verbs(), (
        "Step 6: write adapters/acme/adapter.py: the card, AcmeSettings, "
        "and the verbs that Acme has, check_connection first"
    )
    assert INVENTED not in (adapter.__doc__ or ""), "Step 6: the card names the documentation and the day"


def test_step_7_the_adapter_is_registered() -> None:
    assert registry.adapters()["acme"] is AcmeAdapter


def test_step_8_the_simulator_says_what_the_conformance_suite_needs() -> None:
    assert AcmeSandbox().suite, (
        "Step 8: fill AcmeSandbox.suite (its keys: tests/conformance/README.md), "
        "then `make conformance VENDOR=acme` until it is green "
        "and every skip is an exemption in the checklist"
    )


def test_step_9_what_only_this_vendor_does_is_tested_here() -> None:
    missing = {"test_requests.py", "test_failures.py", "test_readme.py"} - {file.name for file in TESTS.iterdir()}

    assert not missing, f"Step 9: write {', '.join(sorted(missing))} here, as tests/vendors/meiro has them"


def test_step_10_the_tables_have_its_column() -> None:
    heads = [
        ("README.md", "RPC", "run `make matrix`"),
        ("adapters/README.md", "", "add a column to the checklist, with a reason for each exemption"),
        ("protos/README.md", "ours", "add a column of Acme's words to the glossary"),
    ]
    missing = [
        f"{file}: {what}"
        for file, first, what in heads
        if not re.search(rf"^\| {first} ?\|.*\bacme\b", (ROOT / file).read_text(), re.MULTILINE | re.IGNORECASE)
    ]

    assert not missing, "Step 10: " + "; ".join(missing)
