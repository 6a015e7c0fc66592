"""Which vendors there are: each once, under its own id, from this package or another."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters import registry

ADAPTER = """
from adapters.base import Adapter
class {name}(Adapter):
    vendor = "{vendor}"
    sandbox = "{module}:Simulator"
class Simulator:
    pass
"""
Bring = Callable[[str, str, str], str]


@pytest.fixture(autouse=True)
def nothing_built_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin with an empty registry, and leave the real one as it was."""
    monkeypatch.setattr(registry, "BUILT_IN", {})
    registry.adapters.cache_clear()
    yield
    registry.adapters.cache_clear()


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Install a package that brings the adapter of a vendor under an id; return its reference."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(module: str, registered: str, vendor: str) -> str:
        name = vendor.capitalize()
        (tmp_path / f"{module}.py").write_text(ADAPTER.format(name=name, vendor=vendor, module=module))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[audiencegateway.adapters]\n{registered} = {module}:{name}\n")
        return f"{module}:{name}"

    return install


def test_another_package_brings_a_vendor(bring: Bring) -> None:
    bring("brought_acme", "acme", "acme")
    assert list(registry.adapters()) == ["acme"]
    assert registry.adapters()["acme"].vendor == "acme"


def test_built_in_vendors_come_first(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    bring("brought_aaa", "aaa", "aaa")
    built_in = bring("brought_zzz", "unused", "zzz")
    (Path(sys.path[0]) / "brought_zzz-1.0.dist-info" / "entry_points.txt").unlink()
    monkeypatch.setattr(registry, "BUILT_IN", {"zzz": built_in})
    assert list(registry.adapters()) == ["zzz", "aaa"]


def test_two_adapters_of_one_vendor_are_refused(bring: Bring) -> None:
    bring("brought_one", "twin", "twin")
    bring("brought_two", "twin", "twin")
    with pytest.raises(ValueError, match="'twin'"):
        registry.adapters()


def test_an_adapter_under_another_vendors_id_is_refused(bring: Bring) -> None:
    bring("brought_liar", "meiro", "liar")
    with pytest.raises(ValueError, match="'meiro'"):
        registry.adapters()


def test_a_refused_registry_is_refused_again(bring: Bring) -> None:
    bring("brought_twice", "meiro", "twice")
    for _ in range(2):
        with pytest.raises(ValueError, match="brought_twice"):
            registry.adapters()


def test_the_simulator_is_the_one_that_the_adapter_names(bring: Bring) -> None:
    bring("brought_played", "played", "played")
    assert registry.sandbox("played").__name__ == "Simulator"


def test_what_serves_for_real_loads_no_simulator() -> None:
    program = "import sys, adapters.registry; print(sorted(m for m in sys.modules if 'sandbox' in m))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
