"""The README says of each vendor what the code does."""

from adapters import registry
from gateway.methods import METHODS
from tests.matrix import BEGIN, README, matrix, renewed


def test_the_matrix_is_current() -> None:
    text = README.read_text()

    assert BEGIN in text
    assert renewed(text) == text, "run `make matrix`"


def test_the_matrix_knows_every_rpc_and_vendor() -> None:
    lines = matrix().splitlines()
    head = f"| RPC | {' | '.join(registry.adapters())} |"

    assert head in lines
    assert {method.name for method in METHODS.values()} <= {line.split(" | ")[0].removeprefix("| ") for line in lines}
