"""The published tables say what the code does, and what passed."""

import msgspec

from adapters import registry
from gateway.errors import CODES
from gateway.methods import METHODS
from tests.matrix import BEGIN, DETAILS, README, details, overview, renewed
from tests.record import FULL, PARTIAL, UNTRIED, Outcome, level, load, stormy


def test_the_matrix_is_current() -> None:
    text = README.read_text()

    assert BEGIN in text
    assert renewed(text, load()) == text, "run `make matrix`"
    assert details(load()) == DETAILS.read_text(), "run `make matrix`"


def test_the_matrix_knows_every_rpc_and_vendor() -> None:
    lines = overview({}).splitlines()
    head = f"| RPC | {' | '.join(registry.adapters())} |"

    assert head in lines
    assert {method.name for method in METHODS.values()} <= {line.split(" | ")[0].removeprefix("| ") for line in lines}


def test_the_matrix_knows_every_field_limit_and_reason() -> None:
    text = details({})
    carried = {
        field
        for adapter in registry.adapters().values()
        for field in adapter.destination_fields | adapter.export_job_fields | adapter.subscription_fields
    }

    assert not [name for name in (*carried, *CODES) if f"`{name}`" not in text]


def test_the_record_is_of_every_vendor_that_is_built_in() -> None:
    assert load().keys() == registry.BUILT_IN.keys()


def test_support_is_what_passed() -> None:
    (vendor, *_) = registry.BUILT_IN
    all_passed = Outcome(passed=9, cells=stormy(vendor), skipped={"has no such thing": 2})

    def level_of(**changed: object) -> str:
        return level(vendor, {vendor: msgspec.structs.replace(all_passed, **changed)})

    assert level_of() == FULL
    assert level_of(failed=1) == PARTIAL
    assert level_of(stormed=["test_storms[503]"]) == PARTIAL
    assert level_of(cells=stormy(vendor) - 1) == PARTIAL
    assert level_of(skipped={"has no destination_id": 1}) == PARTIAL, "a gap is no exemption"
    assert level_of(passed=0) == UNTRIED
    assert level(vendor, {}) == UNTRIED


def test_a_test_of_the_weather_that_failed_is_counted_and_named() -> None:
    (vendor, *others) = registry.adapters()
    record = {vendor: Outcome(passed=9, failed=1, stormed=["test_fair_weather", "test_storms[503]"])}
    (failed,) = (line for line in overview(record).splitlines() if line.startswith("| failed"))

    assert failed.endswith(f"| 3 | {' | '.join('0' for _ in others)} |")
    assert f"- {vendor}: bad weather failed, `test_storms[503]`" in details(record).splitlines()
