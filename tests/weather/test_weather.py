"""Every fault by every RPC by every vendor: it ends by the table, does nothing twice, and works again."""

from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest

from adapters import registry
from adapters.retry import Retry
from tests.record import WEATHER
from tests.weather.asking import REQUESTS, RPCS, ask
from tests.weather.cells import Cell, Kind, cells
from tests.weather.storms import ISSUED, Climate, gateway, rage, secrets, storms
from tests.weather.weathers import NOT_OFFERED, OK, WEATHERS, Outcome
from tests.weather.worlds import LINES, world

Climates = Callable[[str], Coroutine[Any, Any, Climate]]
CLASSES = {
    "Create": {Retry.ONCE},
    "Ingest": {Retry.ONCE},
    "Upload": {Retry.ONCE},
    "Update": {Retry.IDEMPOTENT},
    "Delete": {Retry.IDEMPOTENT},
    "Undelete": {Retry.IDEMPOTENT},
    # A vendor's cancel may do more than cancel when it is sent again.
    "Cancel": {Retry.IDEMPOTENT, Retry.ONCE},
}
"""What a write's first word says of sending it twice."""
AS_EVER = {
    "GetConnection": OK,
    "ListConnections": OK,
    "ResolveExportJob": Outcome(grpc.StatusCode.FAILED_PRECONDITION, "EXPORT_JOB_NOT_UNRESOLVED"),
}
"""What the gateway answers by itself, whatever the weather."""


README = Path(__file__).with_name("README.md")
MAP = README.parent.parent / "README.md"


def of_kind(vendor: str, weather: str, *kinds: Kind) -> list[Cell]:
    return [cell for cell in cells([vendor], [weather]) if cell.kind in kinds]


def test_every_rpc_is_asked() -> None:
    assert set(REQUESTS) == set(RPCS)


def test_the_readme_says_how_many_cells_there_are() -> None:
    counted = Counter(cell.kind for cell in cells(registry.BUILT_IN))
    shape = f"{len(WEATHERS)} faults by {len(RPCS)} RPCs by {len(registry.BUILT_IN)} vendors"

    assert f"\n{counted.total()} cells: {shape}.\n" in README.read_text()
    assert f" {counted.total()} cells, {shape}, {counted[Kind.STORM]} of them storms " in MAP.read_text()
    for kind in Kind:
        assert f"| {kind.name} | {counted[kind]} | {kind.value} |" in README.read_text()


async def test_fair_weather_is_fair(vendor: str, climates: Climates) -> None:
    climate = await climates(vendor)
    refused = {rpc: fair.told for rpc, fair in climate.by_rpc.items() if fair.told.outcome != OK}
    unchanged = [
        rpc
        for rpc, fair in climate.by_rpc.items()
        if RPCS[rpc].writes and not climate.differences(climate.seed, fair.holds)
    ]

    assert not refused
    assert not unchanged, "what these write can't be seen at the vendor, so that nothing of them is checked"


async def test_a_write_is_of_the_class_that_its_name_says(vendor: str, climates: Climates) -> None:
    climate = await climates(vendor)
    writes = {rpc: [step.retry for step in fair.steps if step.is_write] for rpc, fair in climate.by_rpc.items()}

    for rpc, retries in writes.items():
        assert len(retries) == RPCS[rpc].writes, rpc
        assert set(retries) <= next((kinds for word, kinds in CLASSES.items() if rpc.startswith(word)), set()), rpc


@pytest.mark.parametrize("weather", WEATHERS)
async def test_storms(
    vendor: str, weather: str, climates: Climates, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    climate, one = await climates(vendor), world(vendor, "secrets")
    with caplog.at_level("INFO"):
        wrong = await rage(
            climate,
            vendor,
            [
                storm
                for cell in of_kind(vendor, weather, Kind.STORM)
                for storm in storms(climate, cell.rpc, weather, one)
            ],
        )
    connection = one.connection("http://127.0.0.1")
    logged = [secret for secret in secrets(one, connection) if secret in caplog.text]
    await connection.adapter.transport.close()

    assert not wrong, "\n".join(wrong)
    assert not logged
    assert not ISSUED.search(caplog.text)
    request.node.user_properties.append((WEATHER, [vendor, len(of_kind(vendor, weather, Kind.STORM))]))


@pytest.mark.parametrize("weather", WEATHERS)
async def test_what_needs_no_vendor_is_answered_as_ever(
    vendor: str, weather: str, request: pytest.FixtureRequest
) -> None:
    """Nothing is sent, so that no weather can matter."""
    one, kind = world(vendor, "idle"), WEATHERS[weather]
    if kind.fault:
        one.simulator.fault(path="*", count=0, **kind.fault)
    async with LINES[kind.line](one) as (base_url, _), gateway([one.connection(base_url)]) as channel:
        idle = of_kind(vendor, weather, Kind.HERE, Kind.NOT_OFFERED)
        for cell in idle:
            told = await ask(channel, cell.rpc, one.suite, one.id)
            assert told.outcome == (NOT_OFFERED if cell.kind is Kind.NOT_OFFERED else AS_EVER[cell.rpc]), cell
    assert not one.requests()
    request.node.user_properties.append((WEATHER, [vendor, len(idle)]))
