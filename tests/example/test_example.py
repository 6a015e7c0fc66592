"""A package of its own brings a vendor: built, installed with ours in a fresh environment, served and tested there."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from audiencegateway.v1 import destinations_pb2 as pb
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from tests.house.tree import RULES, Tree
from tests.test_house import the_project

ROOT = Path(__file__).parents[2]
HERE = "tests/example/acme_audiences/"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with our wheel and Acme's, and nothing of this tree."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for project in (ROOT, ROOT / "tests/example"):
        run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, project, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv/bin/python"
    wheels = sorted(folder.glob("*.whl"))
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", *wheels, cwd=folder)
    # What others publish comes from the environment of this test. Its .pth files don't count there, so our tree is not.
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_an_outside_adapter_passes_the_suite_that_comes_in_the_wheel(elsewhere: Path) -> None:
    results = elsewhere / "results.json"
    command = [elsewhere / "venv/bin/python", "-m", "audiencegateway_conformance"]
    run(*command, "--vendor", "acme", "-q", "--results", results, cwd=elsewhere)
    tests = json.loads(results.read_text())["vendors"]["acme"]
    skipped = {test["reason"] for test in tests.values() if test["outcome"] == "skipped"}

    assert {test["outcome"] for test in tests.values()} == {"passed", "skipped"}
    assert sum(test["outcome"] == "passed" for test in tests.values()) > 80
    # An exemption is a verb that Acme has not, or a state, never a parameter that its simulator forgot.
    assert all(" has no " in reason or "lists jobs without" in reason for reason in skipped)


def test_it_is_what_was_installed_that_is_tested(elsewhere: Path) -> None:
    program = (
        "import adapters, acme_audiences, gateway as g; print(adapters.__file__, acme_audiences.__file__, g.__file__)"
    )
    files = run(elsewhere / "venv/bin/python", "-c", program, cwd=elsewhere).split()

    assert len(files) == 3
    assert all(Path(file).is_relative_to(elsewhere / "venv") for file in files)


@pytest.fixture
def served(elsewhere: Path) -> Iterator[dict[str, str]]:
    """Run the sandbox there; return what its line says."""
    command = [str(elsewhere / "venv/bin/audience-gateway"), "sandbox", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=elsewhere, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(20)


async def test_an_outside_vendor_is_in_the_sandbox(served: dict[str, str]) -> None:
    async with grpc.aio.insecure_channel(served["grpc"]) as channel:
        stub = DestinationServiceStub(channel)
        request = pb.ListDestinationsRequest(parent="connections/acme", page_size=5)
        page = await stub.ListDestinations(request, timeout=10)

    assert "acme" in served["simulators"]
    assert [one.display_name for one in page.destinations] == [f"Target {number}" for number in range(1, 6)]


def test_an_outside_vendor_is_in_the_matrix(elsewhere: Path) -> None:
    program = "from tests.matrix import details, overview; print(overview({}), details({}))"
    lines = run(elsewhere / "venv/bin/python", "-c", program, cwd=ROOT).splitlines()
    heads = [lines[number - 1] for number, line in enumerate(lines) if line.startswith("|---")]

    assert heads
    assert all(head.endswith(" acme |") for head in heads if " meiro |" in head)


def test_the_example_keeps_the_rules_of_a_built_in_vendor() -> None:
    """The rules, over a tree in which Acme's files stand where those of built-in vendors do."""
    moved: Tree = {
        path.replace(HERE, "adapters/acme/"): text.replace("acme_audiences", "adapters.acme")
        if path.startswith(HERE)
        else text
        for path, text in the_project().items()
        if path.startswith((HERE, "adapters/")) and not path.endswith("/registry.py")
    }
    broken = [line for rule in RULES for line in rule(moved) if "acme" in line]

    assert broken == []
