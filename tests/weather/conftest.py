"""Which vendors stand in the weather, and what they do when it is fair."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters import registry
from gateway.methods import METHODS
from tests.record import STORM
from tests.weather.cells import ANSWERED_HERE, offered
from tests.weather.storms import Climate, climate

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    # The conformance suite has the same option, and may have been there first.
    with suppress(ValueError):
        parser.addoption("--vendor", choices=sorted(registry.adapters()), help="test this vendor alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vendor" in metafunc.fixturenames:
        # The option is only known where pytest was called with this folder.
        alone = metafunc.config.getoption("vendor", default=None)
        metafunc.parametrize("vendor", [alone] if alone else sorted(registry.adapters()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == HERE and hasattr(item, "callspec"):
            others = [str(value) for name, value in item.callspec.params.items() if name != "vendor"]
            test = item.originalname + (f"[{'-'.join(others)}]" if others else "")
            item.user_properties.append((STORM, [item.callspec.params["vendor"], test]))


@pytest.fixture(scope="session")
def climates() -> Callable[[str], Coroutine[Any, Any, Climate]]:
    """Return what finds out, once a vendor, what it does in fair weather."""
    known: dict[str, Climate] = {}

    async def of(vendor: str) -> Climate:
        if vendor not in known:
            asked = [m.name for m in METHODS.values() if m.name not in ANSWERED_HERE and offered(vendor, m.name)]
            known[vendor] = await climate(vendor, asked)
        return known[vendor]

    return of
