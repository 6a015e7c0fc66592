"""`make vendor`: what it lays out keeps every rule, and its tests say what to write next, in the guide's order."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import RULES, Tree
from tests.skeleton.__main__ import FILES, ROOT, main
from tests.test_house import the_project

NAME = "zenithaudiences"
OWN = [
    *(f"adapters/{NAME}", f"tests/vendors/{NAME}"),
    *(f"tests/sandbox/test_{NAME}_simulator.py", f"tests/end_to_end/test_{NAME}.py"),
]


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # The installed project is this tree, whose commands would be found first.
    environ = os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{copy}/protos/gen"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=copy,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree in which the vendor was laid out."""
    folder = tmp_path_factory.mktemp("copy")
    for path in the_project():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
    if (cache := ROOT / ".mypy_cache").is_dir():
        shutil.copytree(cache, folder / ".mypy_cache")
    made = run(folder, "tests.skeleton", NAME)
    assert made.returncode == 0, made.stderr
    return folder


def test_it_is_formatted_linted_and_typed(copy: Path) -> None:
    for command in (["ruff", "format", "--check"], ["ruff", "check"], ["mypy"]):
        done = run(copy, *command, *OWN, "adapters/registry.py")
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_keeps_the_rules_of_the_house(copy: Path) -> None:
    rooms = ("adapters/", "gateway/", "pyproject.toml", "requirements.lock", "Makefile")
    paths = [
        *filter(lambda path: path.startswith(rooms), the_project()),
        *(str(file.relative_to(copy)) for own in OWN for file in _files(copy / own)),
    ]
    tree: Tree = {path: (copy / path).read_text() for path in paths}
    broken = [line for rule in RULES for line in rule(tree) if NAME in line]

    assert broken == []


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [file for file in place.rglob("*") if file.suffix in {".py", ".md"}]


def test_its_tests_fail_with_what_to_write_next_in_the_order_of_the_guide(copy: Path) -> None:
    done = run(copy, "pytest", "-q", "-p", "no:cacheprovider", *OWN[1:])
    failed = re.findall(r"^E +AssertionError: Step (\d+): ", done.stdout, re.MULTILINE)

    assert done.returncode == 1
    # It is registered, so step 7 is done; then the tests of its simulator, and those from end to end.
    assert [int(step) for step in failed] == [2, 3, 4, 5, 6, 8, 9, 10, 3, 9]
    assert "10 failed, 2 passed" in done.stdout


def test_every_step_is_one_of_the_guide(copy: Path) -> None:
    guide = (copy / "adapters/README.md").read_text()
    numbered = [int(step) for step in re.findall(r"^(\d+)\. \*\*", guide, re.MULTILINE)]
    asked = re.findall(r"def test_step_(\d+)_", (copy / f"tests/vendors/{NAME}/test_steps.py").read_text())

    assert numbered == list(range(1, 11))
    assert [int(step) for step in asked] == numbered[1:]


def test_it_refuses_everything_properly_from_the_start(copy: Path) -> None:
    suite = ["tests/conformance/test_refusals.py", "tests/conformance/test_suite.py", "--vendor", NAME]
    done = run(copy, "pytest", "-q", "-p", "no:cacheprovider", *suite)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "no id") for name in ("", "A", "Acme", "a-b", "1a", "a" * 21, "class", "utils", "../x", "ä", "a b")),
        *(("meiro", "taken"), ("http", "taken"), ("registry", "taken"), ("watching", "a word that gateway/ uses")),
    ],
)
def test_a_name_that_no_vendor_can_have_is_refused(name: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (ROOT / "adapters/registry.py").read_text()

    assert main([name]) == 1
    assert why in capsys.readouterr().err
    assert (ROOT / "adapters/registry.py").read_text() == before
    assert FILES.is_dir()
