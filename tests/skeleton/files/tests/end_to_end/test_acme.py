"""Every operation of Acme's that its README lists, reached from the sandbox's one line."""

from collections.abc import Iterator

import pytest

from adapters.acme import wire
from tests.end_to_end.operations import CALLS, Operation, seen
from tests.end_to_end.sandbox import Running, sandbox

VENDOR = "acme"
OPERATIONS: list[Operation] = []


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with sandbox() as started:
        yield started


def test_every_operation_has_a_row_here() -> None:
    documented = [value for value in vars(wire).values() if isinstance(value, wire.Operation)]

    assert 0 < len(documented) <= len(OPERATIONS), (
        "Step 9: a row in OPERATIONS for each operation of wire.py, as tests/end_to_end/test_meiro.py has them"
    )


def test_every_operation_reaches_the_vendor(running: Running) -> None:
    for call in CALLS:
        running.control(VENDOR, "reset")
        for operation in OPERATIONS:
            call(running, operation)
            assert seen(running, VENDOR, operation), operation.documented
